//! One client's connection between two requests: its sockets, its buffers, and what the client begins next.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
};

use paylab_core::{
    payment::AttemptId,
    witness::record::{BytesReason, Protocol},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::debug;

use crate::{
    fault::{
        identity::RequestNumbering, message_copy::MessageCopy, peek::peek, plane::FaultPlane, record::OpenEntry,
        rules::RuleState, service_life::Life,
    },
    http::{
        head::ParsedHead,
        request::{RequestHead, parse_request},
        response::Persistence,
    },
    transport::service_stream::ServiceStream,
};

/// One client's connection. Each request takes it apart and puts it together again.
#[derive(Debug)]
pub(crate) struct ClientConnection {
    pub(super) plane: Arc<FaultPlane>,
    pub(super) client: TcpStream,
    /// Dialled when the first request is forwarded.
    pub(super) service: Option<ServiceStream>,
    pub(super) up: MessageCopy,
    pub(super) down: MessageCopy,
    /// Held from accepting the connection, or from the first byte of a request, to the end of the response.
    pub(super) in_flight: Option<TaskTrackerToken>,
    numbering: RequestNumbering,
    /// The entry of the first request, where a fault at `Connect` has opened it before the request was read.
    pub(super) admitted: Option<OpenEntry>,
    /// The life of the service in which it was dialled.
    pub(super) life: Life,
    /// What the last response said of the connection.
    pub(super) persistence: Persistence,
    stage: ConnectionStage,
}

/// What a connection is given when it is accepted, in the order of accepting.
#[derive(Debug)]
pub(crate) struct Accepted {
    numbering: RequestNumbering,
    in_flight: TaskTrackerToken,
}

/// Who dials the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DialTurn {
    /// A request that waits while the service is started again.
    Waiting,
    /// The request in whose turn it is to be killed.
    Killing,
}

/// What a connection has carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionStage {
    /// Nothing, and the client may be about to send its first request.
    New,
    /// Nothing, and the client is silent: the service was dialled, because it may be the one that speaks first.
    Silent,
    /// At least one request.
    Used,
}

/// What has begun on a connection.
#[derive(Debug)]
pub(crate) enum NextMessage {
    Request(RequestHead),
    /// The client sends bytes that are not HTTP/1, for this reason.
    Bytes(BytesReason),
    /// The service sends more than was asked for.
    Surplus,
}

/// What happens on a connection between two requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IdleEvent {
    /// The client has sent nothing since it connected.
    ClientSilent,
    ClientSent,
    ClientEnded,
    ClientGone,
    /// The service sends bytes that no request has asked for.
    ServiceSent,
    ServiceEnded,
}

impl Accepted {
    /// A connection that is accepted now.
    pub(crate) fn now(plane: &FaultPlane) -> Self {
        Self { numbering: RequestNumbering::accepted(&plane.rules), in_flight: plane.in_flight.begin() }
    }
}

impl ClientConnection {
    /// A connection that was just accepted. It is boxed because it is passed from one state to the next, and each would have room for it.
    pub(crate) fn new(plane: Arc<FaultPlane>, accepted: Accepted, client: TcpStream) -> Box<Self> {
        let Accepted { numbering, in_flight } = accepted;
        Box::new(Self {
            in_flight: Some(in_flight),
            numbering,
            client,
            service: None,
            life: Life::default(),
            up: MessageCopy::new(plane.head_limits.buffer_len()),
            down: MessageCopy::new(plane.head_limits.buffer_len()),
            admitted: None,
            persistence: Persistence::Kept,
            stage: ConnectionStage::New,
            plane,
        })
    }

    /// Opens the entry of the first request, before it is read, if a fault at `Connect` takes effect on it.
    pub(super) async fn admit_on_connect(&mut self) -> Option<OpenEntry> {
        let RuleState::InForce(rules) = self.plane.rules.state() else { return None };
        if !rules.has_fault_on_connect() {
            return None;
        }
        // On the connection of a silent client, such a fault takes effect when something was read.
        let peeked =
            timeout(self.plane.service_first_after, peek(&self.client, self.plane.head_limits)).await.ok()??;
        self.numbering.admit_on_connect(&rules, peeked.attempt, peeked.protocol)
    }

    /// Decides the fate of a request and opens its entry. `None` when no rules are in force.
    pub(super) fn admit(&mut self, attempt: Option<AttemptId>, protocol: Protocol) -> Option<OpenEntry> {
        self.admitted.take().or_else(|| self.numbering.admit(&self.plane.rules, attempt, protocol))
    }

    /// Waits for the next request. `None` when there will be none.
    pub(super) async fn next_message(&mut self) -> Option<NextMessage> {
        loop {
            if self.up.buffer.may_end_head() {
                match parse_request(self.up.buffer.filled(), self.plane.head_limits) {
                    ParsedHead::Whole(head) => {
                        self.stage = ConnectionStage::Used;
                        return Some(NextMessage::Request(head));
                    }
                    ParsedHead::Unreadable(reason) => return Some(NextMessage::Bytes(reason)),
                    ParsedHead::Partial => {}
                }
            }
            match self.idle_event().await {
                IdleEvent::ClientSilent => self.await_service_first().await,
                IdleEvent::ClientSent if self.in_flight.is_none() && !self.up.buffer.is_blank() => {
                    self.in_flight = Some(self.plane.in_flight.begin());
                }
                IdleEvent::ClientSent => {}
                IdleEvent::ClientEnded | IdleEvent::ServiceEnded if self.has_blank_lines() => {
                    return Some(NextMessage::Surplus);
                }
                // A part of a head and then the end is no request, but its bytes are passed on.
                IdleEvent::ClientEnded if !self.up.buffer.is_empty() => {
                    return Some(NextMessage::Bytes(BytesReason::HeadCut));
                }
                IdleEvent::ClientEnded | IdleEvent::ClientGone | IdleEvent::ServiceEnded => return None,
                IdleEvent::ServiceSent => {
                    return Some(match self.stage {
                        ConnectionStage::New | ConnectionStage::Silent => NextMessage::Bytes(BytesReason::ServiceFirst),
                        ConnectionStage::Used => NextMessage::Surplus,
                    });
                }
            }
        }
    }

    /// Whether there are empty lines behind the last message of one side, and nothing else.
    fn has_blank_lines(&self) -> bool {
        let (up, down) = (&self.up.buffer, &self.down.buffer);
        self.stage == ConnectionStage::Used && up.is_blank() && down.is_blank() && !(up.is_empty() && down.is_empty())
    }

    async fn idle_event(&mut self) -> IdleEvent {
        let is_new = self.stage == ConnectionStage::New && self.up.buffer.is_empty();
        let after = self.plane.service_first_after;
        let event = poll_fn(|cx| self.poll_idle(cx));
        if is_new { timeout(after, event).await.unwrap_or(IdleEvent::ClientSilent) } else { event.await }
    }

    /// Dials the service for a client that is silent. If it cannot be reached, that is told when the client sends a request.
    async fn await_service_first(&mut self) {
        self.stage = ConnectionStage::Silent;
        self.service = self.dialled().await;
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<IdleEvent> {
        loop {
            let is_part_of_next = self.stage == ConnectionStage::Used && self.down.buffer.is_blank();
            if !is_part_of_next && !self.down.buffer.is_empty() {
                return Poll::Ready(IdleEvent::ServiceSent);
            }
            let Some(service) = &mut self.service else { break };
            match self.down.buffer.poll_fill(cx, service) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(IdleEvent::ServiceEnded),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => break,
            }
        }
        Poll::Ready(match ready!(self.up.buffer.poll_fill(cx, &mut self.client)) {
            Ok(0) => IdleEvent::ClientEnded,
            Ok(_) => IdleEvent::ClientSent,
            Err(_) => IdleEvent::ClientGone,
        })
    }

    /// The connection to the service, dialled if there is none yet. `None` when the service cannot be reached.
    pub(super) async fn dialled(&mut self) -> Option<ServiceStream> {
        match self.service.take() {
            Some(service) if self.life == self.plane.service_life.number() => Some(service),
            // A connection to a process that was killed meanwhile is none.
            Some(_) | None => Box::pin(self.dial(DialTurn::Waiting)).await,
        }
    }

    /// Dials the service. One that is killed meanwhile is dialled again when it serves.
    pub(super) async fn dial(&mut self, turn: DialTurn) -> Option<ServiceStream> {
        loop {
            self.life = match turn {
                DialTurn::Waiting => self.plane.service_life.serving().await,
                DialTurn::Killing => self.plane.service_life.number(),
            };
            match self.plane.dial().await {
                Ok(service) => return Some(service),
                Err(_) if self.is_killed() => {}
                Err(error) => {
                    debug!(%error, "could not reach the service");
                    return None;
                }
            }
        }
    }

    /// Whether the service was killed after it was dialled.
    pub(super) fn is_killed(&self) -> bool {
        self.life != self.plane.service_life.number()
    }

    pub(super) fn count_request(&self, head: &RequestHead) {
        self.plane.counters.requests.increment();
        if head.attempt.is_some() {
            self.plane.counters.attempts.increment();
        }
    }
}
