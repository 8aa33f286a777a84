//! The one binary. Everything it can do is in the library of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    paylab::cli::main()
}
