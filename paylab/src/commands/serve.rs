//! `paylab serve`: the payment service, in front of it a proxy whose faults are set through Toxiproxy's API, and a page that shows both.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use clap::Args;
use paylab_core::{
    duration_text::DurationText,
    probability::Probability,
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
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    commands::part::{self, Logged},
    database::Ledger,
    exit::Exit,
    lab::{DIAL_TIMEOUT, Database, DatabaseParser, Part, draw_run_id, one_thread},
    machine::IN_FLIGHT_MAX,
    output::print,
    page::{self, Lesson, ModeSwitch, Parts},
};

/// Where the page is shown.
const PAGE_PORT: u16 = 8088;
/// The seed of the lesson, which the page suggests.
const LESSON_SEED: u64 = 42;
/// The page takes no larger seed: no script can count further exactly.
const PAGE_SEED_MAX: u64 = (1 << 53) - 1;

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
    /// The port of the page that shows the lesson
    #[arg(long, alias = "page", value_name = "PORT", default_value_t = PAGE_PORT)]
    pub page_port: u16,
    /// The seed that decides which connections have a toxic, and which the page suggests; drawn and logged when absent, and 42 on the page
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
        let address = service.address();
        let proxy = ResetProxy::start(self.proxy(address)).await?;
        let listen = SocketAddr::new(self.host, self.proxy_port);
        let named = json!([{"name": self.name, "listen": listen, "upstream": address}]);
        let listens = proxy.populate(named.to_string().as_bytes()).await?.join(" ");
        let (wanted, wants) = watch::channel(self.dedup);
        let (runs, running) = watch::channel(self.dedup);
        let parts = Parts {
            service: address,
            experiments: proxy.address().context("the proxy listens")?,
            control: proxy.control_address(),
            proxy: listens.clone(),
            name: self.name.clone(),
        };
        let mut page = self.show_page(parts, ModeSwitch { wanted, running })?;
        print(format_args!(
            "service  http://{address}{PAYMENTS_PATH}   dedup {:?}\n\
             proxy    http://{listens}{PAYMENTS_PATH}   \"{}\" to the service\n\
             API      http://{}/proxies   as Toxiproxy's\n\
             page     http://{}/   the lesson in a browser",
            self.dedup,
            self.name,
            proxy.control_address(),
            page.addresses,
        ))?;
        let service = self.serve_in_modes(service, ledger, (wants, runs), &shutdown);
        let served = tokio::try_join!(service, async { Ok::<_, anyhow::Error>(proxy.serve(shutdown.clone()).await?) });
        let closed = page.stop();
        served?;
        closed
    }

    /// Starts the page on a thread of its own.
    fn show_page(&self, parts: Parts, mode: ModeSwitch) -> anyhow::Result<Part<SocketAddr>> {
        let seed = self.seed.filter(|seed| *seed <= PAGE_SEED_MAX).unwrap_or(LESSON_SEED);
        let lesson = Lesson { listen: SocketAddr::new(self.host, self.page_port), parts, seed, mode };
        Part::start("page", async move |address, shutdown| page::show(lesson, address, shutdown).await)
    }

    /// Serves, and starts the service again with the same ledger whenever another mode is wanted.
    async fn serve_in_modes(
        &self,
        mut service: PaymentService,
        ledger: &Ledger,
        (mut wants, runs): (watch::Receiver<Dedup>, watch::Sender<Dedup>),
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        let listen = service.address();
        loop {
            let stop = shutdown.child_token();
            let mut serving = service.serve(stop.clone());
            tokio::select! {
                served = &mut serving => return Ok(served?),
                Ok(()) = wants.changed() => stop.cancel(),
            }
            serving.await?;
            let dedup = *wants.borrow_and_update();
            service = PaymentService::start(ServiceOptions { listen, dedup, ..self.service(ledger) }).await?;
            runs.send_replace(dedup);
        }
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
            fail_after: Probability::NEVER,
            seed: 0,
            commit: Commit::Group,
        }
    }

    fn proxy(&self, service: SocketAddr) -> ProxyOptions {
        let host = Some(self.host.to_string());
        ProxyOptions {
            // The page's own payments come in here, and their fates are those of an experiment.
            listen: Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)),
            upstream: Some(service.into()),
            connections_max: IN_FLIGHT_MAX,
            dial_timeout: DIAL_TIMEOUT,
            toxiproxy: Toxiproxy { host, port: Some(self.port), seed: self.seed, ..Toxiproxy::default() },
            ..ProxyOptions::default()
        }
    }
}
