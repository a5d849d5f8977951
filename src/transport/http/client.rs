//! One request over one connection, without a logon.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderName, LOCATION, SERVER, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{HttpAnswer, HttpMethod, HttpRequest, patience};
use crate::transport::{Deadline, TransportError, TransportErrorKind};

/// What is kept of a header's text, in characters.
const HEADER_TEXT: usize = 500;

/// Fetches something. Nobody is logged on to, no redirection is followed, and the connection ends
/// with the answer. It may be asked again: it changes nothing.
pub(in crate::transport) async fn fetch(
    request: &HttpRequest,
    deadline: Deadline,
) -> Result<HttpAnswer, TransportError> {
    let deadline = patience(deadline);
    match deadline.of(exchange(request)).await {
        Ok(answer) => answer,
        Err(passed) => Err(TransportError::caused_by(
            TransportErrorKind::TimedOut,
            format!("could not fetch {}", request.url),
            passed,
        )),
    }
}

async fn exchange(request: &HttpRequest) -> Result<HttpAnswer, TransportError> {
    let url = &request.url;
    let doing = || format!("could not fetch {url}");
    let lost = |error: hyper::Error| {
        TransportError::caused_by(TransportErrorKind::Unreachable, doing(), error)
    };
    let own = (url.host.trim_matches(['[', ']']).to_owned(), url.port.unwrap_or(80));
    let (host, port) = request.connect.as_ref().unwrap_or(&own);
    let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|error| {
        TransportError::caused_by(TransportErrorKind::Unreachable, doing(), error)
    })?;
    let (mut requests, connection) = http1::Builder::new()
        .max_headers(64)
        .max_buf_size(64 * 1024)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(lost)?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // How it ended is told to whoever waits for the answer.
        let _ = connection.await;
    });
    let method = match request.method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Head => Method::HEAD,
    };
    let authority = match url.port {
        Some(port) => format!("{}:{port}", url.host),
        None => url.host.clone(),
    };
    let message = Request::builder()
        .method(method)
        .uri(&url.path)
        .header(HOST, authority)
        .header(USER_AGENT, "fleetmend")
        .body(Empty::<Bytes>::new())
        .map_err(|error| TransportError::caused_by(TransportErrorKind::Refused, doing(), error))?;
    let answer = requests.send_request(message).await.map_err(lost)?;
    read(answer, request.limit).await.map_err(lost)
}

/// Reads an answer as far as it is kept.
pub(in crate::transport) async fn read(
    answer: Response<Incoming>,
    limit: usize,
) -> Result<HttpAnswer, hyper::Error> {
    let text = |name: HeaderName| {
        let value = answer.headers().get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).chars().take(HEADER_TEXT).collect())
    };
    let mut kept = HttpAnswer {
        status: answer.status().as_u16(),
        length: answer
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok()),
        server: text(SERVER),
        location: text(LOCATION),
        ..HttpAnswer::default()
    };
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            let room = limit.saturating_sub(kept.body.len());
            kept.body.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                kept.is_cut = true;
                break;
            }
        }
        if kept.body.len() >= limit && !body.is_end_stream() {
            kept.is_cut = true;
            break;
        }
    }
    Ok(kept)
}
