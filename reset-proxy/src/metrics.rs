//! The metrics of both planes in Prometheus' text format. The planes count with plain atomics; this reads them when the
//! metrics are asked for. Byte counters have Toxiproxy's names.

use std::sync::Arc;

use paylab_part::contract::ProxyCounters;
use prometheus_client::{
    encoding::{EncodeLabelSet, prometheus_text::encode},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::Gauge,
    },
    registry::Registry,
};

use crate::toxic::named_proxy::NamedProxy;

/// The media type of the text.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// One direction of one named proxy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabels {
    direction: &'static str,
    proxy: Arc<str>,
    listener: String,
    upstream: String,
}

/// One cause of resets at one named proxy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabels {
    proxy: Arc<str>,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProxyLabels {
    proxy: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PointLabels {
    point: String,
}

/// All metrics as text.
pub(crate) fn render<'a>(proxies: impl Iterator<Item = &'a NamedProxy>, faults: &ProxyCounters) -> String {
    let mut registry = Registry::default();
    register_proxies(&mut registry, proxies);
    register_faults(&mut registry, faults);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = encode(&mut text, &registry);
    text
}

fn register_proxies<'a>(registry: &mut Registry, proxies: impl Iterator<Item = &'a NamedProxy>) {
    let (received, sent) =
        (Family::<DirectionLabels, Counter>::default(), Family::<DirectionLabels, Counter>::default());
    let (resets, connections) = (Family::<CauseLabels, Counter>::default(), Family::<ProxyLabels, Counter>::default());
    let (open, unreachable) = (Family::<ProxyLabels, Gauge>::default(), Family::<ProxyLabels, Counter>::default());
    for proxy in proxies {
        let traffic = &proxy.traffic;
        for (direction, bytes) in [("upstream", &traffic.up), ("downstream", &traffic.down)] {
            let labels = direction_labels(direction, proxy);
            received.get_or_create(&labels).inc_by(bytes.total_received());
            sent.get_or_create(&labels).inc_by(bytes.total_sent());
        }
        let name = &proxy.name;
        for (kind, count) in traffic.resets() {
            resets.get_or_create(&CauseLabels { proxy: Arc::clone(name), kind }).inc_by(count);
        }
        let labels = ProxyLabels { proxy: Arc::clone(name) };
        connections.get_or_create(&labels).inc_by(traffic.connections.value());
        open.get_or_create(&labels).set(traffic.connections_open().cast_signed());
        unreachable.get_or_create(&labels).inc_by(traffic.upstream_unreachable.value());
    }
    registry.register("toxiproxy_proxy_received_bytes", "Bytes received by a named proxy", received);
    registry.register("toxiproxy_proxy_sent_bytes", "Bytes sent by a named proxy", sent);
    registry.register("paylab_proxy_resets", "Connections of a named proxy that were reset", resets);
    registry.register("paylab_proxy_connections", "Connections accepted by a named proxy", connections);
    registry.register("paylab_proxy_connections_open", "Connections of a named proxy that are open", open);
    registry.register(
        "paylab_proxy_upstream_unreachable",
        "Connections of a named proxy whose upstream could not be reached",
        unreachable,
    );
}

fn register_faults(registry: &mut Registry, faults: &ProxyCounters) {
    let resets = Family::<PointLabels, Counter>::default();
    for (point, count) in &faults.resets {
        resets.get_or_create(&PointLabels { point: point.clone() }).inc_by(*count);
    }
    registry.register("paylab_fault_resets", "Resets that a fault ordered, by point", resets);
    let unintended = ConstCounter::new(faults.unintended_resets);
    registry.register("paylab_fault_unintended_resets", "Resets that no fault ordered", unintended);
    registry.register("paylab_fault_requests", "Requests whose head was read", ConstCounter::new(faults.requests));
}

fn direction_labels(direction: &'static str, proxy: &NamedProxy) -> DirectionLabels {
    let (listener, upstream) = (proxy.listen.clone(), proxy.upstream.clone());
    DirectionLabels { direction, proxy: Arc::clone(&proxy.name), listener, upstream }
}
