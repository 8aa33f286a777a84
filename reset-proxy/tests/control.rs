//! The control port: rules and their lease, the record and its footer, the plan, the drain.

mod support;

use paylab_core::{
    fault::{point::Point, sampler::FaultSampler},
    witness::record::End,
};
use paylab_part::contract::{
    DRAIN_PATH, HEALTH_PATH, LEASE_PATH, PLAN_PATH, PlannedFate, Problem, READY_PATH, RULES_PATH, Rules, RulesInForce,
};
use support::{Ending, LEASE_MS, Lab, OK, OK_LAST, SEED, always, fault, pay, rules, soon};

async fn pass(lab: &Lab, payment: u64) {
    let (mut client, mut service) = lab.deliver(&pay(payment, 1)).await;
    service.send(OK_LAST).await;
    drop(service);
    assert_eq!(client.rest().await, (OK_LAST.into(), Ending::Eof));
}

#[tokio::test]
async fn rules_are_shown_as_they_were_put_and_removed() {
    let lab = Lab::start().await;
    assert_eq!(lab.control("GET", RULES_PATH, "").await.0, 404);
    let put = rules("run-1", vec![fault("lost", 0.3, Point::MidRequest)]);
    lab.put(&put).await;
    let shown: RulesInForce = serde_json::from_str(&lab.control("GET", RULES_PATH, "").await.1).unwrap();
    assert_eq!(shown.rules, put);
    assert!((1..=LEASE_MS).contains(&shown.lease_left_ms));
    assert_eq!(lab.control("DELETE", RULES_PATH, "").await.0, 204);
    assert_eq!(lab.control("GET", RULES_PATH, "").await.0, 404);
}

#[tokio::test]
async fn invalid_rules_are_refused_with_every_wrong_field_and_change_nothing() {
    let lab = Lab::passing().await;
    let mut wrong = rules("run-2", vec![fault("a/b", 7.5, Point::Connect), fault("a/b", 0.5, Point::Connect)]);
    wrong.lease_ms = 0;
    let (status, body) = lab.control("PUT", RULES_PATH, &serde_json::to_string(&wrong).unwrap()).await;
    let problem: Problem = serde_json::from_str(&body).unwrap();
    assert_eq!((status, problem.status, problem.field.as_deref()), (400, 400, Some("faults[0].name")));
    for field in ["faults[0].probability", "faults[1].name", "lease_ms"] {
        assert!(problem.detail.contains(field), "{}", problem.detail);
    }
    for (method, path, field) in [
        ("PUT", RULES_PATH.to_owned(), "run_id"),
        ("POST", LEASE_PATH.to_owned(), "run_id"),
        ("GET", format!("{PLAN_PATH}?attempts=0"), "attempts"),
        ("GET", format!("{PLAN_PATH}?from=5&to=4"), "to"),
        ("GET", format!("{DRAIN_PATH}?timeout_ms=3600001"), "timeout_ms"),
        ("GET", format!("{DRAIN_PATH}?timeout_ms=-1"), "timeout_ms"),
    ] {
        let (status, body) = lab.control(method, &path, "{}").await;
        let problem: Problem = serde_json::from_str(&body).unwrap();
        assert_eq!((status, problem.field.as_deref()), (400, Some(field)), "{method} {path}: {body}");
    }
    pass(&lab, 1).await;
    assert_eq!(lab.record().await.1.run_id.as_deref(), Some("run-1"));
}

#[tokio::test]
async fn the_same_run_keeps_its_record_and_another_run_starts_a_new_one() {
    let lab = Lab::passing().await;
    pass(&lab, 1).await;
    lab.put(&rules("run-1", vec![])).await;
    pass(&lab, 2).await;
    assert_eq!(lab.record().await.1.requests, 2);
    let changed = serde_json::to_string(&rules("run-1", vec![always("new", Point::Connect)])).unwrap();
    assert_eq!(lab.control("PUT", RULES_PATH, &changed).await.0, 409);
    lab.put(&rules("run-2", vec![])).await;
    let (lines, footer) = lab.record().await;
    assert_eq!((lines.len(), footer.connections, footer.run_id.as_deref()), (0, 0, Some("run-2")));
}

#[tokio::test]
async fn an_expired_lease_lets_everything_pass_until_its_owner_renews_it() {
    let lab = Lab::start().await;
    let short = Rules { lease_ms: 1, ..rules("run-1", vec![always("reset", Point::BeforeRequest)]) };
    lab.put(&short).await;
    let lapsed = async {
        loop {
            let shown: RulesInForce = serde_json::from_str(&lab.control("GET", RULES_PATH, "").await.1).unwrap();
            if shown.lease_left_ms == 0 {
                return;
            }
        }
    };
    soon("the end of the lease", lapsed).await;
    pass(&lab, 1).await;
    let (lines, footer) = lab.record().await;
    assert_eq!((lines.len(), footer.requests, footer.lapsed), (0, 0, 1));

    lab.put(&Rules { lease_ms: LEASE_MS, ..short }).await;
    assert_eq!(lab.control("POST", LEASE_PATH, r#"{"run_id":"run-2"}"#).await.0, 409);
    assert_eq!(lab.control("POST", LEASE_PATH, r#"{"run_id":"run-1"}"#).await.0, 200);
    let mut client = lab.client().await;
    client.send(pay(2, 1)).await;
    client.ends_with(Ending::Reset).await;
}

#[tokio::test]
async fn new_rules_do_not_change_a_request_in_flight() {
    let lab = Lab::passing().await;
    let (mut client, mut service) = lab.deliver(&pay(1, 1)).await;
    lab.put(&rules("run-2", vec![always("reset", Point::AfterResponse)])).await;
    service.send(OK).await;
    client.expect(OK).await;
    client.send(pay(2, 1)).await; // The same connection under the new rules.
    service.expect(pay(2, 1)).await;
    service.send(OK).await;
    client.expect(OK).await;
    client.ends_with(Ending::Reset).await;
    let line = lab.only_line().await;
    assert_eq!((line.payment, line.conn, line.nth, line.end), (2, 0, 1, End::Faulted));
}

#[tokio::test]
async fn a_drain_waits_for_requests_that_had_begun_and_not_for_newer_ones() {
    let lab = Lab::passing().await;
    let (mut old, mut old_service) = lab.deliver(&pay(1, 1)).await;
    assert_eq!(lab.control("GET", &format!("{DRAIN_PATH}?timeout_ms=1"), "").await.0, 503);
    let mut drain = lab.send_control("GET", DRAIN_PATH, "").await;
    // The drain has begun once a later request at the control port is answered.
    lab.counters().await;
    let _newer = lab.deliver(&pay(2, 1)).await;
    old_service.send(OK).await;
    old.expect(OK).await;
    assert_eq!(drain.response().await.0, 200);
    assert_eq!(lab.counters().await.in_flight, 1);
}

#[tokio::test]
async fn a_record_shows_requests_in_flight_as_intended_and_only_the_payments_of_the_window() {
    let lab = Lab::start().await;
    lab.put(&rules("run-1", vec![always("reset", Point::BeforeResponse)])).await;
    let _in_flight = lab.deliver(&pay(3, 1)).await;
    let (lines, footer) = lab.record_now("?from=3&to=4").await;
    assert_eq!((lines[0].end, lines[0].at), (End::Intended, Some(Point::BeforeResponse)));
    assert_eq!((lines.len(), footer.requests, footer.run_id.as_deref()), (1, 1, Some("run-1")));
    assert_eq!(lab.record_now("?from=4").await.0.len(), 0);
    assert_eq!(lab.record_now("?to=3").await.0.len(), 0);
}

#[tokio::test]
async fn the_plan_shows_the_fates_without_any_traffic() {
    let lab = Lab::start().await;
    assert_eq!(lab.control("GET", PLAN_PATH, "").await.0, 404);
    let faults =
        vec![fault("request-lost", 0.3, Point::BeforeRequest), fault("response-lost", 0.3, Point::BeforeResponse)];
    lab.put(&rules("run-1", faults.clone())).await;
    let (status, text) = lab.control("GET", &format!("{PLAN_PATH}?from=5&to=505&attempts=2"), "").await;
    let fates: Vec<PlannedFate> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((status, fates.len()), (200, 1000));
    let sampler = FaultSampler::new(SEED, &faults);
    for (index, fate) in (0..).zip(&fates) {
        let id = format!("{}/{}", 5 + index / 2, 1 + index % 2).parse().unwrap();
        let draw = sampler.draw(id);
        assert_eq!((fate.payment, fate.attempt, fate.at), (id.payment.0, id.attempt, sampler.point(&draw)));
        assert_eq!(fate.fired.len(), draw.fired.count_ones() as usize);
    }
    assert_eq!(lab.control("GET", PLAN_PATH, "").await.1.lines().count(), 30);
    assert_eq!(lab.counters().await.requests, 0);
}

#[tokio::test]
async fn the_proxy_is_ready_when_it_can_reach_its_service() {
    let reached = Lab::start().await;
    assert_eq!(reached.control("GET", READY_PATH, "").await.0, 200);
    assert_eq!(reached.counters().await.connections, 0, "a probe is not counted as a connection");
    let lab = Lab::start_with(|options| options.upstream = Some("127.0.0.1:1".parse().unwrap())).await;
    let (status, body) = lab.control("GET", READY_PATH, "").await;
    assert!(status == 503 && body.contains("the service cannot be reached"), "{status} {body}");
    assert_eq!(lab.control("GET", HEALTH_PATH, "").await.0, 200);
    assert_eq!(lab.control("GET", "/nothing", "").await.0, 404);
    assert_eq!(lab.control("POST", RULES_PATH, "").await.0, 405);
}
