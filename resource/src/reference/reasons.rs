//! The conditions of an experiment and the reasons that its status gives. The reasons of a verdict are the core's anomalies and
//! doubts; those of the stages before are the operator's.

use paylab_core::judge::{anomaly::Anomaly, doubt::Doubt};

/// A condition: its type, when it is True, its reason then, and its reasons when it is False.
type ConditionRow = (&'static str, &'static str, &'static str, &'static str);

const CONDITIONS: [ConditionRow; 8] = [
    ("Accepted", "The experiment can be run as it is written.", "`Planned`", "`Refused`"),
    (
        "EnvironmentReady",
        "The payment service and the proxy are ready, and none of their pods was replaced and no container in them ended while the load ran.",
        "`AsPlanned`",
        "`Starting`, the reason of a pod that does not start, `EnvironmentChanged`",
    ),
    (
        "LoadComplete",
        "Every worker has sent its share of the payments and has reported.",
        "`AllReported`",
        "`Loading`, the reason of a pod that does not start, `EnvironmentChanged`, `ReportMissing`, `LoadStopped`, `LoadIncomplete`, `PortShortage`",
    ),
    (
        "FaultsDelivered",
        "The faults took effect on the attempts that the seed decides.",
        "`AllStruck`",
        "`EnvironmentChanged`, `ReportMissing`, `CoinsDiffer`, `FaultsFailed`, `Lapsed`, `FaultSilent`",
    ),
    (
        "LedgerReconciled",
        "The ledger, the proxy's record and the client's history were read completely and agree with each other.",
        "`WitnessesAgree`",
        "`EnvironmentChanged`, `ReportMissing`, `LedgerFlawed`, `RecordFlawed`, `Unrecorded`, `AttemptsDiffer`, `Strangers`, `RequestsDiffer`, `ConnectionsDiffer`",
    ),
    (
        "Verified",
        "The verdict is the one that `spec.expect` names.",
        "`AsExpected`",
        "`NotAsExpected`, the doubt that made the verdict `Inconclusive`, the reason of the failure",
    ),
    (
        "Ready",
        "The same as `Verified`, for tools that read kstatus.",
        "`Verified`",
        "`Preparing`, `Loading`, or that of `Verified`",
    ),
    (
        "Stalled",
        "The experiment has ended, and `Verified` will not become True.",
        "that of `Verified`",
        "never False: it is absent instead",
    ),
];

/// Why an experiment ends without a verdict. What Kubernetes says of a pod is given as it is.
const FAILURES: [(&str, &str); 13] = [
    ("Refused", "The spec cannot be run. `message` names each field that is wrong."),
    ("NameTaken", "An object that is not Paylab's has the name of one of the lab's objects."),
    ("FormerRun", "Parts of an earlier experiment of the same name are still being removed."),
    ("ForeignPod", "A pod that is not the run's has the labels of its service or proxy, so it would receive payments."),
    ("ServiceNotFound", "The namespace has no Service of the name in `spec.target.service`."),
    ("PortNotFound", "The Service in `spec.target.service` does not have the port."),
    (
        "NoEndpoints",
        "The Service in `spec.target.service` leads to no pod, or to none that is ready; `message` says why.",
    ),
    ("DeadlineExceeded", "The parts were not ready within `spec.activeDeadline`, and no pod says why."),
    ("ErrImageNeverPull, InvalidImageName", "The image of a part is not there, or its name is wrong."),
    (
        "ImagePullBackOff, CreateContainerConfigError, CrashLoopBackOff, FailedCreate",
        "A pod could not be started for a minute.",
    ),
    (
        "Restarted",
        "A container of the service or the proxy was started anew less than 10 s ago; the load begins when it has run for so long.",
    ),
    ("Unschedulable", "No node has had room for a pod within `spec.activeDeadline`."),
    ("NotReady", "A pod runs and has not become ready within `spec.activeDeadline`."),
];

/// What a field of a condition means. Kubernetes' own words are about conditions in general.
pub(super) fn condition_field(path: &str) -> Option<&'static str> {
    let meaning = match path.strip_prefix("status.conditions[].")? {
        "type" => "The type of the condition, such as `Verified`; see the section about conditions.",
        "status" => "Whether the condition holds: `True` or `False`.",
        "reason" => "The reason for the status of the condition, as one word; see the section about conditions.",
        "message" => "The same as a sentence. It is empty where the reason says it all.",
        "lastTransitionTime" => "The time at which the status of the condition has last changed.",
        "observedGeneration" => "The `metadata.generation` of the resource that the condition is about.",
        _ => return None,
    };
    Some(meaning)
}

/// What an anomaly says about a payment.
const fn anomaly(anomaly: Anomaly) -> &'static str {
    match anomaly {
        Anomaly::AcknowledgedButLost => "The client received an acknowledgement, and the payment was never booked.",
        Anomaly::AnsweredButLost => {
            "The service acknowledged the payment, the client did not receive the response, and the payment was never booked."
        }
        Anomaly::RejectedButBooked => {
            "Every attempt was refused or did not leave the client, and the payment was booked."
        }
        Anomaly::Shortfall => "The ledger's total has risen by less than the payments add up to: money is missing.",
        Anomaly::Surplus => "The ledger's total has risen by more than the payments add up to: money was booked twice.",
        Anomaly::Phantom => "The ledger has an entry that no payment of the experiment asked for.",
        Anomaly::Mismatched => {
            "The amount or the accounts in the ledger differ from what was asked for or acknowledged."
        }
        Anomaly::SelfDuplicated => "The payment was booked more often than its requests reached the service.",
        Anomaly::Duplicated => "The payment was booked twice or more often.",
        Anomaly::UnstableReplay => "Two acknowledgements of the payment named different identities.",
        Anomaly::RefusedRepeat => {
            "The payment was booked, and then its repeat was refused for good: the client was told \"no\" about money that moved."
        }
        Anomaly::Stuck => {
            "However often the client asked, it was not told what became of the payment: it got only responses that ask for another attempt, or none (see `spec.client.retry.stuckAfter`)."
        }
        Anomaly::Refused => {
            "The service refused the payment for good and did not book it, so that both sides know. It breaks no claim, and is never a reason."
        }
        Anomaly::Lost => "The payment was never booked, and the client gave up after its last permitted attempt.",
    }
}

/// What a doubt says about the evidence.
const fn doubt(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::EnvironmentChanged => {
            "The lab changed while the load ran: pods of the service or the proxy were replaced, added or taken away, a container in one of them ended, or the load was started twice."
        }
        Doubt::ReportMissing => "A worker has left no report.",
        Doubt::ContractNotProven => {
            "A payment on a path without faults did not go as `spec.target` says, so that no load was sent."
        }
        Doubt::ControlNotDetected => {
            "The ledger did not show a payment that was made twice on purpose, so that it would show no duplicate either."
        }
        Doubt::LoadStopped => "The load ended early, such as at `spec.activeDeadline`.",
        Doubt::LoadIncomplete => "Some payments were not tried to their end.",
        Doubt::AnswersNotUnderstood => {
            "The responses about some payments were not understood, such as a status that is not known."
        }
        Doubt::PortShortage => "The machine of the client had no port or file descriptor left.",
        Doubt::LedgerFlawed => "The ledger could not be read completely.",
        Doubt::RecordFlawed => "The proxy's record could not be read completely.",
        Doubt::Unrecorded => "The proxy could not record some requests.",
        Doubt::OtherSender => "Somebody else has sent requests of payments of this run.",
        Doubt::AttemptsDiffer => "The proxy's record lacks attempts of the client.",
        Doubt::CoinsDiffer => "The proxy decided on faults otherwise than the seed says.",
        Doubt::FaultsFailed => "Faults were to take effect and did not.",
        Doubt::Lapsed => "Requests passed without faults because the proxy's rules had expired.",
        Doubt::Strangers => "The proxy received requests that were not of this load.",
        Doubt::UnintendedResets => "Connections were reset though no fault ordered it.",
        Doubt::RequestsDiffer => "The service has not received as many requests as the proxy forwarded.",
        Doubt::ConnectionsDiffer => "The proxy has not accepted as many connections as the client made attempts.",
        Doubt::FaultSilent => "A fault that should have taken effect at least 10 times never did.",
        Doubt::BoundNotReached => "The bug rate could not be bounded as `--until-bound` asks.",
        Doubt::TooFewExposures => "The path had fewer chances to break its claim than `spec.minExposures` asks for.",
    }
}

/// The section about conditions.
pub(super) fn conditions() -> String {
    let rows = CONDITIONS.map(|(kind, holds, yes, no)| format!("| `{kind}` | {holds} | {yes} | {no} |\n"));
    let head =
        "\n## Conditions\n\nThe conditions in `status.conditions`. A condition that says nothing yet is absent.\n
| type | is True when | reason when True | reasons when False |\n|---|---|---|---|\n";
    format!("{head}{}", rows.concat())
}

/// The section about reasons.
pub(super) fn reasons() -> String {
    let table = |rows: Vec<(String, &str)>| {
        let rows =
            rows.into_iter().map(|(reason, meaning)| format!("| `{}` | {meaning} |\n", reason.replace(", ", "`, `")));
        format!("\n| reason | meaning |\n|---|---|\n{}", rows.collect::<String>())
    };
    let anomalies = Anomaly::ALL.map(|one| (format!("{one:?}"), anomaly(one)));
    let doubts = Doubt::ALL.map(|one| (format!("{one:?}"), doubt(one)));
    let failures = FAILURES.map(|(reason, meaning)| (reason.to_owned(), meaning));
    [
        "\n## Reasons\n\nThe values of `status.reason`. An `Upheld` verdict has the reason `ClaimHeld`.\n".to_owned(),
        "\nA `Violated` verdict has the worst anomaly that was found; the worst is the first:\n".to_owned(),
        table(anomalies.into()),
        "\nAn `Inconclusive` verdict has the first doubt about the evidence:\n".to_owned(),
        table(doubts.into()),
        "\nAn experiment that has failed has the reason why the load could not begin:\n".to_owned(),
        table(failures.into()),
    ]
    .concat()
}
