//! Requests to the service and to the proxy, each over a connection of its own, as curl sends them.

use std::{net::SocketAddr, time::Duration};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request,
    body::Bytes,
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use paylab_core::{fault::point::Point, witness::ledger::ServiceCounters};
use paylab_part::contract::{COUNTERS_PATH, PAYMENTS_PATH, RECORD_PATH, RULES_PATH, Rules, STATS_PATH};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::state::{Passage, Toxics};

/// The longest time from the dial to the end of a response.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The longest response that is read, in bytes.
const ANSWER_LEN_MAX: usize = 4 * 1024 * 1024;
/// The kind of the toxics that the page sets.
const RESET_PEER: &str = "reset_peer";

/// Where the parts are.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    /// The payment service.
    pub(crate) service: SocketAddr,
    /// Where the proxy takes the payments of experiments, each with its payment and attempt in a header.
    pub(crate) experiments: SocketAddr,
    /// The proxy's API.
    pub(crate) control: SocketAddr,
    /// Where the named proxy listens, as the API shows it.
    pub(crate) proxy: String,
    /// The name of that proxy.
    pub(crate) name: String,
}

/// Why a part did not answer as it should.
#[derive(Debug, Error)]
pub(super) enum PartError {
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("no answer within {} s", ANSWER_WITHIN.as_secs())]
    Silent,
    #[error("the answer was {status}: {text}")]
    Refused { status: u16, text: String },
    #[error("the answer is not what was asked for: {0}")]
    Unreadable(String),
}

/// What is sent.
pub(super) struct Asked<'a> {
    pub(super) method: Method,
    pub(super) address: SocketAddr,
    pub(super) path: &'a str,
    pub(super) headers: Vec<(&'static str, String)>,
    /// JSON, or nothing.
    pub(super) body: String,
}

/// A whole response.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// A toxic as the API shows it.
#[derive(Debug, Deserialize)]
struct ShownToxic {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    stream: String,
    toxicity: f64,
}

/// A proxy as the API shows it, as far as the page needs it.
#[derive(Debug, Deserialize)]
struct ShownProxy {
    toxics: Vec<ShownToxic>,
}

/// What the proxy has counted since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ProxyCounts {
    /// Payments of the page.
    pub(super) page: Passage,
    /// Connections of others.
    pub(super) outside: Passage,
}

/// A line of the record that is about a request; the last line seals the record, and is about none.
#[derive(Debug, Deserialize)]
struct RecordedLine {
    request: Recorded,
}

/// What the record says of an attempt, as far as the page needs it.
#[derive(Debug, Deserialize)]
pub(super) struct Recorded {
    pub(super) attempt: u32,
    pub(super) at: Option<Point>,
    pub(super) status: Option<u16>,
}

/// Sends a request and reads the whole response.
pub(super) async fn ask(asked: Asked<'_>) -> Result<Answer, PartError> {
    timeout(ANSWER_WITHIN, exchange(asked)).await.map_err(|_| PartError::Silent)?
}

async fn exchange(Asked { method, address, path, headers, body }: Asked<'_>) -> Result<Answer, PartError> {
    let stream = TcpStream::connect(address).await.map_err(|error| PartError::Broken(error.to_string()))?;
    stream.set_nodelay(true).map_err(|error| PartError::Broken(error.to_string()))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let mut request =
        Request::builder().method(method).uri(path).header(HOST, address.to_string()).header(CONNECTION, "close");
    if !body.is_empty() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::<Bytes>::from(body)).map_err(|error| PartError::Broken(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_LEN_MAX).collect().await;
    let body = body.map_err(|error| PartError::Broken(error.to_string()))?.to_bytes();
    Ok(Answer { status, body })
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn broken(error: hyper::Error) -> PartError {
    PartError::Broken(error.to_string())
}

impl Answer {
    /// The body of a 2xx.
    fn accepted(self) -> Result<Bytes, PartError> {
        let Self { status, body } = self;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        Err(PartError::Refused { status, text: String::from_utf8_lossy(&body).into_owned() })
    }

    fn json<T: DeserializeOwned>(self) -> Result<T, PartError> {
        serde_json::from_slice(&self.accepted()?).map_err(|error| PartError::Unreadable(error.to_string()))
    }
}

impl Parts {
    /// What the service has counted since it started.
    pub(super) async fn service_counters(&self) -> Result<ServiceCounters, PartError> {
        get(self.service, COUNTERS_PATH).await?.json()
    }

    /// The total of the ledger in minor units.
    pub(super) async fn total_minor(&self) -> Result<i64, PartError> {
        let text = get(self.service, STATS_PATH).await?.accepted()?;
        minor_of(&String::from_utf8_lossy(&text))
    }

    /// Empties the ledger.
    pub(super) async fn clear(&self) -> Result<(), PartError> {
        let (method, path, body) = (Method::DELETE, PAYMENTS_PATH, String::new());
        ask(Asked { method, address: self.service, path, headers: Vec::new(), body }).await?.accepted()?;
        Ok(())
    }

    /// Puts the rules of a run in force.
    pub(super) async fn put_rules(&self, rules: &Rules) -> Result<(), PartError> {
        self.control(Method::PUT, RULES_PATH, json!(rules)).await?.accepted()?;
        Ok(())
    }

    /// What the record says of one payment, attempt by attempt.
    pub(super) async fn recorded(&self, payment: u64) -> Result<Vec<Recorded>, PartError> {
        let path = format!("{RECORD_PATH}?from={payment}&to={}", payment + 1);
        let text = get(self.control, &path).await?.accepted()?;
        let lines = text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        Ok(lines.map(|RecordedLine { request }| request).collect())
    }

    /// What the proxy has counted since it started.
    pub(super) async fn proxy_counts(&self) -> Result<ProxyCounts, PartError> {
        let text = get(self.control, "/metrics").await?.accepted()?;
        Ok(ProxyCounts::of(&String::from_utf8_lossy(&text), &self.name))
    }

    /// The toxics in force on the named proxy.
    pub(super) async fn toxics(&self) -> Result<Toxics, PartError> {
        let ShownProxy { toxics } = self.shown().await?;
        let resets = |stream: &str| toxics.iter().find(|toxic| toxic.is_reset_on(stream));
        let mut shown = Toxics {
            request_lost: resets("upstream").map_or(0.0, |toxic| toxic.toxicity),
            answer_lost: resets("downstream").map_or(0.0, |toxic| toxic.toxicity),
            others: Vec::new(),
        };
        for toxic in &toxics {
            if toxic.kind != RESET_PEER {
                shown.others.push(format!("{} {}", toxic.stream, toxic.kind));
            }
        }
        Ok(shown)
    }

    /// Gives a share of the connections a reset on this stream; 0 removes it.
    pub(super) async fn set_toxic(&self, stream: &str, toxicity: f64) -> Result<(), PartError> {
        let path = format!("{}/toxics", self.path());
        let shown = self.shown().await?;
        let known = shown.toxics.into_iter().find(|toxic| toxic.is_reset_on(stream));
        let one = known.map(|toxic| format!("{path}/{}", encoded(&toxic.name)));
        let answer = match one {
            Some(one) if toxicity == 0.0 => self.control(Method::DELETE, &one, Value::Null).await?,
            Some(one) => self.control(Method::POST, &one, json!({"toxicity": toxicity})).await?,
            None if toxicity == 0.0 => return Ok(()),
            None => {
                let toxic = json!({"type": RESET_PEER, "stream": stream, "toxicity": toxicity});
                self.control(Method::POST, &path, toxic).await?
            }
        };
        answer.accepted().map(drop)
    }

    async fn shown(&self) -> Result<ShownProxy, PartError> {
        get(self.control, &self.path()).await?.json()
    }

    fn path(&self) -> String {
        format!("/proxies/{}", encoded(&self.name))
    }

    async fn control(&self, method: Method, path: &str, body: Value) -> Result<Answer, PartError> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        ask(Asked { method, address: self.control, path, headers: Vec::new(), body }).await
    }
}

impl ShownToxic {
    fn is_reset_on(&self, stream: &str) -> bool {
        self.kind == RESET_PEER && self.stream.eq_ignore_ascii_case(stream)
    }
}

impl ProxyCounts {
    /// Reads the proxy's metrics.
    fn of(metrics: &str, name: &str) -> Self {
        let name = name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let proxy = format!("proxy=\"{name}\"");
        let named = |metric: &str, kind: &str| sum(metrics, metric, &[&proxy, kind]);
        Self {
            page: Passage {
                sent: sum(metrics, "paylab_fault_requests_total", &[]),
                requests_lost: sum(metrics, "paylab_fault_resets_total", &["point=\"BeforeRequest\""]),
                answers_lost: sum(metrics, "paylab_fault_resets_total", &["point=\"BeforeResponse\""]),
            },
            outside: Passage {
                sent: named("paylab_proxy_connections_total", ""),
                requests_lost: named("paylab_proxy_resets_total", "kind=\"reset_peer_upstream\""),
                answers_lost: named("paylab_proxy_resets_total", "kind=\"reset_peer_downstream\""),
            },
        }
    }
}

/// The sum of a metric's series with these labels.
fn sum(metrics: &str, metric: &str, labels: &[&str]) -> u64 {
    let series = metrics.lines().filter_map(|line| line.strip_prefix(metric)?.rsplit_once(' '));
    let meant = series.filter(|(shown, _)| {
        (shown.is_empty() || shown.starts_with('{')) && labels.iter().all(|label| shown.contains(label))
    });
    meant.filter_map(|(_, count)| count.parse::<u64>().ok()).sum()
}

/// Minor units of a decimal number in major units with at most two places.
fn minor_of(text: &str) -> Result<i64, PartError> {
    let unreadable = || PartError::Unreadable(format!("{text} is no amount"));
    let (whole, places) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let places = format!("{places:0<2}");
    if places.len() > 2 {
        return Err(unreadable());
    }
    format!("{whole}{places}").parse().map_err(|_| unreadable())
}

async fn get(address: SocketAddr, path: &str) -> Result<Answer, PartError> {
    ask(Asked { method: Method::GET, address, path, headers: Vec::new(), body: String::new() }).await
}

fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_for_one_proxy_and_for_the_page() {
        let metrics = "\
            # TYPE paylab_proxy_connections counter\n\
            paylab_proxy_connections_total{proxy=\"payment\"} 137\n\
            paylab_proxy_connections_total{proxy=\"other\"} 9\n\
            paylab_proxy_connections_open{proxy=\"payment\"} 3\n\
            paylab_proxy_resets_total{proxy=\"payment\",kind=\"reset_peer_upstream\"} 41\n\
            paylab_proxy_resets_total{proxy=\"payment\",kind=\"client_gone\"} 7\n\
            paylab_fault_resets_total{point=\"BeforeRequest\"} 5\n\
            paylab_fault_requests_total 20\n";
        let counts = ProxyCounts::of(metrics, "payment");
        assert_eq!(counts.outside, Passage { sent: 137, requests_lost: 41, answers_lost: 0 });
        assert_eq!(counts.page, Passage { sent: 20, requests_lost: 5, answers_lost: 0 });
        assert_eq!(ProxyCounts::of(metrics, "pay").outside, Passage::default());
    }

    #[test]
    fn a_total_is_read_to_the_cent() {
        for (text, minor) in [("1455.0", 145_500), ("14.55", 1455), ("0.0", 0), ("7", 700)] {
            assert_eq!(minor_of(text).ok(), Some(minor), "{text}");
        }
        assert!(minor_of("1.234").is_err() && minor_of("x").is_err());
    }
}
