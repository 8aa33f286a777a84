//! What is wrong with a YAML text, in plain words and with its place.

use granit_parser::{ErrorKind, ScanError};
use paylab_core::field_error::FieldError;

/// An error at a place of the file; both numbers count from 1.
pub(super) fn at(line: usize, column: usize, problem: &str) -> FieldError {
    FieldError::new("", format!("line {line}, column {column}: {problem}"))
}

/// What the parser has found.
pub(super) fn broken(error: &ScanError, lines_before: usize) -> FieldError {
    let marker = error.marker();
    at(lines_before + marker.line(), marker.col() + 1, &problem(error.kind()))
}

fn problem(kind: &ErrorKind) -> String {
    let words = match kind {
        ErrorKind::UnexpectedEof
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::UnexpectedEofBlockSequence
        | ErrorKind::UnexpectedEofBlockMapping => "the document ends too early",
        ErrorKind::UnclosedFlowCollection { open } => return format!("the bracket {open} is never closed"),
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            return format!("the bracket {open} is closed by {close}");
        }
        ErrorKind::MisplacedFlowCollectionEnd => "this bracket closes nothing",
        ErrorKind::UnclosedQuotedScalar => "the quote is never closed",
        ErrorKind::ExpectedFlowMappingSeparator => "a comma or } is missing here",
        ErrorKind::ExpectedFlowSequenceSeparator => "a comma or ] is missing here",
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            "a key and a colon are expected here; check the indentation"
        }
        ErrorKind::ExpectedBlockSequenceEntry => "an item that begins with - is expected here; check the indentation",
        ErrorKind::ExpectedNodeContent => "a value is expected here",
        ErrorKind::MappingValueNotAllowed => {
            "a colon is not allowed here; check the indentation, or put the text in quotes"
        }
        ErrorKind::BlockSequenceEntryNotAllowed => "a list item is not allowed here; check the indentation",
        ErrorKind::InvalidIndentation => "the indentation does not fit the lines above",
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => "a tab is not allowed here; indent with blanks",
        ErrorKind::UnknownQuotedScalarEscape => "the text in quotes has an unknown escape; write \\\\ for a backslash",
        ErrorKind::UnexpectedCharacter { character } => {
            return format!("a text cannot begin with {character}; put it in quotes");
        }
        ErrorKind::UnknownAnchor => "no anchor of this name was defined above",
        ErrorKind::InvalidDocumentEnd => "nothing may follow the end of the document",
        ErrorKind::DirectiveDisallowed => "a directive such as %YAML is not allowed",
        ErrorKind::ExpectedDocumentStart => "a line of --- is expected between two documents",
        ErrorKind::RecursionLimitExceeded => "the text is nested too deep",
        other => return other.to_string(),
    };
    words.to_owned()
}
