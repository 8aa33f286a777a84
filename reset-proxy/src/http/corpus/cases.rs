//! The streams of the corpus, with the boundaries of their messages. The tests of whole proxies read them too.
#![allow(dead_code, reason = "each test uses a part of it")]

use serde::{Deserialize, Serialize};

/// One stream of the corpus.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) reads: Side,
    /// The method of the requests to which the stream responds.
    #[serde(default)]
    pub(crate) method: MethodName,
    /// The head and the body of each message, in their order.
    pub(crate) messages: Vec<[Text; 2]>,
    /// What follows the last body.
    #[serde(default)]
    pub(crate) rest: Text,
    pub(crate) then: Then,
    /// What Node finds, where that is something else.
    pub(crate) node: Option<Reading>,
    /// Why the two differ.
    pub(crate) why: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    Request,
    Response,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum MethodName {
    #[default]
    Get,
    Head,
    Connect,
}

/// Bytes, each as the character with its number. A part that repeats is written once.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Text {
    Plain(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Part {
    Once(String),
    Repeated(String, usize),
}

/// What a reader finds in a stream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Reading {
    /// The lengths of the head and of the body of each message whose head is whole.
    pub(crate) messages: Vec<[usize; 2]>,
    pub(crate) then: Then,
}

/// What follows the last message of a stream, or what is missing from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Then {
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
    pub(crate) fn characters(&self) -> String {
        match self {
            Self::Plain(text) => text.clone(),
            Self::Parts(parts) => parts.iter().map(Part::characters).collect(),
        }
    }
}

impl Part {
    pub(crate) fn characters(&self) -> String {
        match self {
            Self::Once(text) => text.clone(),
            Self::Repeated(text, times) => text.repeat(*times),
        }
    }
}

impl Case {
    /// The whole stream, each of its bytes as a character.
    pub(crate) fn characters(&self) -> String {
        self.messages.iter().flatten().chain([&self.rest]).map(Text::characters).collect()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.characters().chars().map(|character| u8::try_from(character).expect("a character of one byte")).collect()
    }

    /// What the corpus says about the stream.
    pub(crate) fn expected(&self) -> Reading {
        let lens = |message: &[Text; 2]| [0, 1].map(|part| message[part].characters().chars().count());
        Reading { messages: self.messages.iter().map(lens).collect(), then: self.then }
    }
}

pub(crate) fn corpus() -> Vec<Case> {
    let requests = include_str!("requests.jsonl").lines();
    let responses = include_str!("responses.jsonl").lines();
    requests
        .chain(responses)
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:.200}")))
        .collect()
}
