//! What this machine lets one process do, checked before a load begins: a load that finds out on its way proves nothing.

use std::{fs, time::Duration};

use paylab_core::{
    fault::{effect::Effect, point::Point},
    plan::Plan,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most that a valid plan can have in flight: 64 workers, 1024 payments of each, 8 copies of each payment.
pub(crate) const IN_FLIGHT_MAX: u32 = 64 * 1024 * 8;

/// File descriptors of one attempt in flight: the socket of the client, both of the proxy, and that of the service.
const PER_ATTEMPT: u64 = 4;
/// Those of an attempt that the client has given up and that proxy and service have not: the same, without the client's.
const PER_ABANDONED: f64 = 3.0;
/// File descriptors of one worker: its runtime, and its requests to the control side of the parts. Measured: 4.
const PER_WORKER: u64 = 6;
/// File descriptors of all other parts of the lab: listeners, runtimes, signals, the ledger's files and the proxy's record. Measured: 27.
const BASE: u64 = 48;
/// With more faults than this, the number of attempts that are given up one after the other has no bound that means anything.
const PROBABILITY_MAX: f64 = 0.95;
/// The number of open file descriptors where the system does not tell it.
const OPEN_UNKNOWN: u64 = 16;

/// File descriptors that a load needs, and those that this process may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Descriptors {
    /// How many may be open; `None`: as many as you like.
    limit: Option<u64>,
    /// How many are open before the lab starts.
    open: u64,
}

/// Raises the number of file descriptors that this process may have open as far as the system allows without asking.
pub(crate) fn raise_descriptor_limit() {
    let Rlimit { current: _, maximum } = getrlimit(Resource::Nofile);
    // If the system refuses, the old limit counts, and a load that needs more is refused.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Refuses a plan for which this process may not open enough file descriptors, with the reason and the ways out.
pub(crate) fn check_descriptors(plan: &Plan) -> Result<(), String> {
    Descriptors { limit: getrlimit(Resource::Nofile).current, open: open_descriptors() }.check(plan)
}

impl Descriptors {
    fn check(self, plan: &Plan) -> Result<(), String> {
        let Self { limit: Some(limit), open } = self else { return Ok(()) };
        let concurrency = plan.client.concurrency;
        let (attempts, needed) = (in_flight(plan, concurrency), needed(plan, concurrency));
        if open + needed <= limit {
            return Ok(());
        }
        let fewer = largest_concurrency(plan, limit.saturating_sub(open));
        let fewer = fewer.map(|fewer| format!("use --concurrency {fewer}, or ")).unwrap_or_default();
        Err(format!(
            "{attempts} attempts in flight need {needed} file descriptors, but this process may have {limit} and has {open} open \
             already; {fewer}raise the limit with: ulimit -n {}",
            open + needed
        ))
    }
}

/// The file descriptors that the lab needs on one machine.
fn needed(plan: &Plan, concurrency: usize) -> u64 {
    let abandoned = abandoned(plan, concurrency);
    BASE + PER_WORKER * u64::from(plan.client.workers) + PER_ATTEMPT * in_flight(plan, concurrency) + abandoned
}

/// The file descriptors of attempts that the client gives up while proxy and service still work on them: a reset after a part of the
/// request was forwarded, or a delay of at least the attempt's timeout. As many payments can have such attempts at once as follow one
/// another during the delay.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is rounded up, positive and far below 2^53"
)]
fn abandoned(plan: &Plan, concurrency: usize) -> u64 {
    let timeout = plan.client.attempt_timeout;
    let abandoning = || plan.faults().iter().filter(|fault| is_abandoning(fault.effect, timeout));
    let probability = abandoning().map(|fault| fault.probability).sum::<f64>().min(PROBABILITY_MAX);
    let of_a_payment = probability / (1.0 - probability);
    let longest = abandoning().map(|fault| fault.effect.holds_for()).max().unwrap_or_default();
    let in_flight = in_flight(plan, concurrency).max(1);
    let rounds =
        (longest.as_secs_f64() / timeout.as_secs_f64()).ceil().clamp(1.0, plan.count.div_ceil(in_flight).max(1) as f64);
    (in_flight as f64 * of_a_payment * rounds * PER_ABANDONED).ceil() as u64
}

/// Whether proxy and service may still work on an attempt with this effect when the client has given it up.
fn is_abandoning(effect: Effect, attempt_timeout: Duration) -> bool {
    match effect {
        Effect::Reset(_) | Effect::Kill(_) => match effect.at() {
            Point::Connect | Point::BeforeRequest => false,
            Point::MidRequest
            | Point::AfterRequest
            | Point::BeforeResponse
            | Point::MidResponse
            | Point::AfterResponse => true,
        },
        Effect::Delay(_) => effect.holds_for() >= attempt_timeout,
    }
}

/// The most attempts that can be in flight at once.
fn in_flight(plan: &Plan, concurrency: usize) -> u64 {
    let payments = u64::from(plan.client.workers) * concurrency as u64;
    payments.min(plan.count) * u64::from(plan.client.hedge)
}

/// The largest concurrency for which this number of file descriptors suffices, if there is one.
fn largest_concurrency(plan: &Plan, descriptors: u64) -> Option<usize> {
    (1..plan.client.concurrency).rev().find(|concurrency| needed(plan, *concurrency) <= descriptors)
}

/// How many file descriptors this process has open.
fn open_descriptors() -> u64 {
    // One of them is that of the folder itself.
    fs::read_dir("/proc/self/fd").map_or(OPEN_UNKNOWN, |open| (open.count() as u64).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use paylab_resource::{definition::definition, file};

    use super::*;

    fn plan(spec: &str) -> Plan {
        let head = "apiVersion: paylab.dev/v1alpha1\nkind: ChaosExperiment\nmetadata: {name: a}\n";
        file::parse(&format!("{head}spec: {{claim: ExactlyOnce, {spec}}}\n"), 1).unwrap().plan
    }

    #[test]
    fn a_plan_for_which_descriptors_are_missing_is_refused_with_every_number_and_the_ways_out() {
        let plan = plan("client: {concurrency: 100, workers: 2, hedge: 3}");
        let enough = Descriptors { limit: Some(10 + needed(&plan, 100)), open: 10 };
        assert_eq!((enough.check(&plan), needed(&plan, 100)), (Ok(()), BASE + 2 * PER_WORKER + 2400));
        assert_eq!(Descriptors { limit: None, open: 10 }.check(&plan), Ok(()));
        let short = Descriptors { limit: Some(9 + needed(&plan, 100)), open: 10 }.check(&plan).unwrap_err();
        let all = 10 + needed(&plan, 100);
        for part in [
            "600 attempts in flight need".to_owned(),
            format!("this process may have {} and has 10 open already", all - 1),
            format!("use --concurrency 99, or raise the limit with: ulimit -n {all}"),
        ] {
            assert!(short.contains(&part), "{part} is not in {short}");
        }
        let hopeless = Descriptors { limit: Some(32), open: 10 }.check(&plan).unwrap_err();
        assert!(!hopeless.contains("--concurrency") && hopeless.contains("ulimit -n"), "{hopeless}");
    }

    #[test]
    fn no_more_is_in_flight_than_there_are_payments() {
        let bounded = "payments: {count: 5}, client: {concurrency: 1024, hedge: 2}";
        assert_eq!(in_flight(&plan(bounded), 1024), 10);
    }

    #[test]
    fn attempts_that_the_client_gives_up_count_while_the_proxy_works_on_them() {
        for (faults, of_ten) in [
            ("{name: a, probability: 0.5, reset: {at: BeforeRequest}}", 0),
            ("{name: a, probability: 0.5, delay: {at: BeforeResponse, for: 4s}}", 0),
            ("{name: a, probability: 0.5, reset: {at: AfterRequest}}", 30),
            ("{name: a, probability: 0.5, delay: {at: BeforeResponse, for: 15s}}", 90),
        ] {
            let plan = plan(&format!("client: {{concurrency: 10}}, faults: [{faults}]"));
            assert_eq!(abandoned(&plan, 10), of_ten, "{faults}");
        }
    }

    #[test]
    fn the_proxy_has_room_for_every_attempt_of_every_valid_plan() {
        let definition = serde_json::to_value(definition()).unwrap();
        let maximum = |field: &str| {
            let client = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
                ["client"]["properties"];
            client[field]["maximum"].as_f64().unwrap()
        };
        let largest: f64 = ["workers", "concurrency", "hedge"].into_iter().map(maximum).product();
        assert!((largest - f64::from(IN_FLIGHT_MAX)).abs() < 1.0, "{largest}");
    }
}
