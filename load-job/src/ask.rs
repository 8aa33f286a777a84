//! One request to the control side of a part, its answer handed on as it comes. It must not know what is asked.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::answer::{Head, Malformed, Reader, Stage};

/// No step of a request (connecting, sending, the next bytes of the answer) may take longer.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// No request may take longer as a whole; the evidence of a hundred million payments is read in less.
const ASK_FOR_MAX: Duration = Duration::from_secs(3600);
/// Evidence is read in pieces of at most this many bytes.
const READ_LEN: usize = 64 * 1024;
/// So much of a refusal is kept for the message, in bytes.
const REFUSAL_SHOWN: usize = 300;

/// What to ask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    /// `GET`, `PUT` or `POST`.
    pub(crate) method: &'a str,
    /// `HOST:PORT`.
    pub(crate) address: &'a str,
    /// The path, with its query.
    pub(crate) path: &'a str,
    /// JSON, or nothing.
    pub(crate) body: &'a str,
}

/// Why a part did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The connection could not be made or broke.
    #[error("{0}")]
    Broken(#[from] io::Error),
    /// Nothing came for too long.
    #[error("no answer for {} s", SILENCE_MAX.as_secs())]
    Silent,
    /// The whole took too long.
    #[error("the answer took more than {} s", ASK_FOR_MAX.as_secs())]
    Endless,
    /// The connection ended in the midst of the answer.
    #[error("the answer was cut off")]
    Cut,
    /// The answer is not HTTP.
    #[error("what answered does not speak HTTP")]
    Garbled,
    /// Any status but 2xx.
    #[error("the answer was {status}: {text}")]
    Refused {
        /// The status.
        status: u16,
        /// How the body begins.
        text: String,
    },
}

impl AskError {
    /// Whether nobody has heard the question.
    pub(crate) const fn is_unreached(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Silent)
    }
}

impl From<Malformed> for AskError {
    fn from(Malformed: Malformed) -> Self {
        Self::Garbled
    }
}

/// Asks and hands the body of a 2xx on in pieces. A whole answer was had only when this is `Ok`.
pub(crate) async fn ask(question: Question<'_>, sink: impl FnMut(&[u8])) -> Result<(), AskError> {
    timeout(ASK_FOR_MAX, exchange(question, sink)).await.map_err(|_| AskError::Endless)?
}

async fn exchange(question: Question<'_>, mut sink: impl FnMut(&[u8])) -> Result<(), AskError> {
    let mut stream = promptly(TcpStream::connect(question.address)).await?;
    stream.set_nodelay(true)?;
    promptly(stream.write_all(question.bytes().as_bytes())).await?;
    let mut reader = Reader::default();
    let mut refusal = Vec::new();
    let mut bytes = vec![0; READ_LEN];
    // Bounded by SILENCE_MAX and ASK_FOR_MAX.
    let head = loop {
        let len = promptly(stream.read(&mut bytes)).await?;
        let hand_on = |head: Head, data: &[u8]| {
            if head.is_success() {
                sink(data);
            } else {
                let room = REFUSAL_SHOWN.saturating_sub(refusal.len());
                refusal.extend_from_slice(&data[..data.len().min(room)]);
            }
        };
        match if len == 0 { reader.end() } else { reader.take(&bytes[..len], hand_on)? } {
            Stage::Whole(head) => break head,
            Stage::Partial if len == 0 => return Err(AskError::Cut),
            Stage::Partial => {}
        }
    };
    if head.is_success() {
        return Ok(());
    }
    Err(AskError::Refused { status: head.status, text: String::from_utf8_lossy(&refusal).into_owned() })
}

async fn promptly<T>(step: impl Future<Output = io::Result<T>>) -> Result<T, AskError> {
    Ok(timeout(SILENCE_MAX, step).await.map_err(|_| AskError::Silent)??)
}

impl Question<'_> {
    fn bytes(&self) -> String {
        let Self { method, address, path, body } = self;
        let content = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let len = body.len();
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{content}Content-Length: {len}\r\n\r\n{body}"
        )
    }
}
