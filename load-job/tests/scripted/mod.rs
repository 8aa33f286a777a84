//! A server on a real socket that follows the script of a test, in place of the proxy; and the plans and loads of the tests.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses its part")]

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use load_job::{Load, Progress, sending::deliver};
use paylab_core::{payment::AttemptId, plan::Plan, witness::history::History};
use serde_json::{Value, json};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// The longest wait in any test.
pub const WAIT_MAX: Duration = Duration::from_secs(20);
pub const PAID: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// One request as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub text: String,
    /// The number of its connection, from 0.
    pub connection: usize,
}

/// What the server does once it has read a request.
#[derive(Debug, Clone)]
pub enum Act {
    Send(String),
    /// Sends the response and the end of the connection in one segment, so that the client receives both at once.
    SendAndClose(String),
    /// Waits until this many requests have come in total.
    AwaitRequests(usize),
    /// Ends the connection cleanly.
    Close,
    /// Ends it cleanly, but gives the client a moment to close first.
    CloseLate,
    /// Ends it with a reset.
    Reset,
    /// Sends nothing until the client has closed the connection.
    Silence,
}

#[derive(Debug, Default)]
pub struct Seen {
    pub connections: usize,
    pub requests: Vec<Request>,
    /// Requests that were read and not yet answered, and the maximum of that number.
    pub in_flight: usize,
    pub in_flight_most: usize,
    /// Clients that closed the connection while the server was silent.
    pub gone: usize,
}

#[derive(Debug)]
pub struct Server {
    pub address: String,
    seen: Arc<Mutex<Seen>>,
    _task: AbortOnDropHandle<()>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.text, name)
    }

    pub fn attempt(&self) -> AttemptId {
        self.header("Paylab-Attempt").unwrap().parse().unwrap()
    }

    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").unwrap().1
    }
}

impl Server {
    /// A server that answers each request by a script.
    pub async fn start(script: impl Fn(&Request) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), script)
    }

    pub fn on(listener: TcpListener, script: impl Fn(&Request) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let task = tokio::spawn(serve(listener, seen.clone(), Arc::new(script)));
        Self { address, seen, _task: AbortOnDropHandle::new(task) }
    }

    pub fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    pub fn in_flight_most(&self) -> usize {
        self.seen.lock().unwrap().in_flight_most
    }

    pub fn gone(&self) -> usize {
        self.seen.lock().unwrap().gone
    }

    pub fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().requests.clone()
    }

    pub fn attempts(&self) -> Vec<String> {
        self.requests().iter().map(|request| request.attempt().to_string()).collect()
    }
}

async fn serve<S>(listener: TcpListener, seen: Arc<Mutex<Seen>>, script: Arc<S>)
where
    S: Fn(&Request) -> Vec<Act> + Send + Sync + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // A test has limited the file descriptors for a while.
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.connections += 1;
            seen.connections - 1
        };
        let (seen, script) = (seen.clone(), script.clone());
        // Errors here are caused by the client, which the test checks.
        connections.spawn(async move { converse(stream, number, &seen, &*script).await });
    }
}

async fn converse(
    mut stream: TcpStream,
    connection: usize,
    seen: &Mutex<Seen>,
    script: &(impl Fn(&Request) -> Vec<Act> + Sync),
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(text) = read_request(&mut stream).await? {
        let request = Request { text, connection };
        let acts = script(&request);
        {
            let mut seen = seen.lock().unwrap();
            seen.requests.push(request);
            seen.in_flight += 1;
            seen.in_flight_most = seen.in_flight_most.max(seen.in_flight);
        }
        for act in acts {
            match act {
                Act::Send(text) => {
                    let mut answered = text.starts_with("HTTP/1.1 ");
                    answered &= !text.starts_with("HTTP/1.1 1");
                    seen.lock().unwrap().in_flight -= usize::from(answered);
                    stream.write_all(text.as_bytes()).await?;
                }
                Act::AwaitRequests(count) => {
                    until(|| seen.lock().unwrap().requests.len() >= count).await;
                }
                Act::SendAndClose(text) => {
                    SockRef::from(&stream).set_tcp_cork(true)?;
                    stream.write_all(text.as_bytes()).await?;
                    return stream.shutdown().await;
                }
                Act::Close => return stream.shutdown().await,
                Act::CloseLate => {
                    // Long enough for a client that closes at once, much shorter than the time for which a client waits.
                    let _ = timeout(Duration::from_millis(50), stream.read(&mut [0])).await;
                    return stream.shutdown().await;
                }
                Act::Reset => return stream.set_zero_linger(),
                Act::Silence => {
                    while stream.read(&mut [0; 1024]).await.unwrap_or(0) > 0 {}
                    seen.lock().unwrap().gone += 1;
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// The value of a header, whose name may be in any case.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().skip(1).take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(": "));
    fields.into_iter().find_map(|(field, value)| field.eq_ignore_ascii_case(name).then_some(value))
}

/// One request, as its Content-Length says; `None` when the client has closed.
async fn read_request(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "Content-Length").map_or(0, |length| length.parse::<usize>().unwrap());
            if body.len() == length {
                return Ok(Some(text.into_owned()));
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await? {
            0 => return Ok(None),
            len => bytes.extend_from_slice(&piece[..len]),
        }
    }
}

/// Waits, with a timeout, until a condition holds.
pub async fn until(mut so: impl FnMut() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(WAIT_MAX, wait).await.expect("the condition never held");
}

/// Answers with a text, then closes.
pub fn say(text: &str) -> Vec<Act> {
    vec![Act::Send(text.to_owned()), Act::Close]
}

/// Acknowledges every request.
pub fn pay(_: &Request) -> Vec<Act> {
    say(PAID)
}

/// A plan of this many payments, with the client as in `client`.
pub fn plan(count: u64, client: Value) -> Plan {
    plan_with(count, json!({"client": client}))
}

/// A plan of this many payments, with fields of the spec replaced.
pub fn plan_with(count: u64, fields: Value) -> Plan {
    let mut spec = json!({"claim": "AtLeastOnce", "seed": 42, "payments": {"count": count}});
    spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    paylab_resource::plan::plan(&serde_json::from_value(spec).unwrap(), 0).unwrap()
}

/// A load of a plan that sends to `proxy`; the addresses of the other parts are unusable.
pub fn load(plan: Plan, proxy: &str) -> Load {
    Load {
        plan,
        run: "run-1".parse().unwrap(),
        proxy: proxy.to_owned(),
        control: "127.0.0.1:1".to_owned(),
        service: "127.0.0.1:1".to_owned(),
        contract: None,
        tls: None,
        replicas: Vec::new(),
        worker: 0,
        lease: Duration::from_secs(30),
        patience: Duration::ZERO,
    }
}

/// Delivers all payments.
pub async fn run(load: &Load) -> History {
    run_watched(load, &Progress::default()).await
}

pub async fn run_watched(load: &Load, progress: &Progress) -> History {
    let never = CancellationToken::new();
    timeout(WAIT_MAX, deliver(load, progress, &never)).await.expect("the load never ended").unwrap()
}
