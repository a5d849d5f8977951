//! A form sent to a page of the host's web server, with the logon that WinRM uses.
//!
//! The logon belongs to the connection, as it does for WinRM. Unlike there the messages are not
//! sealed: over plain HTTP the form and its answer cross the network readable, the password does not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::connection::{Connection, challenge, ignore_body, offered};
use super::{Authentication, Scheme, WinRmError, WinRmSettings};
use crate::protocol::auth::{Initiator, Mechanism};
use crate::transport::http::{HttpAnswer, HttpForm, patience, read};
use crate::transport::{Deadline, Target, TransportError, TransportErrorKind};

const REQUEST: &str = "form";
const FORM: &str = "application/x-www-form-urlencoded";
/// What is kept of an answer, in bytes.
const MOST: usize = 1024 * 1024;
/// The port at which a web server expects TLS.
const TLS_PORT: u16 = 443;

/// Sends the form once.
pub(in crate::transport) async fn post_form(
    target: &Target,
    form: &HttpForm,
    deadline: Deadline,
) -> Result<HttpAnswer, TransportError> {
    let doing = || format!("could not send a form to {} on {}", form.path, target.host);
    let deadline = patience(deadline);
    let settings = settings(target)
        .map_err(|error| TransportError::caused_by(error.kind(), doing(), error))?;
    send(&settings, form, deadline).await.map_err(|(error, may_have_arrived)| {
        let kind = if may_have_arrived { TransportErrorKind::InDoubt } else { error.kind() };
        TransportError::caused_by(kind, doing(), error)
    })
}

fn settings(target: &Target) -> Result<WinRmSettings, WinRmError> {
    let mut settings = WinRmSettings::for_target(target)?;
    settings.scheme = if target.port == TLS_PORT { Scheme::Https } else { Scheme::Http };
    settings.check()?;
    Ok(settings)
}

/// An error, and whether the form may have arrived.
type Failure = (WinRmError, bool);

async fn send(
    settings: &WinRmSettings,
    form: &HttpForm,
    deadline: Deadline,
) -> Result<HttpAnswer, Failure> {
    let before = |error| (error, false);
    let protocol = |what| (WinRmError::Protocol { request: REQUEST, what, source: None }, false);
    let mechanism = match settings.authentication {
        Authentication::Negotiate => Mechanism::Negotiate,
        Authentication::Ntlm => Mechanism::Ntlm,
        Authentication::Basic => return Err(protocol("basic authentication is not used here")),
    };
    let connecting = deadline.at_most(settings.connect_timeout);
    let mut connection =
        Connection::to_page(settings, form.path, connecting).await.map_err(before)?;
    let (domain, user) = settings.credential.domain_and_user();
    let service = format!("HTTP/{}", settings.address);
    let security = |error| (WinRmError::Security(error), false);
    let mut initiator =
        Initiator::new(mechanism, user, domain, &settings.credential.password, &service)
            .map_err(security)?;
    let first = initiator.step(None).map_err(security)?;
    let first = first.ok_or_else(|| protocol("the mechanism has nothing to say"))?;
    // The first leg has no body: whoever is not known yet is not told what the form holds.
    let headers = HeaderMap::from_iter([(AUTHORIZATION, negotiate(&first))]);
    let answer =
        connection.post(REQUEST, headers, Bytes::new(), connecting).await.map_err(before)?;
    match answer.status() {
        StatusCode::UNAUTHORIZED => {}
        StatusCode::SERVICE_UNAVAILABLE => {
            return Err((WinRmError::Busy { request: REQUEST }, false));
        }
        status if status.is_success() => {
            return Err(protocol("the page does not ask who sends a form"));
        }
        // The page is not there, or says so before it asks who asks.
        _ => return whole(answer, connecting).await.map_err(before),
    }
    let Some(token) = challenge(answer.headers()) else {
        return Err((WinRmError::NotOffered { offered: offered(answer.headers()) }, false));
    };
    ignore_body(REQUEST, answer, connecting).await.map_err(before)?;
    let second = initiator.step(Some(&token)).map_err(security)?;
    let second = second.ok_or_else(|| protocol("the logon ended before it was done"))?;
    let headers = HeaderMap::from_iter([
        (AUTHORIZATION, negotiate(&second)),
        (CONTENT_TYPE, HeaderValue::from_static(FORM)),
    ]);
    let sent = connection.post(REQUEST, headers, form.body().into(), deadline).await;
    let answer = sent.map_err(|error| {
        let may_have_arrived = match &error {
            WinRmError::Lost { sent, .. } | WinRmError::TimedOut { sent, .. } => *sent,
            _ => false,
        };
        (error, may_have_arrived)
    })?;
    match answer.status() {
        StatusCode::UNAUTHORIZED => {
            let user = settings.credential.user.clone();
            Err((WinRmError::AuthenticationRejected { user }, false))
        }
        StatusCode::SERVICE_UNAVAILABLE => Err((WinRmError::Busy { request: REQUEST }, false)),
        _ => whole(answer, deadline).await.map_err(|error| (error, true)),
    }
}

async fn whole(answer: Response<Incoming>, deadline: Deadline) -> Result<HttpAnswer, WinRmError> {
    match deadline.of(read(answer, MOST)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(WinRmError::AnswerCut { request: REQUEST, source: error.into() }),
        Err(_) => Err(WinRmError::TimedOut { request: REQUEST, sent: true }),
    }
}

fn negotiate(token: &[u8]) -> HeaderValue {
    HeaderValue::try_from(format!("Negotiate {}", BASE64.encode(token)))
        .expect("base64 is a header value")
}
