//! The paths of fields in messages, such as `spec.faults[1].name`.

/// A value or a key is shown in a message up to this many characters.
const SHOWN_MAX: usize = 40;

/// The path of a field of an object.
pub(crate) fn join(path: &str, field: &str) -> String {
    let field = cut(field);
    if path.is_empty() { field } else { format!("{path}.{field}") }
}

/// The path of an item of a list.
pub(crate) fn join_index(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// A text, cut to a length that fits a line, and without control characters, which a terminal would obey.
pub(crate) fn cut(text: &str) -> String {
    let text: String = text
        .chars()
        .flat_map(|one| if one.is_control() { one.escape_default().collect() } else { vec![one] })
        .collect();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
