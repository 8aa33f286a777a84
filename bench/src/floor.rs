//! The floor that TCP sets: a client, a relay and a server that exchange the bytes of a payment over a new connection each
//! and do nothing else. Each end is a process of its own, blocking, one connection at a time.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

use clap::Subcommand;

use crate::process::{Part, free_address};

/// As long as the load's request with a key.
const REQUEST: [u8; 330] = [b'q'; 330];
/// As long as the service's answer.
const RESPONSE: [u8; 100] = [b'a'; 100];

/// One end.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum End {
    /// Reads a request, answers, closes
    Server { listen: SocketAddr, exchanges: u32 },
    /// Passes a request on, and the answer back
    Relay { listen: SocketAddr, upstream: SocketAddr, exchanges: u32 },
    /// Asks
    Client { server: SocketAddr, exchanges: u32 },
}

pub(crate) fn run(end: &End) -> anyhow::Result<()> {
    match *end {
        End::Server { listen, exchanges } => {
            let listener = TcpListener::bind(listen)?;
            for _ in 0..exchanges {
                let (mut client, _) = listener.accept()?;
                client.set_nodelay(true)?;
                read(&mut client, REQUEST.len())?;
                client.write_all(&RESPONSE)?;
            }
        }
        End::Relay { listen, upstream, exchanges } => {
            let listener = TcpListener::bind(listen)?;
            for _ in 0..exchanges {
                let (mut client, _) = listener.accept()?;
                client.set_nodelay(true)?;
                let mut server = TcpStream::connect(upstream)?;
                server.set_nodelay(true)?;
                server.write_all(&read(&mut client, REQUEST.len())?)?;
                client.write_all(&read(&mut server, RESPONSE.len())?)?;
                read_end(&mut server)?;
            }
        }
        End::Client { server, exchanges } => {
            for _ in 0..exchanges {
                let mut stream = TcpStream::connect(server)?;
                stream.set_nodelay(true)?;
                stream.write_all(&REQUEST)?;
                read(&mut stream, RESPONSE.len())?;
                read_end(&mut stream)?;
            }
        }
    }
    Ok(())
}

/// CPU of all three ends for one exchange, in microseconds.
pub(crate) fn cpu_us(exchanges: u32) -> anyhow::Result<f64> {
    let this = std::env::current_exe()?;
    let (server, relay) = (free_address()?, free_address()?);
    let start = |arguments: &[String]| Part::start(&this, &[&["floor".to_owned()], arguments].concat());
    let count = exchanges.to_string();
    let serving = start(&["server".into(), server.to_string(), count.clone()])?;
    wait_listening(server);
    let relaying = start(&["relay".into(), relay.to_string(), server.to_string(), count.clone()])?;
    wait_listening(relay);
    let asking = start(&["client".into(), relay.to_string(), count])?;
    let sum = asking.wait()?.cpu_s + relaying.wait()?.cpu_s + serving.wait()?.cpu_s;
    Ok(sum * 1e6 / f64::from(exchanges))
}

/// Waits until an address is taken, without connecting to it: a connection would be an exchange.
fn wait_listening(address: SocketAddr) {
    for _ in 0..1000 {
        if TcpListener::bind(address).is_err() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn read(stream: &mut impl Read, len: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_end(stream: &mut impl Read) -> anyhow::Result<()> {
    anyhow::ensure!(stream.read(&mut [0])? == 0, "more bytes than expected");
    Ok(())
}
