//! Compares the boundaries that this reader finds with those that Node's own parser finds, in a corpus of streams. The corpus says where
//! each message ends, so that the reader is tested without Node too. Where Node finds another boundary, the corpus says why.

use std::{fs::File, io::Write, process::Command};

use serde::{Deserialize, Serialize};

use crate::http::{
    body::BodyEnd,
    head::{HeadLimits, ParsedHead},
    request::{Method, parse_request},
    response::parse_response,
};

/// Whether Node must be here, so that its comparison cannot be left out unnoticed.
const REQUIRE_NODE: &str = "PAYLAB_TEST_REQUIRE_NODE";
/// Older versions, such as Debian's 18, take more than this one.
const NODE_VERSION_MIN: u32 = 20;
/// A stream up to this length is also read byte by byte.
const SHORT_LEN_MAX: usize = 4096;

/// One stream of the corpus.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    reads: Side,
    /// The method of the requests to which the stream responds.
    #[serde(default)]
    method: MethodName,
    /// The head and the body of each message, in their order.
    messages: Vec<[Text; 2]>,
    /// What follows the last body.
    #[serde(default)]
    rest: Text,
    then: Then,
    /// What Node finds, where that is something else.
    node: Option<Reading>,
    /// Why the two differ.
    why: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Request,
    Response,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum MethodName {
    #[default]
    Get,
    Head,
    Connect,
}

/// Bytes, each as the character with its number. A part that repeats is written once.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Part {
    Once(String),
    Repeated(String, usize),
}

/// What a reader finds in a stream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
struct Reading {
    /// The lengths of the head and of the body of each message whose head is whole.
    messages: Vec<[usize; 2]>,
    then: Then,
}

/// What follows the last message of a stream, or what is missing from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Then {
    Nothing,
    MoreOfTheHead,
    MoreOfTheBody,
    /// The last body goes on to the end of the stream.
    EndOfTheStream,
    OtherProtocol,
    Unreadable,
    BrokenBody,
}

impl Default for Text {
    fn default() -> Self {
        Self::Plain(String::new())
    }
}

impl Text {
    fn characters(&self) -> String {
        match self {
            Self::Plain(text) => text.clone(),
            Self::Parts(parts) => parts.iter().map(Part::characters).collect(),
        }
    }
}

impl Part {
    fn characters(&self) -> String {
        match self {
            Self::Once(text) => text.clone(),
            Self::Repeated(text, times) => text.repeat(*times),
        }
    }
}

impl Case {
    /// The whole stream, each of its bytes as a character.
    fn characters(&self) -> String {
        self.messages.iter().flatten().chain([&self.rest]).map(Text::characters).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        self.characters().chars().map(|character| u8::try_from(character).expect("a character of one byte")).collect()
    }

    /// What the corpus says about the stream.
    fn expected(&self) -> Reading {
        let lens = |message: &[Text; 2]| [0, 1].map(|part| message[part].characters().chars().count());
        Reading { messages: self.messages.iter().map(lens).collect(), then: self.then }
    }
}

fn corpus() -> Vec<Case> {
    let requests = include_str!("corpus/requests.jsonl").lines();
    let responses = include_str!("corpus/responses.jsonl").lines();
    requests
        .chain(responses)
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:.200}")))
        .collect()
}

/// A head at the front of the bytes: its length, its body, and whether another protocol follows it.
fn head(case: &Case, bytes: &[u8]) -> ParsedHead<(usize, BodyEnd, Then)> {
    let method = match case.method {
        MethodName::Get => Method::Other,
        MethodName::Head => Method::Head,
        MethodName::Connect => Method::Connect,
    };
    match case.reads {
        // Only the response says whether another protocol follows.
        Side::Request => parse_request(bytes, HeadLimits::DEFAULT).map(|head| (head.len, head.body, Then::Nothing)),
        Side::Response => parse_response(bytes, method, HeadLimits::DEFAULT).map(|head| {
            let then = if head.switches_protocol(method) { Then::OtherProtocol } else { Then::Nothing };
            (head.len, head.body, then)
        }),
    }
}

/// What this reader finds in a stream whose bodies arrive in pieces of this length.
fn read(case: &Case, bytes: &[u8], piece_len: usize) -> Reading {
    let mut messages = Vec::new();
    let mut rest = bytes;
    let then = loop {
        let (head_len, mut body, then) = match head(case, rest) {
            ParsedHead::Whole(head) => head,
            ParsedHead::Partial if rest.is_empty() => break Then::Nothing,
            ParsedHead::Partial => break Then::MoreOfTheHead,
            ParsedHead::Unreadable(_) => break Then::Unreadable,
        };
        let body_len = rest[head_len..].chunks(piece_len).map(|piece| body.take(piece)).sum();
        messages.push([head_len, body_len]);
        rest = &rest[head_len + body_len..];
        if body.is_broken() {
            break Then::BrokenBody;
        } else if body.ends_with_stream() {
            break Then::EndOfTheStream;
        } else if !body.is_done() {
            break Then::MoreOfTheBody;
        } else if then == Then::OtherProtocol {
            break then;
        }
    };
    Reading { messages, then }
}

/// The major version of Node. `None` without Node.
fn node_version() -> Option<u32> {
    let output = match Command::new("node").arg("--version").output() {
        Ok(output) => output,
        Err(error) => {
            assert!(std::env::var_os(REQUIRE_NODE).is_none(), "node: {error}");
            return None;
        }
    };
    let text = String::from_utf8(output.stdout).expect("text");
    let major = text.strip_prefix('v').and_then(|text| text.split('.').next());
    Some(major.and_then(|major| major.parse().ok()).expect("a version"))
}

/// What Node finds in each stream. `None` without a Node whose parser is as strict as that of the corpus.
fn read_by_node(corpus: &[Case]) -> Option<Vec<Reading>> {
    let version = node_version();
    if version.is_none_or(|major| major < NODE_VERSION_MIN) {
        eprintln!("the boundaries are not compared with those of Node, which is too old or not here: {version:?}");
        return None;
    }
    #[derive(Serialize)]
    struct Stream {
        reads: Side,
        method: MethodName,
        stream: String,
    }
    let mut input = tempfile::NamedTempFile::new().expect("a temporary file");
    for case in corpus {
        let stream = Stream { reads: case.reads, method: case.method, stream: case.characters() };
        writeln!(input, "{}", serde_json::to_string(&stream).expect("JSON")).expect("a line is written");
    }
    let stdin = File::open(input.path()).expect("the temporary file");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/corpus/node.cjs");
    let output = Command::new("node").arg(program).stdin(stdin).output().expect("node runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(text.lines().map(|line| serde_json::from_str(line).expect("a reading")).collect())
}

#[test]
fn every_message_of_the_corpus_ends_where_it_should() {
    let corpus = corpus();
    assert!(corpus.len() >= 200, "{}", corpus.len());
    for case in &corpus {
        let bytes = case.bytes();
        assert_eq!(read(case, &bytes, bytes.len().max(1)), case.expected(), "{}", case.name);
        if bytes.len() <= SHORT_LEN_MAX {
            assert_eq!(read(case, &bytes, 1), case.expected(), "{}, byte by byte", case.name);
        }
    }
}

/// A head that is read before its last byte has come is never taken for a whole one, nor a good one for a bad one.
#[test]
fn no_head_of_the_corpus_ends_too_early() {
    for case in corpus() {
        let bytes = case.bytes();
        let Some([head_len, _]) = case.expected().messages.first().copied() else { continue };
        for len in 0..head_len.min(SHORT_LEN_MAX) {
            let front = &bytes[..len];
            assert!(matches!(head(&case, front), ParsedHead::Partial), "{}: {len} of {head_len} bytes", case.name);
        }
    }
}

/// Where the corpus has a reason for a difference, another version of Node than the 20 of the corpus may find no difference.
#[test]
fn node_finds_the_same_boundaries_where_the_corpus_does_not_say_why_not() {
    let corpus = corpus();
    let Some(readings) = read_by_node(&corpus) else { return };
    assert_eq!(readings.len(), corpus.len());
    let mut differences = Vec::new();
    for (case, reading) in corpus.iter().zip(readings) {
        assert_eq!(case.node.is_some(), case.why.is_some(), "{} needs a reason for its difference", case.name);
        if reading != case.expected() && case.node.as_ref() != Some(&reading) {
            differences.push((&case.name, reading));
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
}
