//! Arguments that may be a database URL or a part of one, and must not be shown: a URL without `--database` in front, or one with a
//! blank in its password that was not quoted.

use std::{env, path::Path};

/// What is shown instead.
pub(crate) const HIDDEN: &str =
    "(not shown, because it may be a part of a database URL; quote the URL and put --database before it)";
/// Words of database URLs.
const MARKS: [&str; 4] = ["://", "@", "postgres", "jdbc:"];
/// How the name of an experiment's file usually ends.
const FILE_ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Whether an argument looks like a database URL.
pub(crate) fn is_url(argument: &str) -> bool {
    MARKS.iter().any(|mark| argument.contains(mark))
}

/// Whether a database URL is on the command line, so that other arguments may be parts of it.
pub(crate) fn database_is_given() -> bool {
    env::args_os().any(|argument| argument.to_string_lossy().starts_with("--database"))
}

/// Whether an argument that was taken for a file, which does not exist, may be a database URL or a part of one.
pub(crate) fn may_be_url(file: &Path) -> bool {
    let ending = file.extension().and_then(|ending| ending.to_str());
    let is_named_as_a_file = ending.is_some_and(|ending| FILE_ENDINGS.contains(&ending));
    let text = file.to_string_lossy();
    let has_mark_of_no_file = ["://", "@", "jdbc:"].iter().any(|mark| text.contains(mark));
    has_mark_of_no_file || (!is_named_as_a_file && (is_url(&text) || database_is_given()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_unless_it_looks_like_a_url() {
        for file in ["x.yaml", "postgres.yaml", "lessons/postgres/x.yml", "x.txt", "nowhere", "-"] {
            assert!(!may_be_url(file.as_ref()), "{file}");
        }
        for file in ["postgres://a:b@c/d", "b@c/d", "jdbc:postgresql", "postgres:x", "postgres://a/x.yaml"] {
            assert!(may_be_url(file.as_ref()), "{file}");
        }
    }
}
