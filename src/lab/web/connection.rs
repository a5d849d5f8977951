//! One connection: requests, and the logon that belongs to it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue, SERVER, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::front::WebFront;
use crate::lab::front::{Protocol, RequestFault};
use crate::lab::world::WebRequest;
use crate::protocol::auth::{Acceptor, Step, nt_hash};

/// How long a client may be silent, and how long it may take for a body.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest body that is taken, in bytes.
const LARGEST: usize = 64 * 1024;
/// How long a page takes, in the world's time.
const PAGE: Duration = Duration::from_millis(100);

/// Who is at the other end.
enum Peer {
    Unknown,
    Challenged(Box<Acceptor>),
    Known(String),
}

type Answer = Response<Full<Bytes>>;

/// Serves one connection to its end.
pub(super) async fn serve(front: Arc<WebFront>, stream: TcpStream) {
    // Requests of a connection come one after the other, so the lock is never contended.
    let peer = Arc::new(Mutex::new(Peer::Unknown));
    let service = service_fn(move |request| {
        let (front, peer) = (Arc::clone(&front), Arc::clone(&peer));
        async move { Ok::<_, Infallible>(handle(&front, &mut *peer.lock().await, request).await) }
    });
    // A connection that breaks needs no report: the client sees it.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_headers(64)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn handle(front: &WebFront, peer: &mut Peer, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let body = tokio::time::timeout(PATIENCE, Limited::new(body, LARGEST).collect()).await;
    let Ok(Ok(body)) = body else { return status(StatusCode::PAYLOAD_TOO_LARGE) };
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    match front.config.faults.on_request(Protocol::Http, path) {
        Some(RequestFault::Delay(time)) => tokio::time::sleep(time).await,
        Some(RequestFault::Hang | RequestFault::Drop | RequestFault::Truncate) => {
            std::future::pending().await
        }
        Some(RequestFault::Busy) => return status(StatusCode::SERVICE_UNAVAILABLE),
        // The others have no part in this protocol.
        Some(_) | None => {}
    }
    let web = &front.config;
    let mut last_token = None;
    let needs_logon = web.world.with(|world| world.needs_logon(web.machine, path));
    if let Some(token) = negotiate_token(head.headers.get(AUTHORIZATION)).filter(|_| needs_logon) {
        match log_on(front, peer, token) {
            Ok(Leg::Challenge(token)) => {
                let mut answer = status(StatusCode::UNAUTHORIZED);
                answer.headers_mut().insert(WWW_AUTHENTICATE, negotiate(&token));
                return answer;
            }
            // The request that brings the last token is carried out, as IIS does.
            Ok(Leg::Done(token)) => last_token = token,
            Err(Rejected) => return offering(status(StatusCode::UNAUTHORIZED)),
        }
    }
    let user = match peer {
        Peer::Known(user) => Some(user.as_str()),
        Peer::Unknown | Peer::Challenged(_) => None,
    };
    tokio::time::sleep(web.world.to_real(PAGE)).await;
    let asked = WebRequest { method: head.method.as_str(), path, body: &body, user };
    let said = web.world.with(|world| world.web(web.machine, asked));
    tokio::time::sleep(web.world.to_real(said.after)).await;
    let code = StatusCode::from_u16(said.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = Response::new(Full::from(said.body));
    *answer.status_mut() = code;
    answer.headers_mut().insert(SERVER, HeaderValue::from_static("Microsoft-IIS/10.0"));
    if let Some(token) = last_token {
        answer.headers_mut().insert(WWW_AUTHENTICATE, negotiate(&token));
    }
    if code == StatusCode::UNAUTHORIZED { offering(answer) } else { answer }
}

/// The logon was rejected.
struct Rejected;

enum Leg {
    Challenge(Vec<u8>),
    Done(Option<Vec<u8>>),
}

/// Takes one token of the logon.
fn log_on(front: &WebFront, peer: &mut Peer, token: &str) -> Result<Leg, Rejected> {
    let token = BASE64.decode(token.trim()).map_err(|_| Rejected)?;
    let mut acceptor = match std::mem::replace(peer, Peer::Unknown) {
        Peer::Challenged(acceptor) => acceptor,
        Peer::Unknown | Peer::Known(_) => {
            let mut challenge = [0; 8];
            // Without randomness nobody can be authenticated.
            getrandom::fill(&mut challenge).map_err(|_| Rejected)?;
            let now = front.config.world.filetime();
            Box::new(Acceptor::new(front.config.names.clone(), challenge, now))
        }
    };
    let find = |domain: &str, user: &str| front.config.accounts.find(domain, user);
    let step = acceptor.step(&token, |domain, user| {
        find(domain, user).map(|account| nt_hash(account.password.expose()))
    });
    match step {
        Ok(Step::Continue(reply)) => {
            *peer = Peer::Challenged(acceptor);
            Ok(Leg::Challenge(reply))
        }
        Ok(Step::Done { reply, session }) => {
            *peer = Peer::Known(format!(r"{}\{}", session.domain(), session.user()));
            Ok(Leg::Done(reply))
        }
        Err(_) => Err(Rejected),
    }
}

fn negotiate_token(header: Option<&HeaderValue>) -> Option<&str> {
    let (scheme, token) = header?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Negotiate").then_some(token)
}

fn negotiate(token: &[u8]) -> HeaderValue {
    HeaderValue::try_from(format!("Negotiate {}", BASE64.encode(token)))
        .expect("base64 is a header value")
}

fn offering(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Negotiate"));
    answer
}

fn status(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}
