//! How long each phase of an experiment took, and how many requests the operator made, according to the API server's audit log. It
//! must not know how the experiment was run.

use anyhow::Context as _;
use paylab_e2e::AuditedRequest;

/// The users who make the requests: the operator, the Deployment controller, and (as a prefix) every kubelet.
pub(crate) const OPERATOR: &str = "system:serviceaccount:paylab:paylab";
const DEPLOYMENTS: &str = "system:serviceaccount:kube-system:deployment-controller";
const KUBELETS: &str = "system:node:";
/// Part of the name of every load pod.
const LOAD: &str = "-load-job-";
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];
const READS: [&str; 2] = ["get", "list"];

/// The phases of one experiment, from when the API server receives its creation to its response to the status with the verdict.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Timeline {
    /// Until the operator has created the last Deployment.
    pub(crate) build_ms: f64,
    /// Until the Deployment controller's last update of their status: they are available.
    pub(crate) lab_ms: f64,
    /// Until the operator has created the Job.
    pub(crate) launch_ms: f64,
    /// Until the kubelet's last update of the load pods' status: they have ended.
    pub(crate) load_ms: f64,
    /// Until the operator has written the verdict.
    pub(crate) judge_ms: f64,
    pub(crate) requests: RequestCounts,
}

/// The number of requests, whatever their responses.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct RequestCounts {
    pub(crate) writes: f64,
    pub(crate) reads: f64,
    /// Watches that were begun, which are neither.
    pub(crate) watches: f64,
}

impl Timeline {
    /// Evaluates the requests since before an experiment, which must be the only one.
    pub(crate) fn new(requests: &[AuditedRequest], namespace: &str) -> anyhow::Result<Self> {
        let successful: Vec<_> = requests.iter().filter(|it| it.namespace == namespace && it.code < 300).collect();
        let last = |what: &str, before_us: i64, fits: &dyn Fn(&AuditedRequest) -> bool| {
            let found =
                successful.iter().filter(|it| it.received_us < before_us && fits(it)).max_by_key(|it| it.responded_us);
            found.copied().with_context(|| format!("the audit log of {namespace} has no {what}"))
        };
        let is = |it: &AuditedRequest, user: &str, verb: &str, resource: &str| {
            it.user.starts_with(user) && it.verb == verb && it.resource == resource
        };
        let created = last("experiment", i64::MAX, &|it| is(it, "", "create", "chaosexperiments"))?;
        let built = last("Deployment", i64::MAX, &|it| is(it, OPERATOR, "create", "deployments"))?;
        let launched = last("Job", i64::MAX, &|it| is(it, OPERATOR, "create", "jobs"))?;
        let judged = last("verdict", i64::MAX, &|it| is(it, OPERATOR, "update", "chaosexperiments/status"))?;
        let available = last("available Deployment", launched.received_us, &|it| {
            is(it, DEPLOYMENTS, "update", "deployments/status")
        })?;
        let ended = last("ended load pod", judged.received_us, &|it| {
            is(it, KUBELETS, "patch", "pods/status") && it.name.contains(LOAD)
        })?;
        let ms = |from_us: i64, to: &AuditedRequest| Self::ms(from_us, to.responded_us);
        Ok(Self {
            build_ms: ms(created.received_us, built),
            lab_ms: ms(built.responded_us, available),
            launch_ms: ms(available.responded_us, launched),
            load_ms: ms(launched.responded_us, ended),
            judge_ms: ms(ended.responded_us, judged),
            requests: RequestCounts::of_operator(requests),
        })
    }

    /// From creation to verdict.
    pub(crate) fn wall_ms(&self) -> f64 {
        self.operator_ms() + self.lab_ms + self.load_ms
    }

    /// The operator's share: all but the time in which pods start and the load runs.
    pub(crate) fn operator_ms(&self) -> f64 {
        self.build_ms + self.launch_ms + self.judge_ms
    }

    #[expect(clippy::cast_precision_loss, reason = "the times are far below 2^52 microseconds")]
    fn ms(from_us: i64, to_us: i64) -> f64 {
        (to_us - from_us) as f64 / 1e3
    }
}

impl RequestCounts {
    pub(crate) fn of_operator(requests: &[AuditedRequest]) -> Self {
        let count = |verbs: &[&str]| {
            let counted = requests.iter().filter(|it| it.user == OPERATOR && verbs.contains(&it.verb.as_str()));
            counted.fold(0.0, |count, _| count + 1.0)
        };
        Self { writes: count(&WRITES), reads: count(&READS), watches: count(&["watch"]) }
    }

    /// Whether nothing was asked. A watch that has ended is begun anew every few minutes.
    pub(crate) fn is_zero(self) -> bool {
        self.writes + self.reads == 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request that was received at `at_ms`, with a response one millisecond later.
    fn request((user, verb, resource, name, at_ms, code): (&str, &str, &str, &str, i64, u16)) -> AuditedRequest {
        AuditedRequest {
            user: user.to_owned(),
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            code,
            user_agent: String::new(),
            received_us: at_ms * 1000,
            responded_us: (at_ms + 1) * 1000,
        }
    }

    #[test]
    fn the_operators_share_excludes_the_time_of_deployments_and_load() {
        let kubelet = "system:node:paylab-0";
        let requests = [
            ("admin", "create", "chaosexperiments", "lesson", 100, 201),
            (OPERATOR, "get", "chaosexperiments", "lesson", 102, 200),
            (OPERATOR, "watch", "pods", "", 103, 200),
            (OPERATOR, "create", "deployments", "lesson-payment-service", 110, 201),
            (OPERATOR, "create", "deployments", "lesson-reset-proxy", 120, 201),
            (DEPLOYMENTS, "update", "deployments/status", "lesson-reset-proxy", 1000, 200),
            (DEPLOYMENTS, "update", "deployments/status", "lesson-reset-proxy", 1004, 409),
            (OPERATOR, "create", "jobs", "lesson-load-job", 1010, 201),
            (DEPLOYMENTS, "update", "deployments/status", "lesson-reset-proxy", 1020, 200),
            (OPERATOR, "update", "chaosexperiments/status", "lesson", 1030, 409),
            (kubelet, "patch", "pods/status", "lesson-reset-proxy-x", 2998, 200),
            (kubelet, "patch", "pods/status", "lesson-load-job-0-x", 2000, 200),
            (OPERATOR, "update", "chaosexperiments/status", "lesson", 2020, 200),
            (kubelet, "patch", "pods/status", "lesson-load-job-0-x", 2030, 200),
        ];
        let timeline = Timeline::new(&requests.map(request), "shop").unwrap();
        let expected = Timeline {
            build_ms: 21.0,
            lab_ms: 880.0,
            launch_ms: 10.0,
            load_ms: 990.0,
            judge_ms: 20.0,
            requests: RequestCounts { writes: 5.0, reads: 1.0, watches: 1.0 },
        };
        assert_eq!((timeline, timeline.wall_ms()), (expected, 1921.0));
    }
}
