//! What named proxies have counted, and all counts as Prometheus reads them. Byte counters have Toxiproxy's names.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
};

use paylab_experiment::contract::ProxyCounters;

use crate::{
    fault::counters::{count, counted},
    toxic::definition::Stream,
    toxic::named_proxy::NamedProxy,
};

/// The counts of one named proxy since it was made.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) connections: AtomicU64,
    pub(crate) connections_ended: AtomicU64,
    pub(crate) upstream_unreachable: AtomicU64,
    pub(crate) up: Direction,
    pub(crate) down: Direction,
    resets: [AtomicU64; Resets::ALL.len()],
}

/// The bytes that went one way.
#[derive(Debug, Default)]
pub(crate) struct Direction {
    /// On the plain way, where all that is received is sent.
    pub(crate) plain: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
}

/// Why both sides or one were reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resets {
    /// A `reset_peer` on this stream.
    Toxic(Stream),
    /// The sender of this stream, or its reader, went away with a reset, and the other side is told so.
    PassedOn(Stream),
}

impl Resets {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Toxic(Stream::Upstream), "reset_peer_upstream"),
        (Self::Toxic(Stream::Downstream), "reset_peer_downstream"),
        (Self::PassedOn(Stream::Upstream), "client_gone"),
        (Self::PassedOn(Stream::Downstream), "service_gone"),
    ];
}

impl Traffic {
    pub(crate) fn count_reset(&self, kind: Resets) {
        for ((known, _), counter) in Resets::ALL.iter().zip(&self.resets) {
            if *known == kind {
                count(counter);
            }
        }
    }
}

impl Direction {
    fn received(&self) -> u64 {
        counted(&self.plain) + counted(&self.received)
    }

    fn sent(&self) -> u64 {
        counted(&self.plain) + counted(&self.sent)
    }
}

/// Adds bytes to a count.
pub(crate) fn add(counter: &AtomicU64, bytes: usize) {
    counter.fetch_add(bytes as u64, Ordering::Relaxed);
}

/// Everything in Prometheus' text format.
pub(crate) fn render<'a>(proxies: impl Iterator<Item = &'a NamedProxy> + Clone, faults: &ProxyCounters) -> String {
    let mut text = String::new();
    family(&mut text, "toxiproxy_proxy_received_bytes_total", "counter", bytes(proxies.clone(), Direction::received));
    family(&mut text, "toxiproxy_proxy_sent_bytes_total", "counter", bytes(proxies.clone(), Direction::sent));
    let resets = proxies.clone().flat_map(|proxy| {
        let counts = Resets::ALL.iter().zip(&proxy.traffic.resets);
        counts.map(|((_, kind), count)| (format!(r#"proxy="{}",kind="{kind}""#, escaped(&proxy.name)), counted(count)))
    });
    family(&mut text, "paylab_proxy_resets_total", "counter", resets);
    let each = |of: fn(&Traffic) -> u64| {
        proxies.clone().map(move |proxy| (format!(r#"proxy="{}""#, escaped(&proxy.name)), of(&proxy.traffic)))
    };
    family(&mut text, "paylab_proxy_connections_total", "counter", each(|traffic| counted(&traffic.connections)));
    family(
        &mut text,
        "paylab_proxy_connections_open",
        "gauge",
        each(|traffic| counted(&traffic.connections).saturating_sub(counted(&traffic.connections_ended))),
    );
    family(
        &mut text,
        "paylab_proxy_upstream_unreachable_total",
        "counter",
        each(|traffic| counted(&traffic.upstream_unreachable)),
    );
    let points = faults.resets.iter().map(|(point, count)| (format!(r#"point="{point}""#), *count));
    family(&mut text, "paylab_fault_resets_total", "counter", points);
    family(&mut text, "paylab_fault_unintended_resets_total", "counter", [(String::new(), faults.unintended_resets)]);
    family(&mut text, "paylab_fault_requests_total", "counter", [(String::new(), faults.requests)]);
    text
}

fn bytes<'a>(
    proxies: impl Iterator<Item = &'a NamedProxy>,
    of: fn(&Direction) -> u64,
) -> impl Iterator<Item = (String, u64)> {
    proxies.flat_map(move |proxy| {
        let labels = |direction: &str| {
            let (name, listener, upstream) = (escaped(&proxy.name), escaped(&proxy.listen), escaped(&proxy.upstream));
            format!(r#"direction="{direction}",proxy="{name}",listener="{listener}",upstream="{upstream}""#)
        };
        [(labels("upstream"), of(&proxy.traffic.up)), (labels("downstream"), of(&proxy.traffic.down))]
    })
}

fn family(text: &mut String, name: &str, kind: &str, samples: impl IntoIterator<Item = (String, u64)>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# TYPE {name} {kind}");
    for (labels, value) in samples {
        let _ = if labels.is_empty() {
            writeln!(text, "{name} {value}")
        } else {
            writeln!(text, "{name}{{{labels}}} {value}")
        };
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}
