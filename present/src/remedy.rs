//! What would remove a doubt or a finding, for somebody who wants a verdict.

use paylab_core::{judge::doubt::Doubt, outcome::finding::Finding};

/// What would remove a doubt.
pub(crate) const fn of_doubt(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::EnvironmentChanged => {
            "Run again on a cluster whose nodes stay, do not restart the parts of the lab, and find out why a container in them ended, if one did."
        }
        Doubt::ReportMissing => "Look at the logs of the load pods for why they ended, and run again.",
        Doubt::ContractNotProven => "Run `paylab check` on the file and mend what it names in spec.target.",
        Doubt::ControlNotDetected => {
            "Mend spec.target.ledger, so that the ledger shows both entries of a payment that is made twice; `paylab check` shows it."
        }
        Doubt::LoadStopped => {
            "Let the load run to its end: raise spec.activeDeadline, or find why nothing was answered."
        }
        Doubt::LoadIncomplete => {
            "Let the load run to its end, and limit retries with client.retry.maxAttempts if they never end."
        }
        Doubt::AnswersNotUnderstood => "Say in spec.target.pay.answers what these answers mean.",
        Doubt::PortShortage => "Lower client.concurrency, or raise the limits on ports and open files.",
        Doubt::LedgerFlawed => "Find out why the ledger could not be read whole, and run again.",
        Doubt::RecordFlawed => "Find out why the proxy's record could not be read whole, and run again.",
        Doubt::Unrecorded => "Give the proxy space for its temporary file, and run again.",
        Doubt::OtherSender => "Let nobody else send requests of this run: each run needs an id of its own.",
        Doubt::AttemptsDiffer => "Let all attempts go through the proxy, and give it time to end what is in flight.",
        Doubt::CoinsDiffer => "Use one version of Paylab for all parts, and let nobody else change the proxy's rules.",
        Doubt::FaultsFailed => "Run again with less load on the machine, so that the proxy can carry out every fault.",
        Doubt::Lapsed => "Keep the load able to renew its lease: give it more processor time.",
        Doubt::Strangers => "Let nobody but the load send requests through this proxy.",
        Doubt::UnintendedResets => {
            "Find out why the service breaks connections or cannot be reached, or say so with a fault."
        }
        Doubt::RequestsDiffer => "Let nobody reach the service but through the proxy.",
        Doubt::ConnectionsDiffer => "Let nothing else connect to the proxy, such as a health check.",
        Doubt::FaultSilent => "Raise payments.count or the probability of the fault, or remove the fault.",
        Doubt::BoundNotReached => {
            "Raise --budget or --payments-most, or the probabilities of faults, or ask for a larger bound."
        }
        Doubt::TooFewExposures => "Raise payments.count or the probabilities of faults, or lower spec.minExposures.",
    }
}

/// What would remove a finding.
pub(crate) const fn of_finding(finding: &Finding) -> &'static str {
    match finding {
        Finding::Timeouts(_) => "Raise client.retry.attemptTimeout, or find out why the service is slow.",
        Finding::Unreached(_) => "Start the service before the load, or raise the limits on connections.",
        Finding::Differs { .. } => {
            "Look at the payments below: the service treats repeats otherwise than its mode says, or something else interferes."
        }
    }
}
