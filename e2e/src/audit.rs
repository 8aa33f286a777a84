//! Who asked the API server for what: its audit log, read from a point on. It must not know what a request should have been.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de::Error as _};

/// The requests since a point in the log.
#[derive(Debug, Clone)]
pub struct Audit {
    log: PathBuf,
    from: u64,
}

/// A request that was answered, or is being answered by a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asked: `system:serviceaccount:NAMESPACE:NAME` for a service account; when impersonating, as whom.
    pub user: String,
    /// Such as `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: String,
    /// Such as `pods` or `chaosexperiments/status`; empty where it is not about objects.
    pub resource: String,
    /// Of the object; empty without.
    pub namespace: String,
    /// Of the object; empty without.
    pub name: String,
    /// The status of its answer.
    pub code: u16,
    /// As the client calls itself.
    pub user_agent: String,
    /// When the API server received it, in microseconds since 1970.
    pub received_us: i64,
    /// When its answer was complete, or had begun where it is a watch, in microseconds since 1970.
    pub answered_us: i64,
}

impl Audit {
    /// From the log's start.
    pub(crate) fn new(log: &Path) -> Self {
        Self { log: log.to_owned(), from: 0 }
    }

    /// The same log, without what is in it by now.
    pub(crate) fn since_now(self) -> anyhow::Result<Self> {
        let from = self.log.metadata().with_context(|| format!("cannot read {}", self.log.display()))?.len();
        Ok(Self { from, ..self })
    }

    /// Each request once, in the order in which their answers began.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn requests(&self) -> anyhow::Result<Vec<Request>> {
        let mut file = File::open(&self.log).with_context(|| format!("cannot read {}", self.log.display()))?;
        file.seek(SeekFrom::Start(self.from))?;
        // A watch is told of at its beginning and at its end.
        let mut places = BTreeMap::new();
        let mut requests = Vec::new();
        for line in BufReader::new(file).lines() {
            // The last line may be half written.
            let Ok(event) = serde_json::from_str::<Event>(&line?) else { break };
            let (id, request) = event.request();
            match places.get(&id) {
                Some(&place) => requests[place] = request,
                None => {
                    places.insert(id, requests.len());
                    requests.push(request);
                }
            }
        }
        Ok(requests)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    verb: String,
    user: User,
    impersonated_user: Option<User>,
    #[serde(default)]
    object_ref: Object,
    #[serde(default)]
    response_status: Status,
    #[serde(default)]
    user_agent: String,
    #[serde(rename = "requestReceivedTimestamp", deserialize_with = "microseconds")]
    received_us: i64,
    #[serde(rename = "stageTimestamp", deserialize_with = "microseconds")]
    answered_us: i64,
}

#[derive(Debug, Deserialize)]
struct User {
    username: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
}

impl Event {
    fn request(self) -> (String, Request) {
        let Self {
            audit_id,
            verb,
            user,
            impersonated_user,
            object_ref,
            response_status: Status { code },
            user_agent,
            received_us,
            answered_us,
        } = self;
        let Object { resource, subresource, namespace, name } = object_ref;
        let resource = if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") };
        let user = impersonated_user.unwrap_or(user).username;
        (audit_id, Request { user, verb, resource, namespace, name, code, user_agent, received_us, answered_us })
    }
}

fn microseconds<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let time: Timestamp = String::deserialize(from)?.parse().map_err(D::Error::custom)?;
    Ok(time.as_microsecond())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const CREATE: &str = r#"{"kind":"Event","auditID":"a","stage":"ResponseComplete","verb":"create","user":{"username":"ann"},"impersonatedUser":{"username":"bob"},"userAgent":"kubectl","requestReceivedTimestamp":"1970-01-01T00:00:01.000002Z","stageTimestamp":"1970-01-01T00:00:01.000005Z","objectRef":{"resource":"pods","namespace":"shop","name":"till","subresource":"exec"},"responseStatus":{"code":201}}"#;
    const WATCH: [&str; 2] = [
        r#"{"auditID":"b","stage":"ResponseStarted","verb":"watch","user":{"username":"ann"},"requestReceivedTimestamp":"1970-01-01T00:00:00.000000Z","stageTimestamp":"1970-01-01T00:00:00.000001Z","responseStatus":{"code":200}}"#,
        r#"{"auditID":"b","stage":"ResponseComplete","verb":"watch","user":{"username":"ann"},"requestReceivedTimestamp":"1970-01-01T00:00:00.000000Z","stageTimestamp":"1970-01-01T00:00:00.000001Z","responseStatus":{"code":200}}"#,
    ];

    #[test]
    fn each_request_since_then_counts_once() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        writeln!(log, "{CREATE}").unwrap();
        let audit = Audit::new(log.path()).since_now().unwrap();
        assert_eq!(audit.requests().unwrap(), []);
        writeln!(log, "{}\n{CREATE}\n{}\n{}", WATCH[0], WATCH[1], &CREATE[..50]).unwrap();
        let requests = audit.requests().unwrap();
        let told = requests.iter().map(|request| {
            let Request { user, verb, resource, namespace, name, code, user_agent, received_us, answered_us } = request;
            format!("{user} {verb} {resource} {namespace} {name} {code} {user_agent} {received_us} {answered_us}")
        });
        let expected = ["ann watch    200  0 1", "bob create pods/exec shop till 201 kubectl 1000002 1000005"];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }
}
