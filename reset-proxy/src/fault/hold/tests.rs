//! A hold at each point, on real sockets and with a clock that only the test advances: what is held passes after the time
//! and not before.

use std::{io, iter, sync::Arc, sync::mpsc, time::Duration};

use paylab_core::{
    duration_text::DurationText,
    fault::{delay::Delay, effect::Effect, point::Point, spec::FaultSpec},
    witness::record::{End, Protocol},
};
use paylab_part::contract::Rules;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{spawn_blocking, yield_now},
    time::{advance, timeout},
};

use crate::{
    fault::{
        connection::{Accepted, ClientConnection},
        plane::FaultPlane,
        record::{Transfer, row::Row},
        relay::relay,
    },
    options::Options,
};

const HOLD: Duration = Duration::from_secs(20);
/// The time that is left when a test looks whether anything has passed too early.
const LAST_MOMENT: Duration = Duration::from_millis(100);
/// How long a test may take in real time, and a wait on the stopped clock.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);
/// The turns of the runtime after which everything has happened that can happen without new bytes or time.
const TURNS: usize = 2_000;
/// The turns of the runtime within which something expected must have happened.
const TURNS_MAX: usize = 5_000_000;

const REQUEST: &str = "POST / HTTP/1.1\r\nPaylab-Attempt: 7/2\r\nContent-Length: 10\r\n\r\n0123456789";
const RESPONSE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbooked";

/// A proxy that holds every request at one point, and the listener of its service.
struct Lab {
    plane: Arc<FaultPlane>,
    clients: TcpListener,
    services: TcpListener,
    /// While this exists a blocking task runs, and the runtime does not advance the clock by itself.
    _clock_stopped: mpsc::Sender<()>,
}

/// One end of a connection.
struct Peer(TcpStream);

impl Lab {
    async fn holding(at: Point) -> Self {
        let (stopped, running) = mpsc::channel();
        spawn_blocking(move || running.recv_timeout(TEST_TIMEOUT));
        let services = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Some(services.local_addr().unwrap().into());
        let dial_timeout = paylab_core::duration_text::DurationText::from_ms(5_000);
        let plane = FaultPlane::new(&Options { upstream, dial_timeout, ..Options::default() }, None);
        let held = Effect::Delay(Delay { at, lasts: DurationText::from_ms(20_000) });
        let fault = FaultSpec::new("held", 1.0, held);
        let rules =
            Rules { run_id: "run-1".into(), seed: 42, faults: vec![fault], last_struck: None, lease_ms: 3_600_000 };
        plane.rules.put(rules).unwrap();
        let clients = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { plane: Arc::new(plane), clients, services, _clock_stopped: stopped }
    }

    /// A client whose connection is relayed.
    async fn client(&self) -> Peer {
        let client = TcpStream::connect(self.clients.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = self.clients.accept().await.unwrap();
        let given = Accepted::now(&self.plane);
        tokio::spawn(relay(ClientConnection::new(Arc::clone(&self.plane), given, accepted)));
        Peer(client)
    }

    /// The next connection that the proxy dials.
    async fn service(&self) -> Peer {
        Peer(soon(self.services.accept()).await.unwrap().0)
    }

    /// Brings the clock to the last moment of the hold and lets everything happen that can.
    async fn until_last_moment(&self) {
        turns().await;
        advance(HOLD - LAST_MOMENT).await;
        turns().await;
        assert_eq!(self.plane.in_flight.count(), 1, "a request that is held is in flight");
        assert!(self.completed().is_empty());
    }

    async fn end_hold(&self) {
        advance(LAST_MOMENT * 2).await;
    }

    async fn assert_not_dialled(&self) {
        self.until_last_moment().await;
        let dialled = timeout(Duration::ZERO, self.services.accept()).await;
        assert!(dialled.is_err(), "nothing is dialled during the hold");
    }

    fn completed(&self) -> Vec<Row> {
        self.plane.rules.current().unwrap().record.completed()
    }

    /// The only row of the record, once its request has ended.
    async fn row(&self) -> Row {
        for _ in 0..TURNS_MAX {
            if let [row] = self.completed().as_slice() {
                return row.clone();
            }
            yield_now().await;
        }
        panic!("the request has not ended");
    }

    /// Asserts how the only request ended, and that it was held for the time.
    async fn assert_ended(&self, end: End, transfer: Transfer) {
        let row = self.row().await;
        let held = Duration::from_micros(row.transfer.held_us.expect("the request was held"));
        assert!((HOLD..=HOLD + LAST_MOMENT).contains(&held), "held for {held:?}");
        assert_eq!((row.end, Transfer { held_us: None, ..row.transfer }), (end, transfer));
    }

    /// Asserts that the only request was relayed as a whole, as if it had not been held.
    async fn assert_relayed(&self) {
        let transfer = Transfer {
            bytes_up: REQUEST.len() as u64,
            bytes_down: RESPONSE.len() as u64,
            forwarded_whole: true,
            status: Some(200),
            ..Transfer::default()
        };
        self.assert_ended(End::Relayed, transfer).await;
    }
}

impl Peer {
    async fn send(&mut self, text: &str) {
        soon(self.0.write_all(text.as_bytes())).await.unwrap();
    }

    async fn expect(&mut self, text: &str) {
        let mut seen = vec![0; text.len()];
        soon(self.0.read_exact(&mut seen)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&seen), text);
    }

    fn assert_nothing_came(&self) {
        let read = self.0.try_read(&mut [0]);
        assert!(matches!(&read, Err(error) if error.kind() == io::ErrorKind::WouldBlock), "{read:?}");
    }

    fn reset(self) {
        self.0.set_zero_linger().unwrap();
    }
}

/// Awaits what must happen without the clock being advanced.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(TEST_TIMEOUT, future).await.expect("it happens without the clock being advanced")
}

async fn turns() {
    for _ in 0..TURNS {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn at_connect_and_before_the_request_nothing_is_dialled_until_the_time_is_over() {
    for at in [Point::Connect, Point::BeforeRequest] {
        let lab = Lab::holding(at).await;
        let mut client = lab.client().await;
        client.send(REQUEST).await;
        lab.assert_not_dialled().await;
        lab.end_hold().await;
        let mut service = lab.service().await;
        service.expect(REQUEST).await;
        service.send(RESPONSE).await;
        client.expect(RESPONSE).await;
        lab.assert_relayed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn in_the_middle_of_the_request_the_second_half_waits() {
    let lab = Lab::holding(Point::MidRequest).await;
    let mut client = lab.client().await;
    client.send(REQUEST).await;
    let mut service = lab.service().await;
    let (first, second) = REQUEST.split_at(REQUEST.len() - 5);
    service.expect(first).await;
    lab.until_last_moment().await;
    service.assert_nothing_came();
    lab.end_hold().await;
    service.expect(second).await;
    service.send(RESPONSE).await;
    client.expect(RESPONSE).await;
    lab.assert_relayed().await;
}

#[tokio::test(start_paused = true)]
async fn after_the_request_the_response_is_not_read_until_the_time_is_over() {
    let lab = Lab::holding(Point::AfterRequest).await;
    let mut client = lab.client().await;
    client.send(REQUEST).await;
    let mut service = lab.service().await;
    service.expect(REQUEST).await;
    service.send(RESPONSE).await;
    lab.until_last_moment().await;
    client.assert_nothing_came();
    assert_eq!(lab.plane.counters.show(0).responses, [].into(), "the response was not read");
    lab.end_hold().await;
    client.expect(RESPONSE).await;
    lab.assert_relayed().await;
}

#[tokio::test(start_paused = true)]
async fn before_the_response_all_of_it_is_read_and_none_of_it_passes() {
    let lab = Lab::holding(Point::BeforeResponse).await;
    let mut client = lab.client().await;
    client.send(REQUEST).await;
    let mut service = lab.service().await;
    service.expect(REQUEST).await;
    let (first, second) = RESPONSE.split_at(RESPONSE.len() - 1);
    service.send(first).await;
    turns().await;
    advance(HOLD * 2).await; // The hold has not begun, because the response is not complete.
    turns().await;
    client.assert_nothing_came();
    service.send(second).await;
    lab.until_last_moment().await;
    client.assert_nothing_came();
    lab.end_hold().await;
    client.expect(RESPONSE).await;
    lab.assert_relayed().await;
}

#[tokio::test(start_paused = true)]
async fn before_a_response_larger_than_a_buffer_all_of_it_is_read_too() {
    const LEN: usize = 3 << 20;
    let body: String = iter::repeat_n("0123456789abcdef", LEN / 16).collect();
    let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n{body}");
    let lab = Lab::holding(Point::BeforeResponse).await;
    let mut client = lab.client().await;
    client.send(REQUEST).await;
    let mut service = lab.service().await;
    service.expect(REQUEST).await;
    service.send(&response).await;
    drop(service);
    lab.until_last_moment().await;
    client.assert_nothing_came();
    lab.end_hold().await;
    client.expect(&response).await;
    assert_eq!(lab.row().await.transfer.bytes_down, response.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn in_the_middle_of_the_response_the_second_part_waits() {
    let lab = Lab::holding(Point::MidResponse).await;
    let mut client = lab.client().await;
    client.send(REQUEST).await;
    let mut service = lab.service().await;
    service.expect(REQUEST).await;
    service.send(RESPONSE).await;
    let (first, second) = RESPONSE.split_at(RESPONSE.len() - 3);
    client.expect(first).await;
    lab.until_last_moment().await;
    client.assert_nothing_came();
    lab.end_hold().await;
    client.expect(second).await;
    lab.assert_relayed().await;
}

#[tokio::test(start_paused = true)]
async fn after_the_response_the_next_request_waits() {
    let lab = Lab::holding(Point::AfterResponse).await;
    let mut client = lab.client().await;
    client.send(REQUEST).await;
    let mut service = lab.service().await;
    service.expect(REQUEST).await;
    service.send(RESPONSE).await;
    client.expect(RESPONSE).await;
    client.send(REQUEST).await;
    lab.until_last_moment().await;
    service.assert_nothing_came();
    lab.end_hold().await;
    service.expect(REQUEST).await;
    lab.assert_relayed().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_during_a_hold_does_not_keep_its_request_from_the_service() {
    let leave: [fn(Peer); 2] = [drop, Peer::reset];
    for (at, leave) in [Point::Connect, Point::BeforeRequest, Point::MidRequest]
        .into_iter()
        .flat_map(|at| leave.map(|leave| (at, leave)))
    {
        let lab = Lab::holding(at).await;
        let mut client = lab.client().await;
        client.send(REQUEST).await;
        turns().await;
        leave(client);
        lab.until_last_moment().await;
        lab.end_hold().await;
        let mut service = lab.service().await;
        service.expect(REQUEST).await;
        turns().await;
        service.assert_nothing_came(); // Not even the client's end, until the service has answered.
        service.send(RESPONSE).await;
        let row = lab.row().await;
        assert_eq!((row.end, row.transfer.forwarded_whole), (End::ClientGone, true), "{at:?}");
        assert_eq!((row.transfer.status, row.transfer.bytes_up), (Some(200), REQUEST.len() as u64), "{at:?}");
        assert!(row.transfer.held_us.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_its_response_is_held_is_recorded_as_gone() {
    for at in [Point::AfterRequest, Point::BeforeResponse, Point::MidResponse] {
        let lab = Lab::holding(at).await;
        let mut client = lab.client().await;
        client.send(REQUEST).await;
        let mut service = lab.service().await;
        service.expect(REQUEST).await;
        service.send(RESPONSE).await;
        turns().await;
        client.reset();
        lab.until_last_moment().await;
        lab.end_hold().await;
        let row = lab.row().await;
        assert_eq!((row.end, row.transfer.status), (End::ClientGone, Some(200)), "{at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_only_ends_its_side_during_a_hold_still_gets_the_response() {
    let lab = Lab::holding(Point::BeforeRequest).await;
    let mut client = lab.client().await;
    client.send(REQUEST).await;
    client.0.shutdown().await.unwrap();
    lab.until_last_moment().await;
    lab.end_hold().await;
    let mut service = lab.service().await;
    service.expect(REQUEST).await;
    service.send(RESPONSE).await;
    client.expect(RESPONSE).await;
    turns().await;
    advance(Duration::from_secs(1)).await; // The proxy waits for a reset that does not come.
    lab.assert_relayed().await;
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_request_whose_client_leaves_during_a_hold_is_not_forwarded_as_a_whole() {
    let lab = Lab::holding(Point::BeforeRequest).await;
    let mut client = lab.client().await;
    client.send(&REQUEST[..REQUEST.len() - 1]).await;
    turns().await;
    drop(client);
    lab.until_last_moment().await;
    lab.end_hold().await;
    let row = lab.row().await;
    assert_eq!((row.end, row.transfer.forwarded_whole), (End::ClientGone, false));
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_not_http_are_held_at_connect() {
    let lab = Lab::holding(Point::Connect).await;
    let mut client = lab.client().await;
    client.send("\u{16}\u{3}\u{1}").await;
    lab.assert_not_dialled().await;
    lab.end_hold().await;
    let mut service = lab.service().await;
    service.expect("\u{16}\u{3}\u{1}").await;
    drop((client, service));
    let row = lab.row().await;
    assert_eq!((row.protocol, row.end), (Protocol::Bytes, End::Relayed));
    assert!(row.transfer.held_us.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_breaks_off_before_the_hold_is_not_held() {
    let lab = Lab::holding(Point::BeforeResponse).await;
    let mut client = lab.client().await;
    client.send(REQUEST).await;
    let mut service = lab.service().await;
    service.expect(REQUEST).await;
    let part = &RESPONSE[..RESPONSE.len() - 1];
    service.send(part).await;
    drop(service);
    client.expect(part).await;
    let row = lab.row().await;
    assert_eq!((row.end, row.transfer.held_us), (End::ServiceGone, None));
}
