//! One authenticated TCP connection.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
    USER_AGENT, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::{Authentication, WinRmError, WinRmSettings};
use crate::protocol::auth::{Initiator, Mechanism};
use crate::protocol::sealed;
use crate::protocol::wsman::RequestEnvelope;
use crate::transport::Deadline;

/// The largest answer body that is read, in bytes. A server keeps to our `MaxEnvelopeSize`.
const MAX_ANSWER: usize = 1024 * 1024;
/// The request body of an error page or a handshake answer that is read before it is dropped.
const MAX_IGNORED: usize = 64 * 1024;
/// Both mechanisms need two legs; one more is left for a server that begins anew.
const MAX_LEGS: usize = 3;
const PATH: &str = "/wsman";
const SOAP: &str = "application/soap+xml;charset=UTF-8";
/// The header by which Windows answers `Identify` without a logon.
const ANONYMOUS: HeaderName = HeaderName::from_static("wsmanidentify");

enum Protection {
    /// Every message is sealed in this context.
    Sealed(Box<Initiator>),
    /// The messages are readable; the header authenticates each of them.
    Clear(HeaderValue),
}

/// A connection and its security context. After any error it is of no more use.
pub(super) struct Connection {
    requests: SendRequest<Full<Bytes>>,
    /// Drives the socket; ended when the connection is dropped.
    _driver: JoinSet<()>,
    authority: HeaderValue,
    path: &'static str,
    user: String,
    protection: Protection,
}

impl Connection {
    /// Connects and authenticates.
    pub(super) async fn open(
        settings: &WinRmSettings,
        deadline: Deadline,
    ) -> Result<Self, WinRmError> {
        settings.check()?;
        let deadline = deadline.at_most(settings.connect_timeout);
        Self::to_page(settings, PATH, deadline).await?.authenticate(settings, deadline).await
    }

    /// Connects to send requests to one page; nobody is logged on.
    pub(super) async fn to_page(
        settings: &WinRmSettings,
        path: &'static str,
        deadline: Deadline,
    ) -> Result<Self, WinRmError> {
        match deadline.of(Self::connect(settings, path)).await {
            Ok(connected) => connected,
            Err(_) => Err(WinRmError::Connect {
                address: settings.authority(),
                source: std::io::ErrorKind::TimedOut.into(),
            }),
        }
    }

    async fn connect(settings: &WinRmSettings, path: &'static str) -> Result<Self, WinRmError> {
        let authority = settings.authority();
        let failed = |source| WinRmError::Connect { address: settings.authority(), source };
        let stream = TcpStream::connect(&authority).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let (requests, connection) = http1::Builder::new()
            .max_headers(64)
            .max_buf_size(128 * 1024)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(std::io::Error::other(error)))?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // How it ended is told to whoever waits for an answer.
            let _ = connection.await;
        });
        Ok(Self {
            requests,
            _driver: driver,
            authority: HeaderValue::from_str(&authority).map_err(|_| {
                WinRmError::Settings(format!("{authority:?} cannot be an HTTP host"))
            })?,
            path,
            user: settings.credential.user.clone(),
            protection: Protection::Clear(basic(settings)?),
        })
    }

    async fn authenticate(
        mut self,
        settings: &WinRmSettings,
        deadline: Deadline,
    ) -> Result<Self, WinRmError> {
        let mechanism = match settings.authentication {
            Authentication::Negotiate => Mechanism::Negotiate,
            Authentication::Ntlm => Mechanism::Ntlm,
            // There is no handshake: the first request shows whether the password is right.
            Authentication::Basic => return Ok(self),
        };
        const LEG: &str = "logon";
        let unexpected = |what| WinRmError::Protocol { request: LEG, what, source: None };
        let (domain, user) = settings.credential.domain_and_user();
        let target = format!("HTTP/{}", settings.address);
        let mut initiator =
            Initiator::new(mechanism, user, domain, &settings.credential.password, &target)
                .map_err(WinRmError::Security)?;
        let mut token = initiator.step(None).map_err(WinRmError::Security)?;
        for leg in 0..MAX_LEGS {
            let Some(sent) = token.take() else {
                return Err(unexpected("the mechanism has nothing to say before it is done"));
            };
            let header = HeaderValue::try_from(format!("Negotiate {}", BASE64.encode(sent)))
                .expect("base64 is a header value");
            // The legs have no body: a request body sent now would not be sealed.
            let headers = HeaderMap::from_iter([(AUTHORIZATION, header)]);
            let answer = self.post(LEG, headers, Bytes::new(), deadline).await?;
            let (status, challenge) = (answer.status(), challenge(answer.headers()));
            let offered = offered(answer.headers());
            ignore_body(LEG, answer, deadline).await?;
            match (status, challenge) {
                (StatusCode::UNAUTHORIZED, Some(challenge)) if leg == 0 => {
                    token = initiator.step(Some(&challenge)).map_err(WinRmError::Security)?;
                }
                (StatusCode::UNAUTHORIZED, None) if leg == 0 => {
                    return Err(WinRmError::NotOffered { offered });
                }
                (StatusCode::UNAUTHORIZED, _) => {
                    return Err(WinRmError::AuthenticationRejected { user: self.user });
                }
                (StatusCode::SERVICE_UNAVAILABLE, _) => {
                    return Err(WinRmError::Busy { request: LEG });
                }
                (status, challenge) if status.is_success() => {
                    if let (Some(last), false) = (challenge, initiator.is_done()) {
                        initiator.step(Some(&last)).map_err(WinRmError::Security)?;
                    }
                    if !initiator.is_done() {
                        return Err(unexpected("the server ended the logon before it was done"));
                    }
                    self.protection = Protection::Sealed(Box::new(initiator));
                    return Ok(self);
                }
                (_, _) => return Err(unexpected("an unexpected HTTP status")),
            }
        }
        Err(unexpected("the logon does not come to an end"))
    }

    /// Asks what the server is, without a logon and over a connection of its own.
    pub(super) async fn identify(
        settings: &WinRmSettings,
        deadline: Deadline,
    ) -> Result<Vec<u8>, WinRmError> {
        const IDENTIFY: &str = "Identify";
        let deadline = deadline.at_most(settings.connect_timeout);
        let mut connection = Self::to_page(settings, PATH, deadline).await?;
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static(SOAP)),
            (ANONYMOUS, HeaderValue::from_static("unauthenticated")),
        ]);
        let answer = connection
            .post(IDENTIFY, headers, RequestEnvelope::identify().into(), deadline)
            .await?;
        match answer.status() {
            StatusCode::OK => read_body(IDENTIFY, answer, MAX_IGNORED, deadline).await,
            StatusCode::SERVICE_UNAVAILABLE => Err(WinRmError::Busy { request: IDENTIFY }),
            StatusCode::UNAUTHORIZED => {
                Err(WinRmError::NotOffered { offered: offered(answer.headers()) })
            }
            _ => {
                let what = "an unexpected HTTP status";
                Err(WinRmError::Protocol { request: IDENTIFY, what, source: None })
            }
        }
    }

    /// Whether the server has closed it.
    pub(super) fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    /// Sends one message and returns the answer's, both sealed where the connection is.
    ///
    /// Not cancel safe: when the future is dropped the connection must be dropped, too.
    pub(super) async fn exchange(
        &mut self,
        request: &'static str,
        message: &str,
        deadline: Deadline,
    ) -> Result<Vec<u8>, WinRmError> {
        let (headers, body) = match &mut self.protection {
            Protection::Sealed(context) => {
                let (signature, ciphertext) =
                    context.wrap(message.as_bytes()).map_err(WinRmError::Security)?;
                let frame = sealed::write(&signature, &ciphertext, message.len());
                let kind = HeaderValue::from_static(sealed::CONTENT_TYPE);
                (HeaderMap::from_iter([(CONTENT_TYPE, kind)]), frame)
            }
            Protection::Clear(header) => (
                HeaderMap::from_iter([
                    (AUTHORIZATION, header.clone()),
                    (CONTENT_TYPE, HeaderValue::from_static(SOAP)),
                ]),
                message.as_bytes().to_vec(),
            ),
        };
        let answer = self.post(request, headers, body.into(), deadline).await?;
        let status = answer.status();
        let is_sealed = answer
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(sealed::is_sealed);
        let protocol = |what, source| WinRmError::Protocol { request, what, source };
        match (&mut self.protection, status) {
            (Protection::Clear(_), StatusCode::UNAUTHORIZED) => {
                Err(WinRmError::AuthenticationRejected { user: self.user.clone() })
            }
            (Protection::Sealed(_), StatusCode::UNAUTHORIZED) => {
                Err(WinRmError::SessionLost { request })
            }
            (_, StatusCode::SERVICE_UNAVAILABLE) => Err(WinRmError::Busy { request }),
            (Protection::Sealed(context), _) => {
                // A fault comes with status 500 and is sealed like any other answer. What is not
                // sealed may come from anyone and is not even parsed.
                if !is_sealed {
                    return Err(protocol("the answer to a sealed request is not sealed", None));
                }
                let body = read_body(request, answer, MAX_ANSWER, deadline).await?;
                let frame = sealed::read(&body).map_err(|error| {
                    protocol("the sealed answer is malformed", Some(error.into()))
                })?;
                let plain = context.unwrap(frame.signature, frame.ciphertext).map_err(|error| {
                    protocol("the signature of the answer is wrong", Some(error.into()))
                })?;
                if plain.len() != frame.plain_length {
                    return Err(protocol(
                        "the sealed answer has another length than it says",
                        None,
                    ));
                }
                Ok(plain)
            }
            (Protection::Clear(_), StatusCode::OK | StatusCode::INTERNAL_SERVER_ERROR) => {
                let body = read_body(request, answer, MAX_ANSWER, deadline).await?;
                if body.is_empty() {
                    return Err(protocol("the server takes no messages that are not sealed", None));
                }
                Ok(body)
            }
            (Protection::Clear(_), _) => Err(protocol("an unexpected HTTP status", None)),
        }
    }

    /// Sends one request, and returns its answer before its body is read.
    pub(super) async fn post(
        &mut self,
        request: &'static str,
        headers: HeaderMap,
        body: Bytes,
        deadline: Deadline,
    ) -> Result<Response<Incoming>, WinRmError> {
        // hyper leaves the length of an empty body out; HTTP.sys answers 411 to a POST without one.
        let length = HeaderValue::from(body.len());
        let mut message = Request::new(Full::new(body));
        *message.method_mut() = Method::POST;
        *message.uri_mut() = self.path.parse().expect("a constant path");
        *message.headers_mut() = headers;
        message.headers_mut().insert(CONTENT_LENGTH, length);
        message.headers_mut().insert(HOST, self.authority.clone());
        message.headers_mut().insert(USER_AGENT, HeaderValue::from_static("fleetmend"));
        match deadline.of(self.requests.ready()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                return Err(WinRmError::Lost { request, sent: false, source: Some(error.into()) });
            }
            Err(_) => return Err(WinRmError::TimedOut { request, sent: false }),
        }
        match deadline.of(self.requests.try_send_request(message)).await {
            Ok(Ok(answer)) => Ok(answer),
            // hyper gives the message back if no byte of it was written.
            Ok(Err(mut error)) => Err(WinRmError::Lost {
                request,
                sent: error.take_message().is_none(),
                source: Some(error.into_error().into()),
            }),
            Err(_) => Err(WinRmError::TimedOut { request, sent: true }),
        }
    }
}

/// The header of basic authentication; empty when another one is used.
fn basic(settings: &WinRmSettings) -> Result<HeaderValue, WinRmError> {
    if settings.authentication != Authentication::Basic {
        return Ok(HeaderValue::from_static(""));
    }
    let credential = &settings.credential;
    let pair = Zeroizing::new(format!("{}:{}", credential.user, credential.password.expose()));
    let text = Zeroizing::new(format!("Basic {}", BASE64.encode(pair.as_bytes())));
    let mut header = HeaderValue::from_str(&text)
        .map_err(|_| WinRmError::Settings("the user cannot be sent in a header".to_owned()))?;
    header.set_sensitive(true);
    Ok(header)
}

/// The token after `Negotiate`, if the server sent one.
pub(super) fn challenge(headers: &HeaderMap) -> Option<Vec<u8>> {
    headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|offer| offer.trim().split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Negotiate"))
        .find_map(|(_, token)| BASE64.decode(token.trim()).ok().filter(|token| !token.is_empty()))
}

pub(super) fn offered(headers: &HeaderMap) -> String {
    let offers: Vec<_> =
        headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).collect();
    offers.join(", ").chars().take(200).collect()
}

async fn read_body(
    request: &'static str,
    answer: Response<Incoming>,
    limit: usize,
    deadline: Deadline,
) -> Result<Vec<u8>, WinRmError> {
    match deadline.of(Limited::new(answer.into_body(), limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let what = "the answer is larger than it may be";
            Err(WinRmError::Protocol { request, what, source: None })
        }
        Ok(Err(source)) => Err(WinRmError::AnswerCut { request, source }),
        Err(_) => Err(WinRmError::TimedOut { request, sent: true }),
    }
}

/// Reads a body to its end so that the connection can be used again.
pub(super) async fn ignore_body(
    request: &'static str,
    answer: Response<Incoming>,
    deadline: Deadline,
) -> Result<(), WinRmError> {
    read_body(request, answer, MAX_IGNORED, deadline).await.map(drop)
}
