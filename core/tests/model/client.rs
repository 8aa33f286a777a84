//! The client and the path to the service: rounds of attempts, and what happens in each attempt.

use paylab_core::{
    client::{BodyDrift, KeyPolicy},
    fault::{kill::Kill, point::Point},
};

use crate::{
    draft::Draft,
    faults::{fires, takes_effect},
    service::{Answer, Request, Row, Service},
};

/// Something that happens in an attempt. Faults are named by their place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Drawn(usize),
    Fired(usize),
    Struck(usize),
    /// The service has the whole request.
    Arrived,
    Answered(Answer),
    /// The client has the whole answer.
    Seen(Answer),
    /// The client sees its connection reset before it has the whole answer.
    ConnectionReset,
    /// The client hangs up before it has the whole answer.
    TimedOut,
}

/// One attempt.
pub(crate) struct Attempt {
    pub(crate) amount: i64,
    pub(crate) events: Vec<Event>,
}

/// One payment and its attempts.
pub(crate) struct Payment {
    pub(crate) index: u64,
    pub(crate) attempts: Vec<Attempt>,
}

/// Everything that happens.
pub(crate) struct Run {
    pub(crate) payments: Vec<Payment>,
    pub(crate) ledger: Vec<Row>,
}

/// The order of the points by which the fault that takes effect is chosen, beside the draft itself.
pub(crate) struct Model<'a> {
    pub(crate) draft: &'a Draft,
    pub(crate) order: [Point; 7],
}

impl Attempt {
    pub(crate) fn has(&self, event: Event) -> bool {
        self.events.contains(&event)
    }

    /// The answer that the client has seen.
    pub(crate) fn seen(&self) -> Option<Answer> {
        self.events.iter().find_map(|event| match event {
            Event::Seen(answer) => Some(*answer),
            Event::Drawn(_)
            | Event::Fired(_)
            | Event::Struck(_)
            | Event::Arrived
            | Event::Answered(_)
            | Event::ConnectionReset
            | Event::TimedOut => None,
        })
    }

    /// Whether the client saw an acknowledgement.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.seen().is_some_and(|answer| [200, 201, 202, 208].contains(&answer.status))
    }

    /// Whether the client saw that it was refused for good.
    pub(crate) fn is_refused(&self) -> bool {
        self.seen().is_some_and(|answer| [400, 401, 403, 404, 413, 415, 422].contains(&answer.status))
    }
}

impl Model<'_> {
    /// Makes the payments of the draft's share, one after the other.
    pub(crate) fn run(&self) -> Run {
        let mut service = Service::new(self.draft);
        let mut payments = Vec::new();
        for index in self.draft.share.clone() {
            payments.push(Payment { index, attempts: self.pay(index, &mut service) });
        }
        for payment in &mut payments {
            self.recover(payment, &mut service);
        }
        Run { payments, ledger: service.ledger }
    }

    /// Rounds of copies, until one is answered for good or the attempts are used up.
    fn pay(&self, payment: u64, service: &mut Service) -> Vec<Attempt> {
        let most = if self.draft.max_attempts == 0 { 10_000 } else { self.draft.max_attempts };
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut number = 0;
        let mut done = false;
        while number < most && !done {
            for _copy in 0..self.draft.hedge {
                if number < most {
                    number += 1;
                    let attempt = self.attempt(payment, number, service);
                    done = done || attempt.is_acknowledged() || attempt.is_refused();
                    attempts.push(attempt);
                }
            }
        }
        attempts
    }

    /// After the load: further attempts, one at a time and without faults, for a payment that was neither acknowledged nor refused.
    fn recover(&self, payment: &mut Payment, service: &mut Service) {
        for further in 1..=self.draft.recovery {
            if !payment.attempts.iter().any(|attempt| attempt.is_acknowledged() || attempt.is_refused()) {
                let attempt = self.attempt(payment.index, self.draft.max_attempts + further, service);
                payment.attempts.push(attempt);
            }
        }
    }

    /// Whether faults can strike an attempt: none does after the bound of retries, when the load is over.
    fn is_struck(&self, number: u32) -> bool {
        self.draft.max_attempts == 0 || number <= self.draft.max_attempts
    }

    fn attempt(&self, payment: u64, number: u32, service: &mut Service) -> Attempt {
        let amount = match self.draft.drift {
            BodyDrift::None => self.draft.amount,
            BodyDrift::Amount => self.draft.amount + i64::from(number) - 1,
        };
        let key = match self.draft.key {
            KeyPolicy::None => None,
            KeyPolicy::PerPayment => Some(format!("run.{payment}")),
            KeyPolicy::PerAttempt => Some(format!("run.{payment}.{number}")),
        };
        let mut events = Vec::new();
        let mut fired = Vec::new();
        for (index, fault) in self.draft.faults.iter().enumerate() {
            events.push(Event::Drawn(index));
            if self.is_struck(number) && fires(fault, self.draft.seed, payment, number) {
                events.push(Event::Fired(index));
                fired.push(index);
            }
        }
        let request = Request { payment, key, amount };
        match takes_effect(&self.draft.faults, &fired, self.order) {
            None => {
                let answer = arrive(service, &request, &mut events);
                events.push(Event::Seen(answer));
            }
            Some(index) => {
                events.push(Event::Struck(index));
                strike(self.draft, index, service, &request, &mut events);
            }
        }
        Attempt { amount, events }
    }
}

/// The service takes the whole request and answers it.
fn arrive(service: &mut Service, request: &Request, events: &mut Vec<Event>) -> Answer {
    events.push(Event::Arrived);
    let answer = service.receive(request);
    events.push(Event::Answered(answer));
    answer
}

/// Carries a fault out, as the tables of semantics.md say.
fn strike(draft: &Draft, index: usize, service: &mut Service, request: &Request, events: &mut Vec<Event>) {
    let fault = &draft.faults[index];
    if let Some(kill) = fault.kill {
        die(kill, service, request, events);
    }
    if let Some(reset) = fault.reset {
        match reset.at {
            Point::Connect | Point::BeforeRequest | Point::MidRequest => events.push(Event::ConnectionReset),
            Point::AfterRequest | Point::BeforeResponse | Point::MidResponse => {
                arrive(service, request, events);
                events.push(Event::ConnectionReset);
            }
            Point::AfterResponse => {
                let answer = arrive(service, request, events);
                events.push(Event::Seen(answer));
            }
        }
    }
    if let Some(delay) = fault.delay {
        // Nothing is lost: the request arrives, if need be after the client has given up.
        let answer = arrive(service, request, events);
        match delay.at {
            Point::AfterResponse => events.push(Event::Seen(answer)),
            Point::Connect
            | Point::BeforeRequest
            | Point::MidRequest
            | Point::AfterRequest
            | Point::BeforeResponse
            | Point::MidResponse => {
                events.push(if delay.lasts.ms() >= draft.timeout_ms { Event::TimedOut } else { Event::Seen(answer) });
            }
        }
    }
}

/// The process of the service dies at a point of a request, and is started again, as the table of kills in semantics.md says.
fn die(kill: Kill, service: &mut Service, request: &Request, events: &mut Vec<Event>) {
    match kill.at {
        Point::Connect | Point::BeforeRequest | Point::MidRequest => events.push(Event::ConnectionReset),
        Point::AfterRequest => {
            events.push(Event::Arrived);
            service.half_book(request);
            events.push(Event::ConnectionReset);
        }
        Point::BeforeResponse | Point::MidResponse => {
            arrive(service, request, events);
            events.push(Event::ConnectionReset);
        }
        Point::AfterResponse => {
            let answer = arrive(service, request, events);
            events.push(Event::Seen(answer));
        }
    }
    service.start_again();
}
