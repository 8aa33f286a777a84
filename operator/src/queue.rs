//! Which experiments may have a lab now. Labs under way are bounded: otherwise the services and proxies of many experiments could take the
//! room that all of their loads need, and none would ever end. The others wait, the oldest first.
//!
//! The queue is in memory only. An operator that starts reads which experiments are under way and which wait.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Resource, ResourceExt as _,
    api::{DynamicObject, ListParams},
};

/// How many experiments one page of a list response holds.
const PAGE_LEN: u32 = 50;
/// An experiment that waits is looked at again after this time for each place before it. So those whose turn comes soon say so, and all that wait
/// need few requests together: while every place changes, 500 of them make two each, 0.7 a second.
const LOOK_AGAIN: Duration = Duration::from_secs(20);
/// The longest time between two looks.
const LOOK_AGAIN_MOST: Duration = Duration::from_secs(2 * 60 * 60);

/// How many labs may be under way at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// In all namespaces together.
    pub(crate) labs: usize,
    /// In each namespace.
    pub(crate) labs_of_namespace: usize,
}

/// The namespace and the name of an experiment.
pub(crate) type Name = (String, String);

/// What an experiment waits with. The order is that of their age.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    created: Option<Timestamp>,
    name: Name,
}

/// Whether it is an experiment's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It may have a lab.
    Now,
    /// It waits.
    Later(Place),
}

/// Where in the queue an experiment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// 1 for the one that waits longest.
    pub(crate) number: usize,
    /// How many wait.
    pub(crate) of: usize,
    /// How many labs are under way.
    pub(crate) under_way: usize,
}

/// The experiments that are under way, and those that wait.
#[derive(Debug)]
pub(crate) struct Queue {
    bounds: Bounds,
    line: Mutex<Line>,
    /// Takes the names of experiments that are to be reconciled, because their turn has come or because a change of their lab may have been missed.
    called: UnboundedSender<Name>,
}

#[derive(Debug, Default)]
struct Line {
    under_way: HashSet<Name>,
    waiting: BTreeSet<Ticket>,
}

impl Ticket {
    pub(crate) fn of(experiment: &impl Resource<DynamicType = ()>) -> Self {
        Self::new(experiment)
    }

    fn new(experiment: &impl Resource) -> Self {
        Self {
            created: experiment.meta().creation_timestamp.as_ref().map(|time| time.0),
            name: (experiment.namespace().unwrap_or_default(), experiment.name_any()),
        }
    }
}

impl Place {
    /// When to look at the experiment again, if its turn does not come before.
    pub(crate) fn look_again(self) -> Duration {
        LOOK_AGAIN.saturating_mul(u32::try_from(self.number).unwrap_or(u32::MAX)).min(LOOK_AGAIN_MOST)
    }
}

impl Queue {
    /// An empty queue, and where it calls the names of experiments whose turn has come.
    pub(crate) fn new(bounds: Bounds) -> (Self, UnboundedReceiver<Name>) {
        let (called, calls) = unbounded();
        (Self { bounds, line: Mutex::default(), called }, calls)
    }

    /// Reads which experiments are under way and which wait, page by page, because there may be many that have ended.
    ///
    /// # Errors
    /// A request to the API failed.
    pub(crate) async fn fill(&self, experiments: &Api<DynamicObject>) -> kube::Result<()> {
        let mut page = ListParams::default().limit(PAGE_LEN);
        loop {
            let listed = experiments.list(&page).await?;
            for experiment in &listed.items {
                let has = |field: &str| experiment.data.pointer(field).is_some_and(|value| !value.is_null());
                if has("/status/completionTime") || experiment.metadata.deletion_timestamp.is_some() {
                    continue;
                }
                let ticket = Ticket::new(experiment);
                let mut line = self.lock();
                if has("/status/startTime") {
                    line.under_way.insert(ticket.name)
                } else {
                    line.waiting.insert(ticket)
                };
            }
            match listed.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(()),
            }
        }
    }

    /// Continues an experiment that has a lab already.
    pub(crate) fn resume(&self, ticket: Ticket) {
        let mut line = self.lock();
        line.waiting.retain(|waiting| waiting.name != ticket.name);
        line.under_way.insert(ticket.name);
    }

    /// Asks whether it is an experiment's turn. If it is, the experiment is under way until it leaves.
    pub(crate) fn enter(&self, ticket: Ticket) -> Turn {
        let mut line = self.lock();
        if line.under_way.contains(&ticket.name) {
            return Turn::Now;
        }
        // An experiment with this name that was deleted meanwhile may have left its ticket.
        line.waiting.retain(|waiting| waiting.name != ticket.name);
        line.waiting.insert(ticket.clone());
        if line.admitted(self.bounds).contains(&ticket.name) {
            line.waiting.remove(&ticket);
            line.under_way.insert(ticket.name);
            return Turn::Now;
        }
        let before = line.waiting.iter().take_while(|waiting| **waiting != ticket).count();
        Turn::Later(Place { number: before + 1, of: line.waiting.len(), under_way: line.under_way.len() })
    }

    /// Takes an experiment out that has ended or is gone, and calls those whose turn has come. Returns whether it was under way.
    pub(crate) fn leave(&self, name: &Name) -> bool {
        let mut line = self.lock();
        let waiting = line.waiting.len();
        line.waiting.retain(|waiting| waiting.name != *name);
        let was_under_way = line.under_way.remove(name);
        if was_under_way || line.waiting.len() < waiting {
            self.call(&line);
        }
        was_under_way
    }

    /// Takes all out that do not exist any more.
    pub(crate) fn keep(&self, exists: impl Fn(&Name) -> bool) {
        let mut line = self.lock();
        line.under_way.retain(&exists);
        line.waiting.retain(|waiting| exists(&waiting.name));
        self.call(&line);
    }

    /// Calls all that are under way, because something about them may have been missed.
    pub(crate) fn recall(&self) {
        for name in &self.lock().under_way {
            // Nobody listens any more when the operator ends.
            let _ = self.called.unbounded_send(name.clone());
        }
    }

    fn call(&self, line: &Line) {
        for name in line.admitted(self.bounds) {
            // Nobody listens any more when the operator ends.
            let _ = self.called.unbounded_send(name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Of those that wait, the ones that may begin now: the oldest, but no more than the bounds allow.
    fn admitted(&self, bounds: Bounds) -> Vec<Name> {
        let mut free = bounds.labs.saturating_sub(self.under_way.len());
        let mut labs = HashMap::<&str, usize>::new();
        for (namespace, _) in &self.under_way {
            *labs.entry(namespace).or_default() += 1;
        }
        let mut admitted = Vec::new();
        for Ticket { created: _, name } in &self.waiting {
            if free == 0 {
                break;
            }
            let labs = labs.entry(&name.0).or_default();
            if *labs < bounds.labs_of_namespace {
                *labs += 1;
                free -= 1;
                admitted.push(name.clone());
            }
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::at;

    fn name(namespace: &str, number: i64) -> Name {
        (namespace.to_owned(), format!("e{number}"))
    }

    fn ticket(namespace: &str, number: i64) -> Ticket {
        Ticket { created: Some(at(number)), name: name(namespace, number) }
    }

    fn queue(labs: usize, labs_of_namespace: usize) -> (Queue, UnboundedReceiver<Name>) {
        Queue::new(Bounds { labs, labs_of_namespace })
    }

    fn later(number: usize, of: usize, under_way: usize) -> Turn {
        Turn::Later(Place { number, of, under_way })
    }

    #[test]
    fn the_oldest_begins_when_another_has_ended_whoever_asks_first() {
        let (queue, mut calls) = queue(1, 1);
        assert_eq!(queue.enter(ticket("a", 0)), Turn::Now);
        assert_eq!(queue.enter(ticket("b", 2)), later(1, 1, 1));
        assert_eq!(queue.enter(ticket("a", 1)), later(1, 2, 1));
        assert_eq!(queue.enter(ticket("b", 2)), later(2, 2, 1));
        assert_eq!(queue.enter(ticket("a", 0)), Turn::Now, "it is under way");
        queue.leave(&name("a", 0));
        assert_eq!(calls.try_recv().ok(), Some(name("a", 1)));
        assert_eq!(queue.enter(ticket("b", 2)), later(2, 2, 0), "the place is kept for the one that was called");
        assert_eq!(queue.enter(ticket("a", 1)), Turn::Now);
        // One that waits and is deleted does not hold up the others.
        queue.enter(ticket("b", 3));
        queue.leave(&name("b", 2));
        queue.leave(&name("a", 1));
        assert_eq!(queue.enter(ticket("b", 3)), Turn::Now);
    }

    #[test]
    fn a_namespace_does_not_take_the_places_of_the_others() {
        let (queue, _calls) = queue(3, 2);
        let turns = [0, 1, 2, 3].map(|number| queue.enter(ticket("greedy", number)));
        assert_eq!(turns, [Turn::Now, Turn::Now, later(1, 1, 2), later(2, 2, 2)]);
        assert_eq!(queue.enter(ticket("modest", 9)), Turn::Now);
        assert_eq!(queue.enter(ticket("modest", 10)), later(3, 3, 3));
    }

    #[test]
    fn what_has_a_lab_already_goes_on_and_what_is_gone_leaves() {
        let (queue, mut calls) = queue(1, 1);
        queue.resume(ticket("a", 0));
        queue.resume(ticket("b", 1));
        assert_eq!(queue.enter(ticket("c", 2)), later(1, 1, 2));
        queue.keep(|(namespace, _)| namespace != "a");
        assert!(calls.try_recv().is_err(), "one is still under way");
        queue.keep(|(namespace, _)| namespace != "b");
        assert_eq!(calls.try_recv().ok(), Some(name("c", 2)));
    }

    #[test]
    fn five_hundred_that_wait_need_less_than_one_request_a_second() {
        // A look is a read, and a write where the place has changed.
        let looks = (1..=500).map(|number| 2.0 / Place { number, of: 500, under_way: 1 }.look_again().as_secs_f64());
        assert!(looks.sum::<f64>() < 1.0);
    }
}
