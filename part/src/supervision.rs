//! The order to kill a service: how the proxy, which knows the point of a request, talks to the supervisor, which has the process.
//!
//! One connection carries one order, in lines of text: `kill TOKEN`, and back come `dead` once the process is dead for certain and
//! `serving` once its port answers again; or `refused: REASON`, and then the connection ends.

use std::{io, time::Duration};

use thiserror::Error;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

/// Names the token of the run, which the supervisor and the proxy have and nobody else.
pub const TOKEN_ENV: &str = "PAYLAB_SUPERVISOR_TOKEN";
/// Where the supervisor of the service's pod listens.
pub const SUPERVISOR_PORT: u16 = 8475;
/// How long a service may take to serve after it was started.
pub const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a supervisor may take to accept an order and to end a process.
const DEATH_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest line of an order or of its answer, in bytes.
const LINE_MAX: u64 = 512;
const KILL: &str = "kill ";
const DEAD: &str = "dead";
const SERVING: &str = "serving";
const REFUSED: &str = "refused: ";

/// The token of a run. It is a secret: whoever has it can kill the service.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Token(String);

impl Token {
    /// The token with this text.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Its text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(hidden)")
    }
}

impl std::str::FromStr for Token {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// Why an order was not carried out.
#[derive(Debug, Error)]
pub enum OrderError {
    /// The supervisor cannot be reached, or it has ended.
    #[error("the supervisor cannot be reached: {0}")]
    Unreached(#[from] io::Error),
    /// The supervisor has refused it.
    #[error("the supervisor has refused to kill the service: {0}")]
    Refused(String),
    /// It took too long.
    #[error("the supervisor took more than {} s", .0.as_secs())]
    Silent(Duration),
    /// Something else has answered.
    #[error("what answered is no supervisor: {0:?}")]
    Garbled(String),
}

/// An order whose process is dead.
#[derive(Debug)]
pub struct Killed {
    stream: BufReader<TcpStream>,
}

/// An order that a supervisor has received.
#[derive(Debug)]
pub struct Order {
    stream: BufReader<TcpStream>,
}

/// Orders a kill, and returns once the process is dead for certain.
///
/// # Errors
/// The supervisor cannot be reached, or it refuses.
pub async fn order_kill(address: &str, token: &str) -> Result<Killed, OrderError> {
    let ordering = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(format!("{KILL}{token}\n").as_bytes()).await?;
        let mut stream = BufReader::new(stream);
        expect(&mut stream, DEAD).await?;
        Ok(Killed { stream })
    };
    timeout(DEATH_TIMEOUT, ordering).await.unwrap_or(Err(OrderError::Silent(DEATH_TIMEOUT)))
}

impl Killed {
    /// Returns once the service serves again.
    ///
    /// # Errors
    /// It does not.
    pub async fn served_again(mut self) -> Result<(), OrderError> {
        let waited = START_TIMEOUT + DEATH_TIMEOUT;
        timeout(waited, expect(&mut self.stream, SERVING)).await.unwrap_or(Err(OrderError::Silent(waited)))
    }
}

impl Order {
    /// Reads an order for a kill that has the right token. Any other is refused.
    ///
    /// # Errors
    /// It was refused, or the connection broke.
    pub async fn receive(stream: TcpStream, token: &str) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let mut order = Self { stream: BufReader::new(stream) };
        let line = timeout(DEATH_TIMEOUT, read_line(&mut order.stream)).await??;
        match line.strip_prefix(KILL) {
            Some(given) if is_same(given, token) => return Ok(order),
            Some(_) => order.say(&format!("{REFUSED}this is not the token of the run")).await?,
            None => order.say(&format!("{REFUSED}say \"kill TOKEN\"")).await?,
        }
        Err(io::ErrorKind::PermissionDenied.into())
    }

    /// Tells that the process is dead.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn tell_dead(&mut self) -> io::Result<()> {
        self.say(DEAD).await
    }

    /// Tells that the service serves again.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn tell_serving(&mut self) -> io::Result<()> {
        self.say(SERVING).await
    }

    /// Tells why the order is not carried out.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn refuse(&mut self, reason: &str) -> io::Result<()> {
        self.say(&format!("{REFUSED}{}", reason.replace('\n', " "))).await
    }

    async fn say(&mut self, line: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes()).await
    }
}

async fn expect(stream: &mut BufReader<TcpStream>, expected: &str) -> Result<(), OrderError> {
    let line = read_line(stream).await?;
    match line.strip_prefix(REFUSED) {
        Some(reason) => Err(OrderError::Refused(reason.to_owned())),
        None if line == expected => Ok(()),
        None if line.is_empty() => Err(OrderError::Unreached(io::ErrorKind::UnexpectedEof.into())),
        None => Err(OrderError::Garbled(line)),
    }
}

async fn read_line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    stream.take(LINE_MAX).read_line(&mut line).await?;
    Ok(line.trim_end().to_owned())
}

/// Compares two tokens in a time that does not depend on where they differ.
fn is_same(given: &str, token: &str) -> bool {
    let (given, token) = (given.as_bytes(), token.as_bytes());
    let differing = given.iter().zip(token).fold(0, |bits, (one, other)| bits | (one ^ other));
    given.len() == token.len() && differing == 0 && !token.is_empty()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn answer(token: &str, answers: &[&str]) -> Result<(), OrderError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let supervise = async {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut order) = Order::receive(stream, "secret").await else { return };
            for line in answers {
                order.say(line).await.unwrap();
            }
        };
        let kill = async { order_kill(&address, token).await?.served_again().await };
        tokio::join!(kill, supervise).0
    }

    #[tokio::test]
    async fn an_order_is_told_of_the_death_and_of_the_new_life() {
        answer("secret", &["dead", "serving"]).await.unwrap();
    }

    #[tokio::test]
    async fn an_order_without_the_token_of_the_run_is_refused() {
        for token in ["", "secre", "secrets", "SECRET"] {
            let refused = answer(token, &["dead", "serving"]).await.unwrap_err().to_string();
            assert!(
                refused.contains("not the token of the run") || refused.contains("say \"kill TOKEN\""),
                "{refused}"
            );
        }
    }

    #[tokio::test]
    async fn a_supervisor_that_refuses_or_ends_is_an_error() {
        let failure = async |answers: &[&str]| answer("secret", answers).await.unwrap_err().to_string();
        assert!(failure(&["refused: it is gone"]).await.ends_with("it is gone"));
        assert!(failure(&["dead"]).await.contains("cannot be reached"));
        assert!(failure(&["HTTP/1.1 400 Bad Request"]).await.contains("is no supervisor"));
    }
}
