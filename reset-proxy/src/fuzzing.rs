//! What the fuzz targets in `fuzz/` call; built for them alone. Each panics where the code breaks a promise.

use serde_json::Value;

use crate::{
    http::chunked::Chunked,
    http::head::{self, Method, Parsed},
    toxic::collection::{change, wanted},
    toxic::definition::Toxic,
    toxic::fields::object,
};

/// Reads a body as each route would. What is read as a toxic is the same when it is shown and read again.
///
/// # Panics
/// When it is not.
pub fn body(bytes: &[u8]) {
    let _ = change(bytes);
    let _ = wanted(bytes);
    let Ok(toxic) = object(bytes).and_then(|fields| Toxic::read(&fields)) else { return };
    let shown = serde_json::to_value(&toxic).expect("a toxic can be shown");
    let again = object(shown.to_string().as_bytes()).and_then(|fields| Toxic::read(&fields)).expect("and read again");
    assert_eq!(shown, serde_json::to_value(&again).expect("and shown again"));
    let merged = object(bytes).and_then(|fields| again.merged(&fields)).expect("and told the same again");
    assert_eq!(serde_json::to_value(&merged).ok(), Some(shown).filter(Value::is_object));
}

/// Looks for a head at the front, and for the end of a chunked body. Neither depends on how the bytes are cut.
///
/// # Panics
/// When one does.
pub fn head(bytes: &[u8]) {
    let len = |parsed: &Parsed<usize>| if let Parsed::Whole(len) = parsed { Some(*len) } else { None };
    let finders: [fn(&[u8]) -> Parsed<usize>; 4] = [
        |bytes| head::request(bytes).map(|head| head.len),
        |bytes| head::response(bytes, Method::Other).map(|head| head.len),
        |bytes| head::response(bytes, Method::Head).map(|head| head.len),
        |bytes| head::response(bytes, Method::Connect).map(|head| head.len),
    ];
    for find in finders {
        let found = find(bytes);
        if let Some(len) = len(&found) {
            assert_eq!(find(&bytes[..len]), found, "what follows a head does not change it");
            assert_eq!(find(&bytes[..len - 1]), Parsed::Partial, "without its last byte it is not whole");
        }
    }
    let (mut whole, mut bytewise) = (Chunked::START, Chunked::START);
    let taken = whole.take(bytes);
    let one_by_one: usize = bytes.iter().map(|byte| bytewise.take(&[*byte])).sum();
    assert_eq!((taken, whole), (one_by_one, bytewise));
}
