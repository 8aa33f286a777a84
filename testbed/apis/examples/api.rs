//! Serves one of the shapes, by default on loopback.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context as _;
use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use clap::Parser;
use paylab_apis::{Conduct, Shape, serve};
use tokio::net::TcpListener;

/// Serves a small payment service whose API has the shape of a well-known one.
#[derive(Parser)]
struct Options {
    /// The API whose shape it has.
    shape: Shape,
    /// Have a bug that breaks exactly-once.
    #[arg(long)]
    broken: bool,
    /// The address to listen on.
    #[arg(long, default_value_t = IpAddr::from(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// The port to listen on; 0 chooses a free one.
    #[arg(long, env = "PORT", default_value_t = 9000)]
    port: u16,
    /// What every request must name in its header Authorization, as Bearer TOKEN.
    #[arg(long, env = "TOKEN", hide_env_values = true)]
    token: Option<String>,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "whoever chose port 0 needs the address")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let conduct = if options.broken { Conduct::Broken } else { Conduct::Correct };
    let address = (options.host, options.port);
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on port {}", options.port))?;
    println!("http://{}", listener.local_addr()?);
    let mut router = options.shape.router(conduct);
    if let Some(token) = options.token {
        router = router.layer(middleware::from_fn_with_state(format!("Bearer {token}"), demand_token));
    }
    serve(listener, router).await.context("serving")
}

/// Refuses a request without the token, and repeats what came instead, as a careless service does.
async fn demand_token(State(expected): State<String>, request: Request, next: Next) -> Response {
    let sent = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or("nothing");
    if sent == expected {
        return next.run(request).await;
    }
    (StatusCode::UNAUTHORIZED, format!("{sent} is not the token")).into_response()
}
