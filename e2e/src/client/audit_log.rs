//! The API server's audit log, read from an offset on. It must not know which requests are right.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de::Error as _};

/// The part of the audit log after an offset.
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
    offset: u64,
}

/// A request to the API server. A watch is listed as soon as its response has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedRequest {
    /// The user, such as `system:serviceaccount:NAMESPACE:NAME`; the impersonated user where there is one.
    pub user: String,
    /// Such as `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: String,
    /// Such as `pods` or `chaosexperiments/status`; empty for a request that is not about objects.
    pub resource: String,
    /// The object's namespace; may be empty.
    pub namespace: String,
    /// The object's name; may be empty.
    pub name: String,
    /// The status code of the response.
    pub code: u16,
    /// The client's `User-Agent` header.
    pub user_agent: String,
    /// When the API server received it, in microseconds since 1970.
    pub received_us: i64,
    /// When the response was complete (of a running watch: when it began), in microseconds since 1970.
    pub responded_us: i64,
}

impl AuditLog {
    /// The whole log.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0 }
    }

    /// The same log, without its present entries.
    pub(crate) fn skip_existing(self) -> anyhow::Result<Self> {
        let Self { path, offset: _ } = self;
        let offset = path.metadata().with_context(|| format!("cannot read {}", path.display()))?.len();
        Ok(Self { path, offset })
    }

    /// Each request once, in the order in which their responses began.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn requests(&self) -> anyhow::Result<Vec<AuditedRequest>> {
        let mut file = File::open(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        file.seek(SeekFrom::Start(self.offset))?;
        // A watch has two entries: one at its beginning and one at its end.
        let mut indexes = BTreeMap::new();
        let mut requests = Vec::new();
        for line in BufReader::new(file).lines() {
            // The last line may be incomplete.
            let Ok(event) = serde_json::from_str::<AuditEvent>(&line?) else { break };
            let (id, request) = event.request();
            match indexes.get(&id) {
                Some(&index) => requests[index] = request,
                None => {
                    indexes.insert(id, requests.len());
                    requests.push(request);
                }
            }
        }
        Ok(requests)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditEvent {
    #[serde(rename = "auditID")]
    audit_id: String,
    verb: String,
    user: User,
    impersonated_user: Option<User>,
    #[serde(default)]
    object_ref: ObjectReference,
    #[serde(default)]
    response_status: ResponseStatus,
    #[serde(default)]
    user_agent: String,
    #[serde(rename = "requestReceivedTimestamp", deserialize_with = "microseconds")]
    received_us: i64,
    #[serde(rename = "stageTimestamp", deserialize_with = "microseconds")]
    responded_us: i64,
}

#[derive(Debug, Deserialize)]
struct User {
    username: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ObjectReference {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

impl AuditEvent {
    fn request(self) -> (String, AuditedRequest) {
        let Self {
            audit_id,
            verb,
            user,
            impersonated_user,
            object_ref,
            response_status: ResponseStatus { code },
            user_agent,
            received_us,
            responded_us,
        } = self;
        let ObjectReference { resource, subresource, namespace, name } = object_ref;
        let resource = if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") };
        let user = impersonated_user.unwrap_or(user).username;
        (
            audit_id,
            AuditedRequest { user, verb, resource, namespace, name, code, user_agent, received_us, responded_us },
        )
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
    fn each_request_after_the_offset_is_listed_once() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        writeln!(log, "{CREATE}").unwrap();
        let audit_log = AuditLog::new(log.path()).skip_existing().unwrap();
        assert_eq!(audit_log.requests().unwrap(), []);
        writeln!(log, "{}\n{CREATE}\n{}\n{}", WATCH[0], WATCH[1], &CREATE[..50]).unwrap();
        let requests = audit_log.requests().unwrap();
        let lines = requests.iter().map(|request| {
            let AuditedRequest { user, verb, resource, namespace, name, code, user_agent, received_us, responded_us } =
                request;
            format!("{user} {verb} {resource} {namespace} {name} {code} {user_agent} {received_us} {responded_us}")
        });
        let expected = ["ann watch    200  0 1", "bob create pods/exec shop till 201 kubectl 1000002 1000005"];
        assert_eq!(lines.collect::<Vec<_>>(), expected);
    }
}
