//! Serves one of the shapes on loopback.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use clap::Parser;
use paylab_apis::{Conduct, Shape, serve};
use tokio::net::TcpListener;

/// Serves a small payment service on 127.0.0.1 whose API has the shape of a well-known one.
#[derive(Parser)]
struct Options {
    /// The API whose shape it has.
    shape: Shape,
    /// Have a bug that breaks exactly-once.
    #[arg(long)]
    broken: bool,
    /// The port to listen on; 0 chooses a free one.
    #[arg(long, default_value_t = 9000)]
    port: u16,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "whoever chose port 0 needs the address")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let conduct = if options.broken { Conduct::Broken } else { Conduct::Correct };
    let address = (Ipv4Addr::LOCALHOST, options.port);
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on port {}", options.port))?;
    println!("http://{}", listener.local_addr()?);
    serve(listener, options.shape.router(conduct)).await.context("serving")
}
