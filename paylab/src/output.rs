//! What commands print: results on standard output, messages on standard error. Neither panics, whatever becomes of the streams.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
};

use anyhow::anyhow;

/// Moves to the beginning of the line and clears it, where a progress bar may be.
const CLEAR_LINE: &str = "\r\x1b[2K";

/// Prints a result and the end of its line on standard output. A reader that wants no more of it, such as `head`, is no error.
pub(crate) fn print(result: impl Display) -> anyhow::Result<()> {
    print_text(&format!("{result}\n"))
}

/// Prints a text that has its own line ends on standard output. A reader that wants no more of it is no error.
pub(crate) fn print_text(text: &str) -> anyhow::Result<()> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow!("cannot write to standard output: {}", in_words(&error)))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Tells something on standard error. If that cannot be written, there is nobody left to be told.
pub(crate) fn tell(message: impl Display) {
    let _ = writeln!(anstream::stderr(), "paylab: {message}");
}

/// The same, where a progress bar may be drawn.
pub(crate) fn tell_over_progress(message: impl Display) {
    if io::stderr().is_terminal() {
        let _ = io::stderr().write_all(CLEAR_LINE.as_bytes());
    }
    tell(message);
}

/// Why a file or a stream cannot be used, without the numbers of the system.
pub(crate) fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or directory".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        _ => error.to_string(),
    }
}
