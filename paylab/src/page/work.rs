//! Carries out what was pressed, one thing after another.

use std::{sync::Arc, time::Duration, time::Instant};

use axum::http::StatusCode;
use load_job::{Load, Progress, Telling};
use paylab_core::{
    claim::Verdict,
    outcome::{Outcome, Setting},
    targets::ours::Dedup,
};
use paylab_part::refusal::Refusal;
use paylab_present::{html, sentence};
use paylab_resource::file::Experiment;
use serde::Serialize;
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use tracing::warn;

use super::{
    ModeSwitch,
    experiment::{AMOUNT_MINOR, Pay, Payments, experiment},
    parts::PartError,
    single::{self, Story},
    state::{Baseline, Busy, RunResult, Shared},
    watching::observe,
};
use crate::{
    commands::report_files,
    evidence::{Kept, yaml_of},
    lab::draw_run_id,
};

/// How long the service may take to start in another mode.
const MODE_WITHIN: Duration = Duration::from_secs(20);
/// How often what a load has done is shown.
const PROGRESS_PAUSE: Duration = Duration::from_millis(100);
/// The proxy's rules outlive a stalled load by this long.
const LEASE: Duration = Duration::from_secs(30);

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Job {
    Pay(Pay),
    Mode(Dedup),
    Clear,
}

/// What was done.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Done {
    Story(Story),
    Result(RunResult),
    Nothing {},
}

/// What is to be done, and who waits for it.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) job: Job,
    pub(super) reply: oneshot::Sender<Result<Done, Refusal>>,
    /// Until this is dropped, nothing else is begun.
    pub(super) busy: Busy,
}

/// Does what is ordered.
#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    orders: mpsc::Receiver<Order>,
    mode: ModeSwitch,
    /// The number of the next payment that is made alone.
    next: u64,
}

impl Worker {
    /// Returns with it where orders are sent.
    pub(super) fn new(shared: Arc<Shared>, mode: ModeSwitch) -> (mpsc::Sender<Order>, Self) {
        // Only who has made the page busy sends an order, so there is never more than one.
        let (sender, orders) = mpsc::channel(1);
        (sender, Self { shared, orders, mode, next: 0 })
    }

    /// Works until nobody can order any more.
    pub(super) async fn work(mut self) {
        while let Some(Order { job, reply, busy }) = self.orders.recv().await {
            let done = match job {
                Job::Pay(pay) => self.pay(pay).await,
                Job::Mode(dedup) => self.change_mode(dedup).await,
                Job::Clear => self.clear().await.map(|()| Done::Nothing {}),
            };
            drop(busy);
            // Whoever has pressed may have closed the page.
            let _ = reply.send(done);
        }
    }

    async fn pay(&mut self, pay: Pay) -> Result<Done, Refusal> {
        let toxics = self.shared.parts.toxics().await.map_err(unreachable)?;
        let dedup = self.shared.now().dedup;
        let experiment = experiment(pay, dedup, &toxics).map_err(|errors| Refusal::of_fields(&errors))?;
        match pay.payments {
            Payments::One => self.pay_one(pay, &experiment).await.map(Done::Story),
            Payments::Thousand => {
                self.clear().await?;
                self.pay_many(pay, dedup, experiment).await.map(Done::Result)
            }
        }
    }

    async fn pay_one(&mut self, pay: Pay, experiment: &Experiment) -> Result<Story, Refusal> {
        let run = draw_run_id().map_err(|error| failed(&error))?;
        let payment = self.next;
        let story = single::pay(&self.shared.parts, &experiment.plan, &run, payment, pay.key).await;
        self.next += 1;
        let story = story.map_err(unreachable)?;
        self.shared.show(|state| {
            state.page.intended_minor += AMOUNT_MINOR;
            if story.is_acknowledged {
                state.page.believed_minor += AMOUNT_MINOR;
            }
        });
        self.look().await;
        Ok(story)
    }

    /// Pays a thousand as `paylab run` does: with the same load, the same witnesses and the same judge.
    async fn pay_many(&mut self, pay: Pay, dedup: Dedup, experiment: Experiment) -> Result<RunResult, Refusal> {
        let Experiment { resource, plan, contract: _ } = experiment;
        let begun = Instant::now();
        let parts = &self.shared.parts;
        let [proxy, control, service] =
            [parts.experiments, parts.control, parts.service].map(|address| address.to_string());
        let load = Load {
            plan,
            run: draw_run_id().map_err(|error| failed(&error))?,
            proxy,
            control,
            service,
            contract: None,
            tls: None,
            replicas: Vec::new(),
            worker: 0,
            lease: LEASE,
            patience: Duration::ZERO,
        };
        let (progress, stop) = (Progress::default(), self.shared.stop());
        let intended_minor = i64::try_from(load.plan.count).unwrap_or(i64::MAX).saturating_mul(AMOUNT_MINOR);
        self.shared.show(|state| state.page.intended_minor = intended_minor);
        let told = tokio::select! {
            told = load_job::execute_telling(&load, &progress, &stop, Telling::Chronicle) => told,
            never = self.show_progress(&progress) => match never {},
        };
        self.show_acknowledged(&progress);
        let (report, chronicle) = told.map_err(|error| failed(&error.into()))?;
        let experiment = resource.metadata.name.clone().unwrap_or_default();
        let setting = Setting { experiment, elapsed: Some(begun.elapsed()), ..Setting::default() };
        let outcome = Outcome::of(&load.plan, report, setting);
        let yaml = yaml_of(&resource, load.plan.seed()).map_err(|error| failed(&error))?;
        let Pay { payments: _, until, key, seed: _ } = pay;
        let told = sentence::verdict(&outcome);
        let kept = Kept { outcome, chronicle, yaml, comparison: None };
        let html = html::page(&[report_files::run(&kept)]).map_err(|error| failed(&error.into()))?;
        self.shared.keep_report(html);
        self.look().await;
        let others = self.shared.now().outside.sent;
        let sentence = match kept.outcome.verdict {
            Verdict::Inconclusive if others > 0 => {
                format!("others paid through the proxy meanwhile ({others} requests): {told}")
            }
            _ => told,
        };
        let result = RunResult { verdict: kept.outcome.verdict, sentence, until, key, dedup };
        self.shared.show(|state| state.result = Some(result.clone()));
        Ok(result)
    }

    async fn show_progress(&self, progress: &Progress) -> std::convert::Infallible {
        loop {
            sleep(PROGRESS_PAUSE).await;
            self.show_acknowledged(progress);
        }
    }

    fn show_acknowledged(&self, progress: &Progress) {
        let acknowledged = i64::try_from(progress.acknowledged()).unwrap_or(i64::MAX);
        self.shared.show(|state| state.page.believed_minor = acknowledged.saturating_mul(AMOUNT_MINOR));
    }

    /// Starts the service in another mode, with an empty ledger.
    async fn change_mode(&mut self, dedup: Dedup) -> Result<Done, Refusal> {
        let ended = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the service has not started in that mode");
        if *self.mode.running.borrow() != dedup {
            self.mode.wanted.send(dedup).map_err(|_| ended())?;
        }
        let started = timeout(MODE_WITHIN, self.mode.running.wait_for(|running| *running == dedup)).await;
        started.map_err(|_| ended())?.map_err(|_| ended())?;
        self.shared.show(|state| state.dedup = dedup);
        self.clear().await?;
        Ok(Done::Nothing {})
    }

    /// Empties the ledger, and counts from there on.
    async fn clear(&mut self) -> Result<(), Refusal> {
        let _looking = self.shared.looking.lock().await;
        let parts = &self.shared.parts;
        parts.clear().await.map_err(unreachable)?;
        let proxy = parts.proxy_counts().await.map_err(unreachable)?;
        let service = parts.service_counters().await.map_err(unreachable)?;
        self.shared.begin_round(Baseline { proxy, service });
        self.next = 0;
        Ok(())
    }

    /// Shows what the parts have counted, whether or not somebody looks.
    async fn look(&self) {
        if let Err(error) = observe(&self.shared).await {
            warn!(%error, "the page cannot read the parts");
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn unreachable(error: PartError) -> Refusal {
    Refusal::new(StatusCode::BAD_GATEWAY, format!("a part of the lesson does not answer: {error}"))
}

fn failed(error: &anyhow::Error) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the payments could not be made: {error:#}"))
}
