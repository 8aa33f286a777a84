//! Thousands of kept connections that are idle: they delay neither a drain nor a shutdown, and no fate is lost.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use paylab_core::{fault::point::Point, fault::spec::FaultSpec, witness::record::End};
use support::{Ending, Lab, OK, always, pay, rules};
use tokio::io::AsyncReadExt as _;

#[tokio::test]
async fn thousands_of_kept_connections_are_idle_and_each_of_them_still_meets_its_fate() {
    const CONNECTIONS: u64 = 2000;
    let second = FaultSpec { attempts: Some(vec![2]), ..always("second", Point::BeforeResponse) };
    let mut lab = Lab::start_with(|options| options.connections_max = 4096).await;
    lab.put(&rules("run-1", vec![second])).await;
    let mut kept = Vec::new();
    for payment in 0..CONNECTIONS {
        let (mut client, mut service) = lab.deliver(&pay(payment, 1)).await;
        service.send(OK).await;
        client.expect(OK).await;
        kept.push((client, service));
    }
    let asked = std::time::Instant::now();
    lab.drained().await;
    let counters = lab.counters().await;
    assert_eq!((counters.connections_open, counters.in_flight), (CONNECTIONS, 0));
    let half = kept.len() / 2;
    for (payment, (client, service)) in kept.iter_mut().enumerate().take(half) {
        let request = pay(payment as u64, 2);
        client.send(&request).await;
        service.expect(&request).await;
        service.send(OK).await;
        client.ends_with(Ending::Reset).await;
    }
    let (lines, footer) = lab.record().await;
    assert_eq!(footer.requests, CONNECTIONS + half as u64);
    assert!(lines.iter().all(|line| (line.attempt == 2) == (line.end == End::Faulted)));
    // The others are still open. Nothing is in flight on them, so they do not delay the end.
    lab.shutdown.cancel();
    support::soon("the end of the proxy", &mut lab.serving).await.unwrap().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(60));
    for (client, _service) in &mut kept[half..] {
        assert!(matches!(client.0.read(&mut [0]).await, Ok(0) | Err(_)));
    }
}
