//! Compares the boundaries that this reader finds with those that Node's own parser finds, in a corpus of streams. The corpus says where
//! each message ends, so that the reader is tested without Node too. Where Node finds another boundary, the corpus says why.

use std::{fs::File, io::Write, process::Command};

use cases::{Case, MethodName, Reading, Side, Then, corpus};
use serde::Serialize;

use crate::http::{
    body::BodyEnd,
    head::{HeadLimits, ParsedHead},
    request::{Method, parse_request},
    response::parse_response,
};

mod cases;

/// Whether Node must be here, so that its comparison cannot be left out unnoticed.
const REQUIRE_NODE: &str = "PAYLAB_TEST_REQUIRE_NODE";
/// Older versions, such as Debian's 18, take more than this one.
const NODE_VERSION_MIN: u32 = 20;
/// A stream up to this length is also read byte by byte.
const SHORT_LEN_MAX: usize = 4096;

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
