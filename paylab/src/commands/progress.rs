//! The progress bar of a run: on a terminal only, and on standard error, so that nothing mixes with the report.

use std::{convert::Infallible, future, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use load_job::Progress;
use tokio::time::interval;

/// How often the bar is drawn.
const DRAWN_EVERY: Duration = Duration::from_millis(100);
const TEMPLATE: &str = "{bar:40} {pos}/{len} payments, {msg}";

/// Whether there is a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bar {
    Shown,
    Hidden,
}

/// Draws how far the loads are, until it is dropped. Where standard error is no terminal, nothing is drawn.
pub(crate) async fn show(progress: &[Progress], bar: Bar) -> Infallible {
    match bar {
        Bar::Shown => draw(progress).await,
        Bar::Hidden => future::pending().await,
    }
}

async fn draw(progress: &[Progress]) -> Infallible {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style);
    }
    let _cleared = Cleared(&bar);
    let mut ticks = interval(DRAWN_EVERY);
    loop {
        ticks.tick().await;
        let sum = |count: fn(&Progress) -> u64| progress.iter().map(count).sum::<u64>();
        bar.set_length(sum(Progress::payments));
        bar.set_position(sum(Progress::ended));
        bar.set_message(format!("{} attempts", sum(Progress::attempts)));
    }
}

/// Clears the bar at the end.
struct Cleared<'a>(&'a ProgressBar);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
