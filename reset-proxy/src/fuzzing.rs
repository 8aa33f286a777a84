//! What the fuzz targets in `fuzz/` call; it is compiled for them only. Each function panics when a property is violated.

use paylab_part::chunked::Chunked;
use serde_json::Value;

use crate::{
    http::{
        head::{HeadLimits, ParsedHead},
        request::{Method, parse_request},
        response::parse_response,
    },
    toxic::{
        collection::{definitions, update},
        definition::Toxic,
        fields::object,
    },
};

/// Reads a body as each route would. A toxic must be the same after it was shown and read again.
///
/// # Panics
/// It is not the same.
pub fn body(bytes: &[u8]) {
    let _ = update(bytes);
    let _ = definitions(bytes);
    let Ok(toxic) = object(bytes).and_then(|fields| Toxic::read(&fields)) else { return };
    let shown = serde_json::to_value(&toxic).expect("a toxic can be shown");
    let again = object(shown.to_string().as_bytes())
        .and_then(|fields| Toxic::read(&fields))
        .expect("a shown toxic can be read");
    assert_eq!(shown, serde_json::to_value(&again).expect("a toxic can be shown"));
    let merged =
        object(bytes).and_then(|fields| again.merged(&fields)).expect("a toxic can be merged with its own fields");
    assert_eq!(serde_json::to_value(&merged).ok(), Some(shown).filter(Value::is_object));
}

/// Looks for a head at the front and for the end of a chunked body. Neither may depend on the pieces in which bytes arrive.
///
/// # Panics
/// One of them does.
pub fn head(bytes: &[u8]) {
    let len = |parsed: &ParsedHead<usize>| if let ParsedHead::Whole(len) = parsed { Some(*len) } else { None };
    let finders: [fn(&[u8]) -> ParsedHead<usize>; 4] = [
        |bytes| parse_request(bytes, HeadLimits::DEFAULT).map(|head| head.len),
        |bytes| parse_response(bytes, Method::Other, HeadLimits::DEFAULT).map(|head| head.len),
        |bytes| parse_response(bytes, Method::Head, HeadLimits::DEFAULT).map(|head| head.len),
        |bytes| parse_response(bytes, Method::Connect, HeadLimits::DEFAULT).map(|head| head.len),
    ];
    for find in finders {
        let found = find(bytes);
        if let Some(len) = len(&found) {
            assert_eq!(find(&bytes[..len]), found, "bytes after a head must not change it");
            assert_eq!(find(&bytes[..len - 1]), ParsedHead::Partial, "a head without its last byte must be partial");
        }
    }
    let (mut whole, mut bytewise) = (Chunked::START, Chunked::START);
    let taken = whole.take(bytes);
    let one_by_one: usize = bytes.iter().map(|byte| bytewise.take(&[*byte])).sum();
    assert_eq!((taken, whole), (one_by_one, bytewise));
}
