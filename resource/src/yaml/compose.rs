//! The JSON value of a document: its mappings, lists, anchors and merge keys. A key that is given twice is refused.

use std::collections::{BTreeMap, BTreeSet};

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use paylab_core::field_error::FieldError;
use serde_json::{Map, Value};

use crate::{
    path::{join, join_index},
    yaml::{
        Document, scalar,
        split::Part,
        words::{at, broken},
    },
};

/// Deeper texts are refused; an experiment has seven levels.
const DEPTH_MAX: usize = 100;
/// Aliases may copy at most this many values, so that a short text cannot become a huge one.
const COPIES_MAX: usize = 100_000;

/// Composes the first document of a part, which must be its only one.
pub(super) fn compose(part: Part<'_>) -> Document {
    let mut composer = Composer {
        parser: Parser::new_from_str_with_options(part.text, granit_parser::options! { disallow_directives: true }),
        lines_before: part.lines_before,
        anchors: BTreeMap::new(),
        copies: 0,
        duplicates: Vec::new(),
    };
    match composer.document() {
        Ok(value) if composer.duplicates.is_empty() => Ok(value),
        Ok(_) => Err(composer.duplicates),
        Err(error) => Err(vec![error]),
    }
}

struct Composer<'a> {
    parser: Parser<'a, StrInput<'a>>,
    lines_before: usize,
    /// The values that aliases can copy, with their sizes.
    anchors: BTreeMap<usize, (Value, usize)>,
    copies: usize,
    duplicates: Vec<FieldError>,
}

/// A key of a mapping.
enum Key {
    /// `<<`: the fields of other mappings are taken over.
    Merge,
    Name(String),
}

impl<'a> Composer<'a> {
    fn document(&mut self) -> Result<Value, FieldError> {
        let mut document = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::StreamEnd => return Ok(document.unwrap_or(Value::Null)),
                Event::DocumentStart(..) if document.is_some() => {
                    return Err(self.error(&span, "nothing may follow the end of the document"));
                }
                Event::DocumentStart(..) => {
                    let (event, span) = self.next()?;
                    document = Some(self.node(event, &span, "", 0)?);
                }
                _ => return Err(self.error(&span, "a value is expected here")),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), FieldError> {
        loop {
            match self.parser.next_event() {
                None => return Ok((Event::StreamEnd, Span::default())),
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(next)) => return Ok(next),
                Some(Err(error)) => return Err(broken(&error, self.lines_before)),
            }
        }
    }

    /// The value that begins with an event.
    fn node(&mut self, event: Event<'a>, span: &Span, path: &str, depth: usize) -> Result<Value, FieldError> {
        if depth > DEPTH_MAX {
            return Err(self.error(span, &format!("the text is nested more than {DEPTH_MAX} levels deep")));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.map(|tag| whole_tag(&tag));
                let value = scalar::value(&text, style == ScalarStyle::Plain, tag.as_deref());
                (value.map_err(|problem| self.error(span, &problem))?, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.sequence(path, depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.mapping(path, depth)?, anchor),
            Event::Alias(anchor) => (self.copy(anchor, span)?, 0),
            _ => return Err(self.error(span, "a value is expected here")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), size(&value)));
        }
        Ok(value)
    }

    fn sequence(&mut self, path: &str, depth: usize) -> Result<Value, FieldError> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Value::Array(items));
            }
            items.push(self.node(event, &span, &join_index(path, items.len()), depth + 1)?);
        }
    }

    fn mapping(&mut self, path: &str, depth: usize) -> Result<Value, FieldError> {
        let mut fields = Map::new();
        let mut given = BTreeSet::new();
        loop {
            let (event, key_span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Value::Object(fields));
            }
            let key = self.key(event, &key_span)?;
            let (event, span) = self.next()?;
            match key {
                Key::Merge => {
                    let value = self.node(event, &span, path, depth + 1)?;
                    for (name, value) in self.merged(value, &span)? {
                        self.refuse_second(&mut given, &name, path, &key_span);
                        fields.insert(name, value);
                    }
                }
                Key::Name(name) => {
                    let value = self.node(event, &span, &join(path, &name), depth + 1)?;
                    self.refuse_second(&mut given, &name, path, &key_span);
                    fields.insert(name, value);
                }
            }
        }
    }

    /// A key that is given twice is refused, as in strict decoding on a cluster, where a merge key gives keys too.
    fn refuse_second(&mut self, given: &mut BTreeSet<String>, name: &str, path: &str, span: &Span) {
        if !given.insert(name.to_owned()) {
            let line = self.lines_before + span.start.line();
            self.duplicates.push(FieldError::new(join(path, name), format!("is given twice, again in line {line}")));
        }
    }

    /// Keys that are no texts become texts, as in the conversion to JSON.
    fn key(&mut self, event: Event<'a>, span: &Span) -> Result<Key, FieldError> {
        if matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<") {
            return Ok(Key::Merge);
        }
        match self.node(event, span, "", DEPTH_MAX - 1)? {
            Value::String(name) => Ok(Key::Name(name)),
            Value::Bool(yes) => Ok(Key::Name(yes.to_string())),
            Value::Number(number) => Ok(Key::Name(number.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => Err(self.error(span, "a key must be a text")),
        }
    }

    /// The fields that a merge key takes over from one mapping or several.
    fn merged(&self, value: Value, span: &Span) -> Result<Vec<(String, Value)>, FieldError> {
        let several = match value {
            Value::Array(items) => items,
            one => vec![one],
        };
        let mut merged = Vec::new();
        for one in several {
            let Value::Object(fields) = one else {
                return Err(self.error(span, "<< needs a mapping, or a list of mappings"));
            };
            merged.extend(fields);
        }
        Ok(merged)
    }

    fn copy(&mut self, anchor: usize, span: &Span) -> Result<Value, FieldError> {
        let Some((value, size)) = self.anchors.get(&anchor) else {
            return Err(self.error(span, "an anchor cannot contain itself"));
        };
        self.copies += size;
        if self.copies > COPIES_MAX {
            return Err(self.error(span, &format!("aliases copy more than {COPIES_MAX} values")));
        }
        Ok(value.clone())
    }

    fn error(&self, span: &Span, problem: &str) -> FieldError {
        at(self.lines_before + span.start.line(), span.start.col() + 1, problem)
    }
}

fn whole_tag(tag: &Tag) -> String {
    format!("{}{}", tag.handle(), tag.suffix())
}

/// How many values a value holds, itself included.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(size).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}
