//! Writes the image as an OCI archive, which `ctr images import` and `kind load image-archive` can read. The image has one static
//! binary and an empty folder `/tmp`. The same binary and name give the same bytes. It must not know how the binary is built.
#![expect(clippy::print_stdout, reason = "its result is its output")]

mod archive;

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap::Parser;

use crate::archive::archive;

/// Writes a static paylab binary as an OCI image archive
#[derive(Debug, Parser)]
#[command(after_help = "image/build builds the binary and calls this program.")]
struct Cli {
    /// The statically linked binary
    #[arg(long, value_name = "FILE")]
    binary: PathBuf,
    /// The full name of the image, such as registry.local/paylab:0.1.0
    #[arg(long, value_name = "NAME:TAG", value_parser = full_name)]
    name: String,
    /// The archive to write
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let Cli { binary, name, output } = Cli::parse();
    let program = fs::read(&binary).with_context(|| format!("cannot read {}", binary.display()))?;
    let (archive, digest) = archive(&program, &name)?;
    fs::write(&output, &archive).with_context(|| format!("cannot write {}", output.display()))?;
    println!("{name}@{digest}   {:.1} MB   {}", archive.len() as f64 / 1e6, output.display());
    Ok(())
}

/// Checks that a name has a tag other than `latest`: otherwise Kubernetes pulls the image whenever it starts a container.
fn full_name(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((repository, tag))
            if !repository.is_empty() && !tag.is_empty() && tag != "latest" && !tag.contains('/') =>
        {
            Ok(text.to_owned())
        }
        _ => Err("use NAME:TAG with a tag other than latest".to_owned()),
    }
}
