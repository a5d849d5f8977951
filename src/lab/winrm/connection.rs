//! One connection: HTTP, the logon that belongs to it, sealing, and the faults of requests.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING,
    WWW_AUTHENTICATE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::body::{AnswerBody, Cut};
use super::front::WinRmFront;
use super::shells::{identity, shell_quota};
use crate::lab::front::{Account, Protocol, RequestFault};
use crate::protocol::auth::{Acceptor, NtlmSession, Step, nt_hash};
use crate::protocol::sealed;
use crate::protocol::wsman::{
    Request as Asked, RequestEnvelope, Response as Answer, ResponseEnvelope, SignalCode,
};

/// How long a client may take to send the body it announced.
const BODY_TIME: Duration = Duration::from_secs(30);
const SOAP: &str = "application/soap+xml;charset=UTF-8";

/// Who is at the other end.
enum Peer {
    Unknown,
    Challenged(Box<Acceptor>),
    Known(Box<NtlmSession>),
}

type HttpAnswer = Response<AnswerBody>;

/// Serves one connection to its end.
pub(super) async fn serve(front: Arc<WinRmFront>, stream: TcpStream) {
    // Requests of a connection come one after the other, so the lock is never contended.
    let peer = Arc::new(Mutex::new(Peer::Unknown));
    let idle = front.config.quotas.connection_idle;
    let service = service_fn(move |request| {
        let (front, peer) = (Arc::clone(&front), Arc::clone(&peer));
        async move { handle(&front, &mut *peer.lock().await, request).await }
    });
    // A connection that breaks or is cut by a fault needs no report: the client sees it.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .max_headers(64)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn handle(
    front: &WinRmFront,
    peer: &mut Peer,
    request: Request<Incoming>,
) -> Result<HttpAnswer, Cut> {
    let (head, body) = request.into_parts();
    let limit = front.config.quotas.envelope + front.config.quotas.envelope / 2;
    let body = tokio::time::timeout(BODY_TIME, Limited::new(body, limit).collect()).await;
    let body = match body {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return Ok(closing(status(StatusCode::PAYLOAD_TOO_LARGE)));
        }
        Ok(Err(_)) | Err(_) => return Err(Cut),
    };
    if head.method != Method::POST || head.uri.path().trim_end_matches('/') != "/wsman" {
        return Ok(status(StatusCode::NOT_FOUND));
    }
    // As HTTP.sys has it, which hyper alone would let pass.
    if !head.headers.contains_key(CONTENT_LENGTH) && !head.headers.contains_key(TRANSFER_ENCODING) {
        return Ok(closing(status(StatusCode::LENGTH_REQUIRED)));
    }
    let header = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let is_sealed = header(CONTENT_TYPE).is_some_and(sealed::is_sealed);
    match header(AUTHORIZATION).and_then(|value| value.split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("Negotiate") => {
            return log_on(front, peer, token, !body.is_empty());
        }
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("Basic") => {
            return match basic(front, token) {
                Some(account) => {
                    let user = format!(r"{}\{}", account.domain, account.user);
                    answer_plain(front, &user, &body).await
                }
                None => {
                    front.counting.rejected.fetch_add(1, Ordering::Relaxed);
                    Ok(unauthorized(front))
                }
            };
        }
        Some(_) | None => {}
    }
    match peer {
        Peer::Known(session) if is_sealed => {
            let unsealed = sealed::read(&body).ok().and_then(|frame| {
                let plain = session.unseal(frame.signature, frame.ciphertext).ok()?;
                (plain.len() == frame.plain_length).then_some(plain)
            });
            // Windows says no more than that about a frame it cannot use.
            let Some(plain) = unsealed else {
                *peer = Peer::Unknown;
                return Ok(closing(status(StatusCode::BAD_REQUEST)));
            };
            front.counting.sealed.fetch_add(1, Ordering::Relaxed);
            answer_sealed(front, peer, &plain).await
        }
        Peer::Known(_) if body.is_empty() => Ok(status(StatusCode::OK)),
        // AllowUnencrypted=false: status 500 and not a word.
        Peer::Known(_) => {
            front.counting.refused_plain.fetch_add(1, Ordering::Relaxed);
            Ok(status(StatusCode::INTERNAL_SERVER_ERROR))
        }
        Peer::Unknown | Peer::Challenged(_) => {
            let asks_anonymously = head.headers.contains_key("WSMANIDENTIFY");
            match RequestEnvelope::parse(&body) {
                Ok(envelope) if asks_anonymously && envelope.request == Asked::Identify => {
                    Ok(soap(front, &envelope, identity()))
                }
                Ok(_) | Err(_) => Ok(unauthorized(front)),
            }
        }
    }
}

/// Takes one token of the logon.
fn log_on(
    front: &WinRmFront,
    peer: &mut Peer,
    token: &str,
    has_body: bool,
) -> Result<HttpAnswer, Cut> {
    let Ok(token) = BASE64.decode(token.trim()) else {
        return Ok(closing(status(StatusCode::BAD_REQUEST)));
    };
    let mut acceptor = match std::mem::replace(peer, Peer::Unknown) {
        Peer::Challenged(acceptor) => acceptor,
        Peer::Unknown | Peer::Known(_) => Box::new(new_acceptor(front)?),
    };
    let lookup = |domain: &str, user: &str| {
        find(front, domain, user).map(|account| nt_hash(account.password.expose()))
    };
    match acceptor.step(&token, lookup) {
        Ok(Step::Continue(reply)) => {
            *peer = Peer::Challenged(acceptor);
            let mut answer = status(StatusCode::UNAUTHORIZED);
            answer.headers_mut().insert(WWW_AUTHENTICATE, negotiate(&reply));
            Ok(answer)
        }
        Ok(Step::Done { reply, session }) => {
            front.counting.logons.fetch_add(1, Ordering::Relaxed);
            *peer = Peer::Known(Box::new(session));
            // A message that came along with the last token cannot have been sealed.
            let mut answer = if has_body {
                front.counting.refused_plain.fetch_add(1, Ordering::Relaxed);
                status(StatusCode::INTERNAL_SERVER_ERROR)
            } else {
                status(StatusCode::OK)
            };
            if let Some(reply) = reply {
                answer.headers_mut().insert(WWW_AUTHENTICATE, negotiate(&reply));
            }
            Ok(answer)
        }
        Err(error) => {
            if error.is_logon_denied() {
                front.counting.rejected.fetch_add(1, Ordering::Relaxed);
            }
            Ok(unauthorized(front))
        }
    }
}

fn new_acceptor(front: &WinRmFront) -> Result<Acceptor, Cut> {
    let mut challenge = [0; 8];
    // Without randomness nobody can be authenticated.
    getrandom::fill(&mut challenge).map_err(|_| Cut)?;
    Ok(Acceptor::new(front.config.names.clone(), challenge, now_filetime()))
}

#[expect(clippy::disallowed_methods, reason = "the challenge carries the time of day")]
fn now_filetime() -> u64 {
    const UNIX_EPOCH_IN_SECONDS: u64 = 11_644_473_600;
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let since = since.unwrap_or_default() + Duration::from_secs(UNIX_EPOCH_IN_SECONDS);
    u64::try_from(since.as_nanos() / 100).unwrap_or(u64::MAX)
}

/// Finds an account; `user@domain` comes whole in the user field.
fn find<'a>(front: &'a WinRmFront, domain: &str, user: &str) -> Option<&'a Account> {
    match user.split_once('@') {
        Some((name, realm)) if domain.is_empty() => {
            let own = &front.config.names;
            let domain =
                if realm.eq_ignore_ascii_case(&own.dns_domain) { &own.domain } else { realm };
            front.config.accounts.find(domain, name)
        }
        Some(_) | None => front.config.accounts.find(domain, user),
    }
}

fn basic<'a>(front: &'a WinRmFront, token: &str) -> Option<&'a Account> {
    if !front.config.allow_basic {
        return None;
    }
    let pair = String::from_utf8(BASE64.decode(token.trim()).ok()?).ok()?;
    let (user, password) = pair.split_once(':')?;
    let (domain, user) = user.split_once('\\').unwrap_or(("", user));
    find(front, domain, user).filter(|account| account.password.expose() == password)
}

async fn answer_plain(front: &WinRmFront, user: &str, body: &[u8]) -> Result<HttpAnswer, Cut> {
    if body.is_empty() {
        return Ok(status(StatusCode::OK));
    }
    let Ok(envelope) = RequestEnvelope::parse(body) else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    match act(front, user, &envelope).await? {
        Outcome::Answer(answer) => Ok(soap(front, &envelope, answer)),
        Outcome::Cut(answer) => Ok(soap(front, &envelope, answer).map(AnswerBody::cut_in_half)),
        Outcome::Unauthorized => Ok(unauthorized(front)),
        Outcome::Busy => Ok(status(StatusCode::SERVICE_UNAVAILABLE)),
    }
}

async fn answer_sealed(
    front: &WinRmFront,
    peer: &mut Peer,
    plain: &[u8],
) -> Result<HttpAnswer, Cut> {
    let Peer::Known(session) = peer else {
        return Ok(unauthorized(front));
    };
    let Ok(envelope) = RequestEnvelope::parse(plain) else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    // As the account has it, whatever way the client wrote it: shells belong to accounts.
    let user = match find(front, session.domain(), session.user()) {
        Some(account) => format!(r"{}\{}", account.domain, account.user),
        None => return Ok(unauthorized(front)),
    };
    let outcome = act(front, &user, &envelope).await?;
    let seal = |session: &mut NtlmSession, answer| {
        let (parts, xml) = message(front, &envelope, answer);
        let (signature, ciphertext) = session.seal(xml.as_bytes());
        let body = sealed::write(&signature, &ciphertext, xml.len());
        let mut answer = Response::new(AnswerBody::whole(body));
        *answer.status_mut() = parts;
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(sealed::CONTENT_TYPE));
        answer
    };
    match outcome {
        Outcome::Answer(answer) => Ok(seal(session, answer)),
        Outcome::Cut(answer) => Ok(seal(session, answer).map(AnswerBody::cut_in_half)),
        Outcome::Unauthorized => {
            *peer = Peer::Unknown;
            Ok(unauthorized(front))
        }
        Outcome::Busy => Ok(status(StatusCode::SERVICE_UNAVAILABLE)),
    }
}

enum Outcome {
    Answer(Answer),
    Cut(Answer),
    Unauthorized,
    Busy,
}

/// Carries a request out under the fault that meets it. A dropped or cut answer is lost on the way
/// back: the request itself is carried out.
async fn act(front: &WinRmFront, user: &str, envelope: &RequestEnvelope) -> Result<Outcome, Cut> {
    let fault = front.config.faults.on_request(Protocol::WinRm, envelope.request.name());
    match fault {
        Some(RequestFault::Delay(time)) => tokio::time::sleep(time).await,
        Some(RequestFault::Hang) => std::future::pending().await,
        Some(RequestFault::Unauthorized) => return Ok(Outcome::Unauthorized),
        Some(RequestFault::Busy) => return Ok(Outcome::Busy),
        Some(RequestFault::ShellQuota) => {
            return Ok(Outcome::Answer(Answer::Fault(shell_quota())));
        }
        // Files and tables have no part in this protocol.
        Some(
            RequestFault::SharingViolation
            | RequestFault::Deadlock
            | RequestFault::LockTimeout
            | RequestFault::StatementFails,
        )
        | None => {}
        Some(RequestFault::Drop | RequestFault::Truncate) => {}
    }
    let answer = front.shells.answer(user, envelope.clone()).await;
    if let (Asked::Signal { command_id, code: SignalCode::Terminate }, Answer::Signalled) =
        (&envelope.request, &answer)
    {
        let shell = envelope.header.shell_id.as_deref().unwrap_or_default();
        front.shells.forget(user, shell, command_id);
    }
    match fault {
        Some(RequestFault::Drop) => Err(Cut),
        Some(RequestFault::Truncate) => Ok(Outcome::Cut(answer)),
        _ => Ok(Outcome::Answer(answer)),
    }
}

fn message(
    front: &WinRmFront,
    envelope: &RequestEnvelope,
    response: Answer,
) -> (StatusCode, String) {
    let status = match response {
        Answer::Fault(_) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::OK,
    };
    let answer = ResponseEnvelope {
        relates_to: envelope.header.message_id.clone(),
        message_id: format!("uuid:{}", Uuid::new_v4().to_string().to_uppercase()),
        response,
    };
    (status, answer.to_xml(&front.config.names.computer))
}

fn soap(front: &WinRmFront, envelope: &RequestEnvelope, answer: Answer) -> HttpAnswer {
    let (status, xml) = message(front, envelope, answer);
    let mut answer = Response::new(AnswerBody::whole(xml));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(SOAP));
    answer
}

fn status(status: StatusCode) -> HttpAnswer {
    let mut answer = Response::new(AnswerBody::whole(""));
    *answer.status_mut() = status;
    answer
}

fn closing(mut answer: HttpAnswer) -> HttpAnswer {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// A bare 401: it names what is offered and ends the connection, as HTTP.sys does.
fn unauthorized(front: &WinRmFront) -> HttpAnswer {
    let mut answer = closing(status(StatusCode::UNAUTHORIZED));
    answer.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static("Negotiate"));
    if front.config.allow_basic {
        let offer = HeaderValue::from_static("Basic realm=\"WSMAN\"");
        answer.headers_mut().append(WWW_AUTHENTICATE, offer);
    }
    answer
}

fn negotiate(token: &[u8]) -> HeaderValue {
    HeaderValue::try_from(format!("Negotiate {}", BASE64.encode(token)))
        .expect("base64 is a header value")
}
