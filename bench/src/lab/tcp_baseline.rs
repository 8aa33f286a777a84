//! The TCP baseline: a client, a relay and a server that exchange as many bytes as a payment over a new connection each time, and
//! do nothing else. Each is a process of its own, with blocking I/O and one connection at a time.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

use clap::Subcommand;

use crate::process::{ChildProcess, free_address};

/// The hidden subcommand of this program that starts a role.
pub(crate) const SUBCOMMAND: &str = "floor";
/// It has the length of the load's request with an idempotency key.
const REQUEST: [u8; 330] = [b'q'; 330];
/// It has the length of the service's response.
const RESPONSE: [u8; 100] = [b'a'; 100];

/// The role of a process.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Role {
    /// Reads a request, sends a response and closes the connection
    Server { listen: SocketAddr, exchanges: u32 },
    /// Forwards a request, and the response in the other direction
    Relay { listen: SocketAddr, upstream: SocketAddr, exchanges: u32 },
    /// Sends requests
    Client { server: SocketAddr, exchanges: u32 },
}

/// Runs this process in a role.
pub(crate) fn run(role: &Role) -> anyhow::Result<()> {
    match *role {
        Role::Server { listen, exchanges } => {
            let listener = TcpListener::bind(listen)?;
            for _ in 0..exchanges {
                let (mut client, _) = listener.accept()?;
                client.set_nodelay(true)?;
                read(&mut client, REQUEST.len())?;
                client.write_all(&RESPONSE)?;
            }
        }
        Role::Relay { listen, upstream, exchanges } => {
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
        Role::Client { server, exchanges } => {
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

/// CPU time of all three processes for one exchange, in microseconds.
pub(crate) fn cpu_us(exchanges: u32) -> anyhow::Result<f64> {
    let this = std::env::current_exe()?;
    let (server, relay) = (free_address()?, free_address()?);
    let start = |arguments: &[String]| ChildProcess::start(&this, &[&[SUBCOMMAND.to_owned()], arguments].concat());
    let count = exchanges.to_string();
    let server_process = start(&["server".into(), server.to_string(), count.clone()])?;
    wait_listening(server);
    let relay_process = start(&["relay".into(), relay.to_string(), server.to_string(), count.clone()])?;
    wait_listening(relay);
    let client_process = start(&["client".into(), relay.to_string(), count])?;
    let sum = client_process.wait()?.cpu_s + relay_process.wait()?.cpu_s + server_process.wait()?.cpu_s;
    Ok(sum * 1e6 / f64::from(exchanges))
}

/// Waits until an address is in use, without connecting to it, because a connection would count as an exchange.
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
