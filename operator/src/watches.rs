//! The watches of the labs' objects, which keep the copies of `observe::watched` up to date.

use std::{fmt::Debug, future::ready, sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream::BoxStream};
use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Resource,
    runtime::{WatchStreamExt as _, reflector::store::Writer, watcher},
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::error;

use crate::{
    names::{MANAGED_BY_LABEL, MANAGER},
    options::Options,
    reconcile::Context,
};

/// How many objects one page of a list response holds.
pub(crate) const PAGE_LEN: u32 = 50;

/// Changes of the labs' objects of one kind, each after it was written down, without what `trim` takes away.
pub(crate) fn lab_objects<K>(
    api: Api<K>,
    writer: Writer<K>,
    trim: fn(&mut K),
    context: &Arc<Context>,
) -> BoxStream<'static, Result<K, watcher::Error>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let managed = watcher::Config::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGER}")).page_size(PAGE_LEN);
    let written = without_expiry(watcher(api, managed)).default_backoff().modify(trim).reflect(writer);
    recalling(written.inspect_err(missing_right::<K>()), Arc::clone(context)).touched_objects().boxed()
}

/// Leaves out that a watch has expired, as it has when the API server was started anew: what follows is a list, and there is no reason to wait
/// before it. One that expires again within two minutes is not left out, so that there is a pause then, which grows.
pub(crate) fn without_expiry<K: Send>(
    events: impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send,
) -> impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send {
    const GONE: u16 = 410;
    const AGAIN_WITHIN: Duration = Duration::from_secs(120);
    let mut last: Option<Instant> = None;
    events.filter(move |event| {
        let is_expiry = matches!(event, Err(watcher::Error::WatchError(status)) if status.code == GONE);
        let is_left_out = is_expiry && last.is_none_or(|last| last.elapsed() > AGAIN_WITHIN);
        if is_expiry {
            last = Some(Instant::now());
        }
        ready(!is_left_out)
    })
}

/// Calls all experiments that are under way whenever the objects were listed anew, because what was deleted meanwhile is in no event.
fn recalling<K>(
    events: impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send,
    context: Arc<Context>,
) -> impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send {
    events.inspect_ok(move |event| {
        if matches!(event, watcher::Event::InitDone) {
            context.queue.recall();
        }
    })
}

/// Says once which right is missing. The watch tries again, less and less often, and until it is granted, the operator asks for what it cannot watch.
pub(crate) fn missing_right<K: Resource<DynamicType = ()>>() -> impl FnMut(&watcher::Error) {
    let mut told = None;
    move |failure| {
        let Some(verb) = forbidden_verb(failure).filter(|verb| told.replace(*verb) != Some(*verb)) else { return };
        let (resource, group) = (K::plural(&()), K::group(&()));
        error!(verb, %resource, %group, "the operator lacks a right: grant it as the chart does; until then it reads instead");
    }
}

/// What a watch may not do, if that is why it failed.
fn forbidden_verb(failure: &watcher::Error) -> Option<&'static str> {
    let (verb, cause) = match failure {
        watcher::Error::InitialListFailed(cause) => ("list", cause),
        watcher::Error::WatchStartFailed(cause) => ("watch", cause),
        watcher::Error::WatchError(_) | watcher::Error::WatchFailed(_) | watcher::Error::NoResourceVersion => {
            return None;
        }
    };
    matches!(cause, kube::Error::Api(status) if status.is_forbidden()).then_some(verb)
}

/// All objects of a kind in the namespaces that this operator watches.
pub(crate) fn scope<K>(client: &Client, options: &Options) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match &options.watch_namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    #[test]
    fn the_right_that_a_watch_lacks_is_named_and_no_other_failure_is_taken_for_it() {
        let answer = |code: u16, reason: &str| {
            kube::Error::Api(Box::new(kube::core::Status { code, reason: reason.to_owned(), ..Default::default() }))
        };
        let verbs = [
            watcher::Error::InitialListFailed(answer(403, "Forbidden")),
            watcher::Error::WatchStartFailed(answer(403, "Forbidden")),
            watcher::Error::WatchStartFailed(answer(500, "InternalError")),
            watcher::Error::WatchFailed(answer(403, "Forbidden")),
        ]
        .map(|failure| forbidden_verb(&failure));
        assert_eq!(verbs, [Some("list"), Some("watch"), None, None]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_has_expired_is_begun_anew_at_once_unless_it_expires_again_and_again() {
        let failure = |code: u16, reason: &str| {
            let status = kube::core::Status { code, reason: reason.to_owned(), ..Default::default() };
            Err::<watcher::Event<ConfigMap>, _>(watcher::Error::WatchError(Box::new(status)))
        };
        let expired = || failure(410, "Expired");
        let later = || stream::once(async { tokio::time::sleep(Duration::from_secs(121)).await }).map(|()| expired());
        let all = stream::iter([failure(500, "InternalError"), expired(), expired()]).chain(later()).chain(later());
        let passed: Vec<_> = without_expiry(all).map(|event| event.unwrap_err().to_string()).collect().await;
        assert_eq!(passed.len(), 2, "{passed:?}");
        assert!(passed[0].contains("InternalError") && passed[1].contains("Expired"), "{passed:?}");
    }
}
