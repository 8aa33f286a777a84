//! What the tests of all clients need: a service behind the proxies, and a client of theirs. Every wait is bounded.

use std::{
    env,
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

const TIMEOUT: Duration = Duration::from_secs(20);

/// Where the API listens.
///
/// # Panics
/// The environment does not say.
#[must_use]
pub fn api() -> String {
    env::var("PAYLAB_API").expect("PAYLAB_API is the address of the API")
}

/// Starts a service that sends back what it receives, for as long as the tests run. Returns its address.
///
/// # Panics
/// No port is free.
#[must_use]
pub fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            thread::spawn(move || io::copy(&mut connection.try_clone()?, &mut connection));
        }
    });
    address
}

/// Sends a word through a proxy and returns the reply, which is empty when the connection ends instead.
///
/// # Errors
/// The proxy is down, or resets the connection.
pub fn talk(address: &str) -> io::Result<String> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.write_all(b"ping")?;
    let mut word = [0; 4];
    let count = connection.read(&mut word)?;
    Ok(String::from_utf8_lossy(&word[..count]).into_owned())
}
