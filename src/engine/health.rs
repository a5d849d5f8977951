//! Looks at the Notification Servers: whether their web servers answer, and how long their event
//! queues are. A look only reads, has a short deadline of its own, and what it could not read is
//! left out, never guessed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::host::queries;
use crate::host::{Reader, Session};
use crate::model::{HostName, HttpUrl, NsHealth};
use crate::transport::{Deadline, HttpMethod, HttpRequest, SqlValue, TransportErrorKind};

/// The longest that one look may take.
const LOOK: Duration = Duration::from_secs(15);
/// The page by which agents find out whether their server answers.
const PAGE: &str = "/Altiris/NS/Agent/ConnectionTest.asp";
/// What is kept of its content, in bytes.
const MOST: usize = 4096;
/// What the product says when it takes no more requests (KB 181405, 176788), in lower case.
const BUSY: [&str; 2] = ["server is busy", "-214746725"];

/// Looks at all Notification Servers at once.
pub(super) async fn look(sessions: Vec<(HostName, Arc<Session>)>) -> Vec<(HostName, NsHealth)> {
    let looks = sessions.into_iter().map(|(name, session)| async move {
        let reader = session.reader(Deadline::after(LOOK), Arc::from([]));
        let (web, queue) = tokio::join!(web(&reader), queue(&reader));
        let (queue, oldest) = queue.map_or((None, None), |(queue, oldest)| (Some(queue), oldest));
        (name, NsHealth { queue, oldest, ..web })
    });
    futures::future::join_all(looks).await
}

/// Whether its web server answers, and how fast.
async fn web(at: &Reader<'_>) -> NsHealth {
    let host = at.host();
    let name = host.fqdn().unwrap_or(host.name.as_str()).to_owned();
    let request = HttpRequest {
        method: HttpMethod::Get,
        url: HttpUrl { host: name, port: None, path: PAGE.to_owned() },
        connect: Some((host.address().to_owned(), at.http_port())),
        limit: MOST,
    };
    let begun = Instant::now();
    match at.fetch(&request).await {
        Ok(answer) => {
            let body = String::from_utf8_lossy(&answer.body).to_lowercase();
            NsHealth {
                latency: Some(begun.elapsed()),
                status: Some(answer.status),
                is_busy: answer.status == 503 || BUSY.iter().any(|words| body.contains(words)),
                ..NsHealth::default()
            }
        }
        Err(error) => {
            NsHealth { is_busy: error.kind == TransportErrorKind::Throttled, ..NsHealth::default() }
        }
    }
}

/// How many entries wait in the event queue, and the smallest id; none where it cannot be read.
async fn queue(at: &Reader<'_>) -> Option<(u64, Option<i64>)> {
    let query = queries::find("event_queue")?;
    let rows = tokio::time::timeout(LOOK, at.query(&query.statement, &[])).await.ok()?.ok()?;
    let [row] = rows.as_slice() else { return None };
    let Some(SqlValue::Integer(entries)) = row.get("Entries") else { return None };
    let oldest = match row.get("OldestId") {
        Some(SqlValue::Integer(id)) => Some(*id),
        _ => None,
    };
    Some((u64::try_from(*entries).ok()?, oldest))
}
