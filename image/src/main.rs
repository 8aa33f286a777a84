//! Writes the image: one binary, static, in an otherwise empty file system, as an OCI archive that `ctr images import` and
//! `kind load image-archive` read. The same binary and tag give the same bytes. It must not know how the binary is built.
#![expect(clippy::print_stdout, reason = "its result is its output")]

mod archive;

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap::Parser;

use crate::archive::archive;

/// Writes a static paylab binary as an OCI image archive
#[derive(Debug, Parser)]
#[command(after_help = "Use image/build, which builds the binary too.")]
struct Cli {
    /// The binary, statically linked
    #[arg(long, value_name = "FILE")]
    binary: PathBuf,
    /// The image's whole name, such as registry.local/paylab:0.1.0
    #[arg(long, value_name = "NAME:TAG", value_parser = name)]
    name: String,
    /// Where the archive goes
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

/// Kubernetes pulls an image without a tag, and one called latest, each time anew.
fn name(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((repository, tag))
            if !repository.is_empty() && !tag.is_empty() && tag != "latest" && !tag.contains('/') =>
        {
            Ok(text.to_owned())
        }
        _ => Err("use NAME:TAG with a tag other than latest".to_owned()),
    }
}
