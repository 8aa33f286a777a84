//! A reset at each of the seven points: what the client sees, what the service sees, and what the record says.

mod support;

use paylab_core::{
    fault::point::Point,
    witness::record::{End, RecordLine},
};
use support::{Ending, Lab, OK, OK_LAST, Peer, always, fault, pay, rules};

/// Checks what the record and the counters say of every request that was reset.
async fn check_reset(lab: &Lab, at: Point) -> RecordLine {
    let line = lab.only_line().await;
    assert_eq!((line.payment, line.attempt, line.attributed), (7, 2, true));
    assert_eq!((line.fault.as_deref(), line.at, line.end), (Some("reset"), Some(at), End::Faulted));
    assert_eq!(line.rst_client_ok, Some(true));
    let counters = lab.counters().await;
    assert_eq!(counters.resets, [(format!("{at:?}"), 1)].into());
    assert_eq!(counters.faults, [("reset".to_owned(), 1)].into());
    assert_eq!((counters.unintended_resets, counters.in_flight), (0, 0));
    line
}

/// What was transferred: bytes up, whether the request was forwarded whole, bytes down, status, reset of the service.
fn transferred(line: &RecordLine) -> (u64, bool, u64, Option<u16>, Option<bool>) {
    (line.bytes_up, line.forwarded_whole, line.bytes_down, line.status, line.rst_service_ok)
}

fn len(text: &str) -> u64 {
    text.len() as u64
}

#[tokio::test]
async fn at_connect_and_before_the_request_the_service_is_never_dialled() {
    for at in [Point::Connect, Point::BeforeRequest] {
        let lab = Lab::resetting(at).await;
        let mut client = lab.client().await;
        client.send(pay(7, 2)).await;
        client.ends_with(Ending::Reset).await;
        let line = check_reset(&lab, at).await;
        assert_eq!(transferred(&line), (0, false, 0, None, None));
        assert!(lab.was_not_dialled(), "{at:?}");
    }
}

#[tokio::test]
async fn a_reset_on_connect_finds_its_attempt_in_a_head_that_comes_in_pieces() {
    let lab = Lab::start().await;
    let mut only = always("reset", Point::Connect);
    only.payments = Some(paylab_core::fault::spec::PaymentRange { from: 7, to: 8 });
    lab.put(&rules("run-1", vec![only])).await;
    let (head, rest) = (pay(7, 2), pay(7, 2).split_off(60));
    let mut client = lab.client().await;
    client.send(&head[..60]).await;
    lab.counters().await; // By now the proxy has looked at the first piece.
    client.send(&rest).await;
    client.ends_with(Ending::Reset).await;
    check_reset(&lab, Point::Connect).await;

    let (mut client, mut service) = lab.deliver(&pay(8, 1)).await;
    service.send(OK).await;
    client.expect(OK).await;
}

#[tokio::test]
async fn in_the_middle_of_the_request_the_service_gets_the_head_and_half_of_the_body() {
    let lab = Lab::resetting(Point::MidRequest).await;
    let mut client = lab.client().await;
    client.send(pay(7, 2)).await;
    let mut service = lab.service().await;
    let half = &pay(7, 2)[..pay(7, 2).len() - 5];
    service.expect(half).await;
    service.ends_with(Ending::Reset).await;
    client.ends_with(Ending::Reset).await;
    let line = check_reset(&lab, Point::MidRequest).await;
    assert_eq!(transferred(&line), (len(half), false, 0, None, Some(true)));
}

#[tokio::test]
async fn in_the_middle_of_a_request_the_service_never_gets_all_of_it() {
    let chunked = "POST / HTTP/1.1\r\nPaylab-Attempt: 7/2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let bare = "GET / HTTP/1.1\r\nPaylab-Attempt: 7/2\r\n\r\n";
    let one = "PUT / HTTP/1.1\r\nPaylab-Attempt: 7/2\r\nContent-Length: 1\r\n\r\nx";
    for request in [chunked, bare, one] {
        let lab = Lab::resetting(Point::MidRequest).await;
        let mut client = lab.client().await;
        client.send(request).await;
        let (seen, ending) = lab.service().await.rest().await;
        assert!(!seen.is_empty() && request.len() > seen.len() && request.as_bytes().starts_with(&seen), "{request:?}");
        assert_eq!(ending, Ending::Reset);
        client.ends_with(Ending::Reset).await;
        check_reset(&lab, Point::MidRequest).await;
    }
}

#[tokio::test]
async fn after_the_request_the_client_is_reset_at_once_and_the_response_is_discarded() {
    let lab = Lab::resetting(Point::AfterRequest).await;
    let (mut client, mut service) = lab.deliver(&pay(7, 2)).await;
    client.ends_with(Ending::Reset).await; // Before the service has answered.
    assert_eq!(lab.counters().await.in_flight, 1);
    service.send(OK).await;
    service.ends_with(Ending::Eof).await;
    let line = check_reset(&lab, Point::AfterRequest).await;
    assert_eq!(transferred(&line), (len(&pay(7, 2)), true, 0, Some(200), None));
}

#[tokio::test]
async fn before_the_response_all_of_it_is_awaited_and_none_of_it_passes() {
    let lab = Lab::resetting(Point::BeforeResponse).await;
    let (mut client, mut service) = lab.deliver(&pay(7, 2)).await;
    let (front, back) = OK.split_at(OK.len() - 1);
    service.send(front).await;
    assert_eq!(lab.counters().await.in_flight, 1); // One byte is missing, so there is no reset yet.
    service.send(back).await;
    client.ends_with(Ending::Reset).await;
    service.ends_with(Ending::Eof).await;
    let line = check_reset(&lab, Point::BeforeResponse).await;
    assert_eq!(transferred(&line), (len(&pay(7, 2)), true, 0, Some(200), None));
}

#[tokio::test]
async fn before_the_response_an_interim_response_is_not_the_response() {
    let lab = Lab::resetting(Point::BeforeResponse).await;
    let request = pay(7, 2);
    let (head, body) = request.split_at(request.len() - 10);
    let mut client = lab.client().await;
    client.send(head).await;
    let mut service = lab.service().await;
    service.expect(head).await;
    service.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.expect("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.send(body).await;
    service.expect(body).await;
    service.send(OK).await;
    client.ends_with(Ending::Reset).await;
    let line = check_reset(&lab, Point::BeforeResponse).await;
    assert_eq!(transferred(&line), (len(&request), true, 0, Some(200), None));
}

#[tokio::test]
async fn in_the_middle_of_the_response_the_client_gets_only_a_part() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let empty = "HTTP/1.1 208 Already Reported\r\nContent-Length: 0\r\n\r\n";
    for (answer, status) in [(OK, 200), (chunked, 200), (empty, 208)] {
        let lab = Lab::resetting(Point::MidResponse).await;
        let (mut client, mut service) = lab.deliver(&pay(7, 2)).await;
        service.send(answer).await;
        let (seen, ending) = client.rest().await;
        assert!(!seen.is_empty() && answer.len() > seen.len() && answer.as_bytes().starts_with(&seen), "{answer:?}");
        assert_eq!(ending, Ending::Reset);
        let line = check_reset(&lab, Point::MidResponse).await;
        assert_eq!(transferred(&line), (len(&pay(7, 2)), true, seen.len() as u64, Some(status), None));
    }
}

#[tokio::test]
async fn in_the_middle_of_a_response_that_ends_with_the_stream_the_client_gets_only_a_part() {
    for answer in ["HTTP/1.0 200 OK\r\n\r\nbooked", "HTTP/1.0 200 OK\r\n\r\n"] {
        let lab = Lab::resetting(Point::MidResponse).await;
        let (mut client, mut service) = lab.deliver(&pay(7, 2)).await;
        service.send(answer).await;
        drop(service);
        let (seen, ending) = client.rest().await;
        assert!(answer.len() > seen.len() && answer.as_bytes().starts_with(&seen), "{answer:?}");
        assert_eq!(ending, Ending::Reset);
        check_reset(&lab, Point::MidResponse).await;
    }
}

#[tokio::test]
async fn after_the_response_the_client_has_all_of_it_and_then_a_reset() {
    let lab = Lab::resetting(Point::AfterResponse).await;
    let (mut client, mut service) = lab.deliver(&pay(7, 2)).await;
    service.send(OK_LAST).await;
    client.expect(OK_LAST).await;
    client.ends_with(Ending::Reset).await;
    let line = check_reset(&lab, Point::AfterResponse).await;
    assert_eq!(transferred(&line), (len(&pay(7, 2)), true, len(OK_LAST), Some(200), None));
}

#[tokio::test]
async fn after_a_large_response_a_slow_client_still_gets_all_of_it() {
    const LEN: usize = 8 << 20;
    let lab = Lab::resetting(Point::AfterResponse).await;
    let (mut client, mut service) = lab.deliver(&pay(7, 2)).await;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n{}", "x".repeat(LEN));
    let sender = {
        let answer = answer.clone();
        tokio::spawn(async move {
            service.send(answer).await;
            service
        })
    };
    let (seen, ending) = client.rest().await;
    assert_eq!((seen.len(), ending), (answer.len(), Ending::Reset));
    drop(sender.await);
    check_reset(&lab, Point::AfterResponse).await;
}

#[tokio::test]
async fn each_request_of_a_kept_connection_has_a_fate_of_its_own() {
    let lab = Lab::start().await;
    let mut second = always("reset", Point::BeforeResponse);
    second.attempts = Some(vec![2]);
    lab.put(&rules("run-1", vec![second])).await;
    let mut client = lab.client().await;
    client.send(pay(7, 1)).await;
    let mut service = lab.service().await;
    service.expect(pay(7, 1)).await;
    service.send(OK).await;
    client.expect(OK).await;
    client.send(pay(7, 2)).await;
    service.expect(pay(7, 2)).await;
    service.send(OK).await;
    client.ends_with(Ending::Reset).await;
    let (lines, footer) = lab.record().await;
    let recorded: Vec<_> = lines.iter().map(|line| (line.conn, line.nth, line.attempt, line.end)).collect();
    assert_eq!(recorded, [(0, 1, 1, End::Relayed), (0, 2, 2, End::Faulted)]);
    assert_eq!((footer.requests, footer.connections), (2, 1));
}

#[tokio::test]
async fn a_later_request_that_is_reset_before_it_is_forwarded_ends_the_services_side_cleanly() {
    for at in [Point::Connect, Point::BeforeRequest] {
        let lab = Lab::start().await;
        let mut second = always("reset", at);
        second.attempts = Some(vec![2]);
        lab.put(&rules("run-1", vec![second])).await;
        let (mut client, mut service) = lab.deliver(&pay(7, 1)).await;
        service.send(OK).await;
        client.expect(OK).await;
        client.send(pay(7, 2)).await;
        client.ends_with(Ending::Reset).await;
        service.ends_with(Ending::Eof).await;
        assert_eq!(lab.record().await.0[1].at, Some(at));
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_fates_and_the_coins_of_every_fault_are_recorded() {
    const PAYMENTS: u64 = 40;
    let lab = Lab::start().await;
    let faults =
        vec![fault("request-lost", 0.3, Point::BeforeRequest), fault("response-lost", 0.3, Point::AfterResponse)];
    lab.put(&rules("run-1", faults.clone())).await;
    let sampler = paylab_core::fault::sampler::FaultSampler::new(support::SEED, &faults);
    for payment in 0..PAYMENTS {
        let id = format!("{payment}/1").parse().unwrap();
        let point = sampler.point(&sampler.draw(id));
        let mut client = lab.client().await;
        client.send(pay(payment, 1)).await;
        if point == Some(Point::BeforeRequest) {
            client.ends_with(Ending::Reset).await;
            continue;
        }
        let mut service = lab.service().await;
        service.expect(pay(payment, 1)).await;
        service.send(OK_LAST).await;
        drop(service);
        client.expect(OK_LAST).await;
        let ending = if point.is_some() { Ending::Reset } else { Ending::Eof };
        client.ends_with(ending).await;
    }
    let (lines, footer) = lab.record().await;
    for line in &lines {
        let draw = sampler.draw(format!("{}/1", line.payment).parse().unwrap());
        assert_eq!(line.coins.iter().map(|coin| coin.0).collect::<Vec<_>>(), draw.coins());
        assert_eq!(line.at, sampler.point(&draw));
    }
    assert_eq!((lines.len() as u64, footer.unattributed, footer.unintended_resets), (PAYMENTS, 0, 0));
    assert!(lines.iter().any(|line| line.at.is_none()) && lines.iter().any(|line| line.at.is_some()));
}

#[tokio::test]
async fn a_client_without_the_header_is_identified_by_its_connection() {
    let lab = Lab::passing().await;
    for conn in 0..2 {
        let requests = ["GET /a HTTP/1.1\r\n\r\n", "GET /b HTTP/1.1\r\nPaylab-Attempt: nonsense\r\n\r\n"];
        let mut client = lab.client().await;
        let mut service: Option<Peer> = None;
        for request in requests {
            client.send(request).await;
            let peer = match &mut service {
                Some(service) => service,
                none => none.insert(lab.service().await),
            };
            peer.expect(request).await;
            peer.send(OK).await;
            client.expect(OK).await;
        }
        drop(client);
        let (lines, footer) = lab.record().await;
        let recorded: Vec<_> =
            lines.iter().filter(|line| line.conn == conn).map(|line| (line.payment, line.attempt)).collect();
        assert_eq!(recorded, [(conn, 1), (conn, 2)]);
        assert_eq!(footer.unattributed, 2 * (conn + 1));
    }
}
