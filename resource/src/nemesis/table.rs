//! The list of nemeses, in the order of a request.

use paylab_core::{
    client::BodyDrift,
    duration_text::DurationText,
    fault::{
        delay::Delay,
        effect::Effect,
        kill::Kill,
        point::Point::{self, AfterRequest, AfterResponse, BeforeRequest, BeforeResponse, MidResponse},
        reset::Reset,
        spec::FaultSpec,
    },
    judge::anomaly::Anomaly::{AcknowledgedButLost, Duplicated, Lost, Mismatched, RefusedRepeat},
    targets::ours::Dedup,
};

use super::{
    Company, Expected,
    Expected::{Blind, Broken, Holds},
    Exposes, Nemesis,
};
use crate::spec::{Backoff, ChaosExperimentSpec, Redeliver};

/// How often a fault of a nemesis strikes.
const OFTEN: f64 = 0.3;
/// When an acknowledged payment is asked for once more.
const LATER: DurationText = DurationText::from_ms(500);
/// How long Paylab's own service remembers a key then, if it forgets any.
const OUR_KEY_TTL: DurationText = DurationText::from_ms(100);
/// How often the service is killed at each point, at the most.
const NOW_AND_THEN: f64 = 0.1;
/// About so many kills at each point are enough, however many payments there are: a service may take half a second to start.
const KILLS_ENOUGH: f64 = 30.0;
/// The same where each strikes several payments.
const WIDE_KILLS_ENOUGH: f64 = 15.0;
/// How long the service has worked on a payment when it is killed.
const IN_THE_MIDDLE: DurationText = DurationText::from_ms(15);
/// The same of Paylab's own service, which then works that long.
const OURS_IN_THE_MIDDLE: DurationText = DurationText::from_ms(50);
const OUR_LONG_PROCESSING_TIME: DurationText = DurationText::from_ms(160);
/// How often requests are lost on the way of a client that gives up.
const VERY_OFTEN: f64 = 0.5;
/// After so many attempts a client gives up that would otherwise try until it is acknowledged.
const GIVES_UP_AFTER: i32 = 3;
/// The longest timeout under a slow service: it is waited for often.
const TIMEOUT_MOST: DurationText = DurationText::from_ms(500);
/// How much later than the client's repeat a slow request arrives: well within the time for which a service works on the repeat.
const LATE_BY_MS: u64 = 10;
/// The pause of a client that tries again at once: short, and not so short that it asks a service that answers "try again" without a break.
const AT_ONCE: Backoff = Backoff { base: DurationText::from_ms(5), cap: DurationText::from_ms(20) };

/// How long Paylab's own service works on a payment: long enough for a repeat to come in between.
pub(super) const OUR_PROCESSING_TIME: DurationText = DurationText::from_ms(30);
/// A load on Paylab's own service takes seconds.
pub(super) const OUR_DEADLINE: DurationText = DurationText::from_ms(120_000);
/// How many payments are in flight to Paylab's own service.
pub(super) const OUR_CONCURRENCY: i32 = 32;

const TWICE: Expected = Broken(Duplicated);
const OTHER: Expected = Broken(Mismatched);
const FORGOTTEN: Expected = Broken(AcknowledgedButLost);
/// What a nemesis reveals that loses answers: a service that books every request, and none of the others.
const BLIND: [Expected; 8] = [TWICE, Holds, Holds, Blind, Blind, Blind, Blind, Blind];
/// What a nemesis reveals under which two requests of a payment overlap: services that look before they book.
const RACE: [Expected; 8] = [TWICE, Holds, Holds, TWICE, Holds, Holds, TWICE, Holds];

/// Every nemesis. The expectations are those of `None`, `UniqueKey`, `Replay`, `CheckThenInsert`, `Memory`, `KeyThenApply`, `ApplyThenKey` and
/// `AckThenApply`.
pub const ALL: [Nemesis; 11] = [
    Nemesis {
        name: "lost-request",
        title: "lost request",
        imitates: "The network loses requests on their way, so that they never arrive.",
        exposes: Exposes::Delivery,
        company: Company::Others,
        turn: |spec| spec.faults = vec![reset("request-lost", OFTEN, BeforeRequest)],
        ours: [Blind, Holds, Holds, Blind, Blind, Blind, Blind, Blind],
    },
    Nemesis {
        name: "lost-answer",
        title: "lost answer",
        imitates: "The service has booked, and the connection breaks before the answer gets back.",
        exposes: Exposes::Claim,
        company: Company::Others,
        turn: |spec| spec.faults = vec![reset("response-lost", OFTEN, BeforeResponse)],
        ours: BLIND,
    },
    Nemesis {
        name: "cut-at-once",
        title: "cut at once",
        imitates: "The connection breaks as soon as the request is sent, and the client's repeat arrives while the service is at work on it.",
        exposes: Exposes::Claim,
        company: Company::Others,
        turn: |spec| {
            spec.client.retry.backoff = AT_ONCE;
            spec.faults = vec![reset("request-sent", OFTEN, AfterRequest)];
        },
        ours: RACE,
    },
    Nemesis {
        name: "half-answer",
        title: "half answer",
        imitates: "The connection breaks in the middle of the answer.",
        exposes: Exposes::Claim,
        company: Company::Others,
        turn: |spec| spec.faults = vec![reset("half-answer", OFTEN, MidResponse)],
        ours: BLIND,
    },
    Nemesis {
        name: "hedge",
        title: "hedge x2",
        imitates: "The client sends each request twice at the same time and takes the first answer, as a double click or a hedging proxy does.",
        exposes: Exposes::Claim,
        company: Company::Others,
        turn: |spec| {
            let client = &mut spec.client;
            client.hedge = client.hedge.max(2);
            if client.retry.max_attempts > 0 {
                client.retry.max_attempts = client.retry.max_attempts.max(client.hedge);
            }
        },
        ours: RACE,
    },
    Nemesis {
        name: "slow-timeout",
        title: "slow + timeout",
        imitates: "A request takes longer than the client waits, and arrives right behind the client's repeat.",
        exposes: Exposes::Claim,
        company: Company::Others,
        turn: slow_timeout,
        ours: RACE,
    },
    Nemesis {
        name: "other-amount",
        title: "other amount",
        imitates: "An answer is lost, and the client's repeat asks for another amount under the same key.",
        exposes: Exposes::Claim,
        company: Company::Others,
        turn: |spec| {
            spec.client.body_drift = BodyDrift::Amount;
            spec.faults = vec![reset("response-lost", OFTEN, BeforeResponse)];
        },
        ours: [TWICE, OTHER, Broken(RefusedRepeat), OTHER, OTHER, OTHER, OTHER, OTHER],
    },
    Nemesis {
        name: "late-repeat",
        title: "late repeat",
        imitates: "A payment that was acknowledged is asked for once more, as a webhook that is delivered twice does, when the service may have forgotten its key.",
        exposes: Exposes::Claim,
        company: Company::Others,
        turn: |spec| {
            let usual = || Redeliver { probability: OFTEN, after: LATER };
            spec.client.redeliver.get_or_insert_with(usual);
            if spec.target.is_none() && spec.service.dedup == Dedup::Replay {
                spec.service.key_ttl.get_or_insert(OUR_KEY_TTL);
            }
        },
        ours: [TWICE, Holds, TWICE, Blind, Blind, Blind, Blind, Blind],
    },
    Nemesis {
        name: "killed",
        title: "killed",
        imitates: "The service is killed in the middle of a booking, before its answer and after it, and started again at once.",
        exposes: Exposes::Claim,
        company: Company::Alone,
        turn: killed,
        ours: [TWICE, Holds, Holds, Holds, TWICE, FORGOTTEN, TWICE, FORGOTTEN],
    },
    Nemesis {
        name: "restarted",
        title: "restarted",
        imitates: "An answer is lost, and the service is started anew before the repeat comes, as in a deployment.",
        exposes: Exposes::Claim,
        company: Company::Alone,
        turn: |spec| {
            spec.client.concurrency = 1;
            spec.client.workers = 1;
            let restarts = enough(VERY_OFTEN, KILLS_ENOUGH, OFTEN * payments(spec));
            spec.faults = vec![
                reset("response-lost", OFTEN, BeforeResponse),
                FaultSpec { attempts: Some(vec![2]), ..kill("restarted", restarts, BeforeRequest, None) },
            ];
        },
        ours: [TWICE, Holds, Holds, Holds, TWICE, Holds, Holds, FORGOTTEN],
    },
    Nemesis {
        name: "gives-up",
        title: "gives up",
        imitates: "Half of the requests are lost on their way, and the client gives up after its last try.",
        exposes: Exposes::Delivery,
        company: Company::Others,
        turn: |spec| {
            let retry = &mut spec.client.retry;
            retry.max_attempts = if retry.max_attempts == 0 { GIVES_UP_AFTER } else { retry.max_attempts };
            spec.faults = vec![reset("request-lost", VERY_OFTEN, BeforeRequest)];
        },
        ours: [Broken(Lost); 8],
    },
];

fn reset(name: &str, probability: f64, at: Point) -> FaultSpec {
    FaultSpec::new(name, probability, Effect::Reset(Reset { at }))
}

fn kill(name: &str, probability: f64, at: Point, after: Option<DurationText>) -> FaultSpec {
    FaultSpec::new(name, probability, Effect::Kill(Kill { at, after }))
}

fn killed(spec: &mut ChaosExperimentSpec) {
    spec.client.workers = 1;
    let (mut at, mut kills) = (IN_THE_MIDDLE, WIDE_KILLS_ENOUGH);
    if spec.target.is_none() {
        // Paylab's own service works so long that it is hit in the middle for certain, and works on one payment at a time, so that what each
        // kill leaves can be predicted. A service of a user's is hit in the middle of whatever is in flight.
        (at, spec.service.processing_time) = (OURS_IN_THE_MIDDLE, OUR_LONG_PROCESSING_TIME);
        kills = KILLS_ENOUGH;
        spec.client.concurrency = 1;
    }
    let probability = enough(NOW_AND_THEN, kills, payments(spec));
    spec.faults = vec![
        kill("killed-at-work", probability, AfterRequest, Some(at)),
        kill("killed-before-answer", probability, BeforeResponse, None),
        kill("killed-after-answer", probability, AfterResponse, None),
    ];
}

/// The probability with which so many attempts meet so many kills, with four decimals and at most this one.
fn enough(most: f64, kills: f64, attempts: f64) -> f64 {
    const DECIMALS: f64 = 10_000.0;
    let enough = (kills / attempts * DECIMALS).round() / DECIMALS;
    enough.clamp(1.0 / DECIMALS, most)
}

fn payments(spec: &ChaosExperimentSpec) -> f64 {
    u32::try_from(spec.payments.count).map_or(f64::MAX, f64::from)
}

fn slow_timeout(spec: &mut ChaosExperimentSpec) {
    let retry = &mut spec.client.retry;
    if retry.attempt_timeout.duration() > TIMEOUT_MOST.duration() {
        retry.attempt_timeout = TIMEOUT_MOST;
    }
    retry.backoff = Backoff { base: DurationText::from_ms(0), ..retry.backoff.clone() };
    let lasts = DurationText::from_ms(retry.attempt_timeout.ms() + LATE_BY_MS);
    spec.faults = vec![FaultSpec::new("slow-request", OFTEN, Effect::Delay(Delay { at: BeforeRequest, lasts }))];
}
