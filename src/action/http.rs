//! `http`: what a web server answers.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Reader};
use crate::model::{Cost, FailureClass, Host, HttpUrl, StepFailure};
use crate::transport::{HttpAnswer, HttpMethod, HttpRequest};

/// What is kept of the content, in bytes.
const MOST: usize = 64 * 1024;

/// The action.
pub(super) struct Http;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    url: Address,
    #[serde(default)]
    method: Method,
    #[serde(default = "ok")]
    status: Vec<u32>,
}

fn ok() -> Vec<u32> {
    vec![200]
}

/// A URL, or a path at the host itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum Address {
    Url(HttpUrl),
    Path(String),
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let text = text.trim();
        if text.starts_with('/') {
            let path = HttpUrl::path(text)
                .map_err(|reason| format!("`{text}` is not the path of a page: {reason}"))?;
            return Ok(Self::Path(path));
        }
        text.parse().map(Self::Url).map_err(|error: crate::model::ParseUrlError| error.to_string())
    }
}

/// How it is fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
enum Method {
    #[default]
    #[serde(rename = "get")]
    Get,
    #[serde(rename = "head")]
    Head,
}

/// There is nothing that this action changes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Change {}

/// What was asked and answered.
pub(super) struct State {
    url: HttpUrl,
    answer: HttpAnswer,
}

#[async_trait]
impl Action for Http {
    type Params = Params;
    type State = State;
    type Change = Change;

    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "Asks a web server for a page and checks the status.";
    const DOC: &'static str = "\
Fetches a page from the controller, without a logon and without following redirections,
and fails when its status is none of `status`. No answer at all is `unreachable`.

`url` is `http://…` or a path at the host itself, `/Altiris/NS/Agent/ConnectionTest.asp`. A
URL whose host is the host of the step is fetched from where the inventory says it is
(`ansible_host`, `http_port`). Names of other hosts are looked up. `https://` is refused:
this build has no TLS for it.

The step's value holds `status`, `body` (at most 64 KiB, as text), `complete`, `length`,
`server` and `location`. What it shows is the way from the controller; clients in a branch
may see another one.

A page of the Notification Server is a request at its IIS: say so by `uses: { ns_iis: 1 }`.

Rights: none. Undo: nothing, it only reads.";
    const EXAMPLE: &'static str = "\
- name: Ask the Notification Server whether it answers agents
  http: { url: /Altiris/NS/Agent/ConnectionTest.asp, status: [200] }";
    const PARAMS: &'static [ParamDoc] = &[
        ParamDoc {
            name: "url",
            kind: ParamKind::Text,
            required: true,
            doc: "The page: a URL, or a path at the host itself.",
        },
        ParamDoc {
            name: "method",
            kind: ParamKind::OneOf(&["get", "head"]),
            required: false,
            doc: "`get`, or `head` for the status without the content.",
        },
        ParamDoc {
            name: "status",
            kind: ParamKind::Numbers,
            required: false,
            doc: "The statuses that are well; 200 when nothing is said.",
        },
    ];
    const SCALAR: Option<&'static str> = Some("url");
    const REPLAY: Replay = Replay::Safe;
    const WITHIN_SECONDS: u64 = 120;

    fn refuses(params: &Value) -> Option<String> {
        let url = params.get("url")?.as_str()?;
        // What a template makes of it is seen when it is filled in.
        if url.contains("{{") {
            return None;
        }
        Address::try_from(url.to_owned()).err()
    }

    async fn probe(params: &Params, at: &Reader<'_>) -> Result<State, StepFailure> {
        let request = request(params, at.host(), at.http_port());
        let answer = at.fetch(&request).await?;
        Ok(State { url: request.url, answer })
    }

    fn decide(params: &Params, state: &State) -> Verdict<Change> {
        let State { url, answer } = state;
        let status = answer.status;
        if !params.status.contains(&u32::from(status)) {
            let wanted: Vec<String> = params.status.iter().map(ToString::to_string).collect();
            let body = String::from_utf8_lossy(&answer.body);
            let first = body.trim().chars().take(300).collect::<String>();
            let class =
                if status == 503 { FailureClass::Throttled } else { FailureClass::RemoteFault };
            let message = format!("{url} answers {status} and not {}", wanted.join(" or "));
            let causes = if first.is_empty() { Vec::new() } else { vec![first] };
            return Verdict::Refuse(StepFailure::new(class, message).with_causes(causes));
        }
        let value = json!({
            "url": url,
            "status": status,
            "body": String::from_utf8_lossy(&answer.body),
            "complete": !answer.is_cut,
            "length": answer.length,
            "server": answer.server,
            "location": answer.location,
        });
        Verdict::Unchanged { note: format!("{url} answers {status}"), value }
    }

    fn cost(change: &Change) -> Cost {
        match *change {}
    }

    fn describe(change: &Change) -> Vec<String> {
        match *change {}
    }

    async fn apply(change: &Change, _: &Changer<'_>) -> Result<Applied, StepFailure> {
        match *change {}
    }

    fn invert(change: &Change) -> Undo {
        match *change {}
    }
}

/// What is fetched, and from where.
fn request(params: &Params, host: &Host, port: u16) -> HttpRequest {
    let own = || Some((host.address().to_owned(), port));
    let (url, connect) = match &params.url {
        Address::Path(path) => {
            let name = host.fqdn().unwrap_or(host.name.as_str()).to_owned();
            (HttpUrl { host: name, port: None, path: path.clone() }, own())
        }
        Address::Url(url) => {
            let names = [Some(host.name.as_str()), host.fqdn(), Some(host.address())];
            let is_own = names.into_iter().flatten().any(|own| own.eq_ignore_ascii_case(&url.host));
            let connect = match url.port {
                _ if !is_own => None,
                Some(port) => Some((host.address().to_owned(), port)),
                None => own(),
            };
            (url.clone(), connect)
        }
    };
    let method = match params.method {
        Method::Get => HttpMethod::Get,
        Method::Head => HttpMethod::Head,
    };
    HttpRequest { method, url, connect, limit: MOST }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use indexmap::IndexMap;

    use super::*;
    use crate::model::HostName;

    fn params(url: &str) -> Params {
        serde_json::from_value(json!({ "url": url, "status": [200, 403] })).expect("parameters")
    }

    fn host() -> Host {
        let vars = IndexMap::from([
            ("ansible_host".to_owned(), json!("127.0.0.9")),
            ("fqdn".to_owned(), json!("ps-01.corp.example")),
        ]);
        Host { name: HostName::new("ps-01"), groups: Arc::from([]), vars: Arc::new(vars) }
    }

    fn connects_to(url: &str) -> Option<(String, u16)> {
        request(&params(url), &host(), 8080).connect
    }

    #[test]
    fn the_host_of_the_step_is_where_the_inventory_says() {
        let own = |port| Some(("127.0.0.9".to_owned(), port));

        assert_eq!(connects_to("/x"), own(8080));
        assert_eq!(connects_to("http://PS-01.corp.example/x"), own(8080));
        assert_eq!(connects_to("http://ps-01:81/x"), own(81));
        assert_eq!(connects_to("http://smp01.corp.example/x"), None);
        assert_eq!(
            request(&params("/a b"), &host(), 80).url.to_string(),
            "http://ps-01.corp.example/a%20b"
        );
    }

    #[test]
    fn tls_is_refused_with_a_clear_message() {
        let error = serde_json::from_value::<Params>(json!({ "url": "https://smp01/" }));

        assert!(error.expect_err("refused").to_string().contains("needs TLS"));
        assert!(Http::refuses(&json!({ "url": "https://smp01/" })).is_some());
        assert!(Http::refuses(&json!({ "url": "{{ scheme }}://smp01/" })).is_none());
        assert!(Http::refuses(&json!({ "url": "/Altiris/" })).is_none());
    }

    #[test]
    fn a_status_that_is_not_well_fails_with_what_the_page_says() {
        let state = |status| State {
            url: "http://ps-01/x".parse().expect("a URL"),
            answer: HttpAnswer {
                status,
                body: b"Service Unavailable".to_vec(),
                ..HttpAnswer::default()
            },
        };

        let Verdict::Refuse(failure) = Http::decide(&params("/x"), &state(503)) else {
            panic!("a failure")
        };
        assert_eq!(failure.message, "http://ps-01/x answers 503 and not 200 or 403");
        assert_eq!(failure.causes, ["Service Unavailable"]);
        assert!(matches!(Http::decide(&params("/x"), &state(403)), Verdict::Unchanged { .. }));
    }
}
