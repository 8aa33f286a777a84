//! `paylab serve`: the payment service, and in front of it a proxy whose faults are set through Toxiproxy's API.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Args;
use paylab_core::{
    duration_text::DurationText,
    targets::ours::{Dedup, MissingKey, OnDisconnect},
};
use paylab_part::contract::{CONTROL_PORT, PAYMENTS_PATH, PROXY_PORT, SERVICE_PORT};
use payment_service::{
    PaymentService,
    options::{Commit, Options as ServiceOptions, word},
};
use reset_proxy::{
    ResetProxy,
    options::{Options as ProxyOptions, Toxiproxy, seed},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    commands::part::{self, Logged},
    database::Ledger,
    exit::Exit,
    lab::{DIAL_TIMEOUT, Database, DatabaseParser, draw_run_id, one_thread},
    machine::IN_FLIGHT_MAX,
    output::print,
};

/// The options of `paylab serve`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// How repeats are treated: None, UniqueKey, Replay, CheckThenInsert, Memory, KeyThenApply, ApplyThenKey or AckThenApply
    #[arg(long, value_name = "MODE", default_value = "UniqueKey", value_parser = word::<Dedup>)]
    pub dedup: Dedup,
    /// Where the service keeps its ledger: sqlite (a temporary file), sqlite:FILE (a new file that is kept), or postgres://USER@HOST/DATABASE (a schema that is dropped at the end)
    #[arg(long, value_name = "URL", default_value = "sqlite", allow_hyphen_values = true, value_parser = DatabaseParser)]
    pub database: Database,
    /// The address of service, proxy and API
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
    /// The port of the service; for every port, 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = SERVICE_PORT)]
    pub service_port: u16,
    /// The port of the proxy in front of it
    #[arg(long, value_name = "PORT", default_value_t = PROXY_PORT)]
    pub proxy_port: u16,
    /// The port of the API
    #[arg(long, value_name = "PORT", default_value_t = CONTROL_PORT)]
    pub port: u16,
    /// The name of the proxy in the API
    #[arg(long, value_name = "NAME", default_value = "payment")]
    pub name: String,
    /// The seed that decides which connections have a toxic; drawn and logged when absent
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = seed)]
    pub seed: Option<u64>,
}

/// Serves until a signal ends it.
///
/// # Errors
/// A part cannot start, or fails, or the database cannot be cleaned.
pub fn serve(options: Logged<Options>) -> anyhow::Result<Exit> {
    let Logged { part: options, logs } = options;
    let shutdown = part::begin(&logs.or_toxiproxys())?;
    let ledger = Ledger::prepare(&draw_run_id()?, &options.database)?;
    let served = one_thread()?.block_on(options.serve(&ledger, shutdown));
    let cleaned = ledger.clean();
    // Why it does not serve is the cause of whatever else fails then.
    served.and(cleaned)?;
    Ok(Exit::AsExpected)
}

impl Options {
    async fn serve(&self, ledger: &Ledger, shutdown: CancellationToken) -> anyhow::Result<()> {
        let service = PaymentService::start(self.service(ledger)).await?;
        let proxy = ResetProxy::start(self.proxy()).await?;
        let listen = SocketAddr::new(self.host, self.proxy_port);
        let named = json!([{"name": self.name, "listen": listen, "upstream": service.address()}]);
        let listens = proxy.populate(named.to_string().as_bytes()).await?;
        print(format_args!(
            "service  http://{}{PAYMENTS_PATH}   dedup {:?}\n\
             proxy    http://{}{PAYMENTS_PATH}   \"{}\" to the service\n\
             API      http://{}/proxies   as Toxiproxy's",
            service.address(),
            self.dedup,
            listens.join(" "),
            self.name,
            proxy.control_address()
        ))?;
        tokio::try_join!(async { Ok::<_, anyhow::Error>(service.serve(shutdown.clone()).await?) }, async {
            Ok(proxy.serve(shutdown.clone()).await?)
        },)?;
        Ok(())
    }

    fn service(&self, ledger: &Ledger) -> ServiceOptions {
        ServiceOptions {
            listen: SocketAddr::new(self.host, self.service_port),
            database: ledger.url.clone(),
            schema: ledger.schema(),
            dedup: self.dedup,
            on_disconnect: OnDisconnect::Finish,
            processing_time: DurationText::from_ms(0),
            key_ttl: None,
            missing_key: MissingKey::Book,
            commit: Commit::Group,
        }
    }

    fn proxy(&self) -> ProxyOptions {
        let host = Some(self.host.to_string());
        ProxyOptions {
            connections_max: IN_FLIGHT_MAX,
            dial_timeout: DIAL_TIMEOUT,
            toxiproxy: Toxiproxy { host, port: Some(self.port), seed: self.seed, ..Toxiproxy::default() },
            ..ProxyOptions::default()
        }
    }
}
