//! Where the time of an experiment went, and what the operator asked for, as the API server's audit log says. It must not know
//! how the experiment was run.

use anyhow::Context as _;
use paylab_e2e::Request;

/// As whom the chart lets the operator ask.
pub(crate) const OPERATOR: &str = "system:serviceaccount:paylab:paylab";
const DEPLOYMENTS: &str = "system:serviceaccount:kube-system:deployment-controller";
const KUBELETS: &str = "system:node:";
/// In the name of each of the load's pods.
const LOAD: &str = "-load-job-";
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];
const READS: [&str; 2] = ["get", "list"];

/// One experiment, from the API server's receipt of it to its answer to the status with the verdict, in five parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Account {
    /// Until the operator has made the last Deployment.
    pub(crate) build_ms: f64,
    /// Until the last word of the Deployments' controller about them: they are available.
    pub(crate) lab_ms: f64,
    /// Until the operator has made the Job.
    pub(crate) launch_ms: f64,
    /// Until the kubelet's last word about the load's pods: they have ended.
    pub(crate) load_ms: f64,
    /// Until the operator has told the verdict.
    pub(crate) judge_ms: f64,
    pub(crate) asked: Asked,
}

/// How often somebody asked, whatever the answers were; a watch is no question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Asked {
    pub(crate) writes: f64,
    pub(crate) reads: f64,
}

impl Account {
    /// What the requests since before an experiment, which was the only one, say of it.
    pub(crate) fn of(requests: &[Request], namespace: &str) -> anyhow::Result<Self> {
        let ours: Vec<_> = requests.iter().filter(|it| it.namespace == namespace && it.code < 300).collect();
        let last = |what: &str, before_us: i64, fits: &dyn Fn(&Request) -> bool| {
            let found = ours.iter().filter(|it| it.received_us < before_us && fits(it)).max_by_key(|it| it.answered_us);
            found.copied().with_context(|| format!("the audit log of {namespace} has no {what}"))
        };
        let is = |it: &Request, user: &str, verb: &str, resource: &str| {
            it.user.starts_with(user) && it.verb == verb && it.resource == resource
        };
        let created = last("experiment", i64::MAX, &|it| is(it, "", "create", "chaosexperiments"))?;
        let built = last("Deployment", i64::MAX, &|it| is(it, OPERATOR, "create", "deployments"))?;
        let launched = last("Job", i64::MAX, &|it| is(it, OPERATOR, "create", "jobs"))?;
        let judged = last("verdict", i64::MAX, &|it| is(it, OPERATOR, "update", "chaosexperiments/status"))?;
        let available = last("available Deployment", launched.received_us, &|it| {
            is(it, DEPLOYMENTS, "update", "deployments/status")
        })?;
        let ended = last("end of a load", judged.received_us, &|it| {
            is(it, KUBELETS, "patch", "pods/status") && it.name.contains(LOAD)
        })?;
        let ms = |from_us: i64, to: &Request| Self::ms(from_us, to.answered_us);
        Ok(Self {
            build_ms: ms(created.received_us, built),
            lab_ms: ms(built.answered_us, available),
            launch_ms: ms(available.answered_us, launched),
            load_ms: ms(launched.answered_us, ended),
            judge_ms: ms(ended.answered_us, judged),
            asked: Asked::by_operator(requests),
        })
    }

    pub(crate) fn wall_ms(&self) -> f64 {
        self.operator_ms() + self.lab_ms + self.load_ms
    }

    /// What does not pass while pods start and the load runs.
    pub(crate) fn operator_ms(&self) -> f64 {
        self.build_ms + self.launch_ms + self.judge_ms
    }

    #[expect(clippy::cast_precision_loss, reason = "an experiment takes no centuries")]
    fn ms(from_us: i64, to_us: i64) -> f64 {
        (to_us - from_us) as f64 / 1e3
    }
}

impl Asked {
    pub(crate) fn by_operator(requests: &[Request]) -> Self {
        let count = |verbs: &[&str]| {
            let asked = requests.iter().filter(|it| it.user == OPERATOR && verbs.contains(&it.verb.as_str()));
            asked.fold(0.0, |count, _| count + 1.0)
        };
        Self { writes: count(&WRITES), reads: count(&READS) }
    }

    pub(crate) fn is_nothing(self) -> bool {
        self == Self { writes: 0.0, reads: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Received at a millisecond, and answered one later.
    fn request((user, verb, resource, name, at_ms, code): (&str, &str, &str, &str, i64, u16)) -> Request {
        Request {
            user: user.to_owned(),
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            code,
            user_agent: String::new(),
            received_us: at_ms * 1000,
            answered_us: (at_ms + 1) * 1000,
        }
    }

    #[test]
    fn the_operator_answers_for_what_nobody_else_was_waited_for() {
        let kubelet = "system:node:paylab-0";
        let requests = [
            ("admin", "create", "chaosexperiments", "lesson", 100, 201),
            (OPERATOR, "get", "chaosexperiments", "lesson", 102, 200),
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
        let account = Account::of(&requests.map(request), "shop").unwrap();
        let expected = Account {
            build_ms: 21.0,
            lab_ms: 880.0,
            launch_ms: 10.0,
            load_ms: 990.0,
            judge_ms: 20.0,
            asked: Asked { writes: 5.0, reads: 1.0 },
        };
        assert_eq!((account, account.wall_ms()), (expected, 1921.0));
    }
}
