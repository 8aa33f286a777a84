//! The split of a file into documents, at lines that begin with `---`.

use paylab_core::field_error::FieldError;

use crate::yaml::words::at;

const SEPARATOR: &str = "---";

/// A part of a file between two separators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) text: &'a str,
    /// The number of lines before it.
    pub(super) lines_before: usize,
}

/// The parts of a text, or what is wrong with one.
pub(super) fn documents(text: &str) -> Vec<Result<Part<'_>, Vec<FieldError>>> {
    // Editors of Windows put a byte-order mark at the start of a file.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parts = Vec::new();
    let (mut begin, mut lines_before) = (0, 0);
    let mut position = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let start = position;
        position += line.len();
        let Some(rest) = line.strip_prefix(SEPARATOR) else { continue };
        parts.push(checked(Part { text: &text[begin..start], lines_before }));
        (begin, lines_before) = (position, index + 1);
        let rest = rest.trim();
        if !rest.is_empty() && !rest.starts_with('#') {
            parts.push(Err(vec![at(index + 1, SEPARATOR.len() + 1, "only a comment may follow the separator ---")]));
        }
    }
    parts.push(checked(Part { text: &text[begin..], lines_before }));
    parts
}

/// Refuses control characters, which no YAML may hold.
fn checked(part: Part<'_>) -> Result<Part<'_>, Vec<FieldError>> {
    let forbidden = |character: char| {
        matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}')
            || matches!(character, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    let Some((offset, character)) = part.text.char_indices().find(|(_, character)| forbidden(*character)) else {
        return Ok(part);
    };
    let before = &part.text[..offset];
    let line = part.lines_before + before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|character| *character != '\n').count() + 1;
    Err(vec![at(line, column, &format!("the control character U+{:04X} is not allowed", u32::from(character)))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_split_at_lines_of_three_dashes() {
        let parts = |text| -> Vec<_> {
            documents(text).into_iter().map(|part| part.map(|part| (part.text.to_owned(), part.lines_before))).collect()
        };
        let part = |text: &str, lines| Ok((text.to_owned(), lines));
        assert_eq!(parts("a\n--- # b\nc\n---"), [part("a\n", 0), part("c\n", 2), part("", 4)]);
        assert_eq!(parts("\u{feff}a\n --- b"), [part("a\n --- b", 0)]);
    }

    #[test]
    fn what_cannot_be_yaml_is_refused_with_its_place() {
        for (text, told) in [
            ("a: 1\n--- b\n", "line 2, column 4: only a comment may follow the separator ---"),
            ("a: 1\n---\nb: \u{1}\n", "line 3, column 4: the control character U+0001 is not allowed"),
        ] {
            let refused: Vec<_> = documents(text).into_iter().filter_map(Result::err).flatten().collect();
            assert_eq!(refused.iter().map(ToString::to_string).collect::<Vec<_>>(), [told]);
        }
    }
}
