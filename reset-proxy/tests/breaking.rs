//! Failures that no fault orders: the service is down or breaks off, the client goes away, the proxy is full or stops.

mod support;

use paylab_core::{fault::point::Point, witness::record::End};
use reset_proxy::options::Authority;
use support::{Ending, Lab, OK, OK_LAST, loopback, own_loopback, pay, refusing, rules, soon};

#[tokio::test]
async fn a_service_that_is_down_resets_the_client_and_is_counted() {
    let (_socket, down) = refusing();
    let lab = Lab::start_with(|options| options.upstream = Some(Authority::from(down))).await;
    lab.put(&rules("run-1", vec![])).await;
    let mut client = lab.client().await;
    client.send(pay(7, 2)).await;
    client.ends_with(Ending::Reset).await;
    let (lines, footer) = lab.record().await;
    assert_eq!((lines[0].end, lines[0].bytes_up, lines[0].rst_client_ok), (End::Unreachable, 0, None));
    let counters = lab.counters().await;
    assert_eq!((counters.upstream_unreachable, counters.unintended_resets, footer.unintended_resets), (1, 1, 1));
}

#[tokio::test]
async fn a_service_that_breaks_off_resets_the_client_and_is_counted() {
    for part in [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nboo",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
    ] {
        let lab = Lab::passing().await;
        let (mut client, mut service) = lab.deliver(&pay(7, 2)).await;
        service.send(part).await;
        drop(service);
        assert_eq!(client.rest().await.1, Ending::Reset, "{part:?}");
        let (lines, footer) = lab.record().await;
        assert_eq!((lines[0].end, lines[0].forwarded_whole), (End::ServiceGone, true));
        assert_eq!((footer.unintended_resets, lab.counters().await.unintended_resets), (1, 1));
    }
}

#[tokio::test]
async fn a_fault_whose_service_breaks_off_before_its_point_is_not_carried_out() {
    for at in [Point::BeforeResponse, Point::MidResponse, Point::AfterResponse] {
        let lab = Lab::resetting(at).await;
        let (mut client, service) = lab.deliver(&pay(7, 2)).await;
        drop(service);
        client.ends_with(Ending::Reset).await;
        let line = lab.only_line().await;
        assert_eq!((line.end, line.at, line.rst_client_ok), (End::ServiceGone, Some(at), None));
    }
}

#[tokio::test]
async fn a_client_that_goes_away_in_its_request_resets_the_service_too() {
    let lab = Lab::passing().await;
    let half = &pay(7, 2)[..pay(7, 2).len() - 5];
    let (client, mut service) = lab.deliver(half).await;
    client.reset();
    service.ends_with(Ending::Reset).await;
    let line = lab.only_line().await;
    assert_eq!((line.end, line.forwarded_whole, line.bytes_up), (End::ClientGone, false, half.len() as u64));
    assert_eq!(lab.counters().await.unintended_resets, 0);
}

#[tokio::test]
async fn a_client_that_goes_away_while_the_service_works_ends_the_services_connection() {
    let lab = Lab::passing().await;
    let (client, mut service) = lab.deliver(&pay(7, 2)).await;
    client.reset();
    service.ends_with(Ending::Eof).await;
    let line = lab.only_line().await;
    assert_eq!((line.end, line.forwarded_whole, line.status), (End::ClientGone, true, None));
}

#[tokio::test]
async fn when_the_client_and_then_the_service_hang_up_the_record_names_the_client() {
    let lab = Lab::passing().await;
    let (client, mut service) = lab.deliver(&pay(7, 2)).await;
    drop(client);
    service.ends_with(Ending::Eof).await;
    drop(service);
    let line = lab.only_line().await;
    assert_eq!((line.end, line.forwarded_whole, line.status), (End::ClientGone, true, None));
    assert_eq!(lab.counters().await.unintended_resets, 0);
}

#[tokio::test]
async fn a_reset_after_the_request_keeps_the_services_connection_open() {
    let lab = Lab::resetting(Point::AfterRequest).await;
    let (mut client, service) = lab.deliver(&pay(7, 2)).await;
    client.ends_with(Ending::Reset).await;
    // The proxy keeps the service's side open and sends nothing until the service has answered.
    assert!(matches!(service.0.try_read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock));
    service.reset();
    let line = lab.only_line().await;
    assert_eq!((line.end, line.status, line.forwarded_whole), (End::Faulted, None, true));
}

#[tokio::test]
async fn above_the_bound_of_connections_a_client_waits_until_another_has_left() {
    let lab = Lab::start_with(|options| options.connections_max = 1).await;
    let (mut first, mut service) = lab.deliver(&pay(1, 1)).await;
    let mut second = lab.client().await; // It waits in the backlog.
    second.send(pay(2, 1)).await;
    service.send(OK).await;
    first.expect(OK).await;
    assert_eq!(lab.counters().await.connections, 1);
    assert!(lab.was_not_dialled());
    drop(first);
    let mut service = lab.service().await;
    service.expect(pay(2, 1)).await;
    service.send(OK).await;
    second.expect(OK).await;
    assert_eq!(lab.counters().await.connections, 2);
}

#[tokio::test]
async fn at_shutdown_requests_in_flight_end_and_idle_connections_do_not_delay_it() {
    let mut lab = Lab::start_with(|options| options.listen = Some(own_loopback(21))).await;
    lab.put(&rules("run-1", vec![])).await;
    let (mut idle, mut idle_service) = lab.deliver(&pay(1, 1)).await;
    idle_service.send(OK).await;
    idle.expect(OK).await;
    let (mut client, mut service) = lab.deliver(&pay(2, 1)).await;
    lab.shutdown.cancel();
    service.send(OK_LAST).await;
    client.expect(OK_LAST).await;
    soon("the end of the proxy", &mut lab.serving).await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(lab.address).await.is_err());
    idle.ends_with(Ending::Eof).await;
}

#[tokio::test]
async fn an_address_that_is_in_use_is_named_in_the_error() {
    let taken = std::net::TcpListener::bind(loopback()).unwrap();
    let address = taken.local_addr().unwrap();
    let options = reset_proxy::options::Options { control: Some(address), ..support::options(loopback()) };
    let error = reset_proxy::ResetProxy::start(options).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot listen at {address} for control")), "{error}");
}

#[tokio::test]
async fn a_service_that_closes_an_idle_connection_ends_the_clients_connection_cleanly() {
    let lab = Lab::passing().await;
    let (mut client, mut service) = lab.deliver(&pay(1, 1)).await;
    service.send(OK).await;
    client.expect(OK).await;
    drop(service);
    client.ends_with(Ending::Eof).await;
    assert_eq!(lab.counters().await.unintended_resets, 0);
}
