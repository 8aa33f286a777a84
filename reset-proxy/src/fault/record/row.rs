//! A request of the record as it is kept on disk: a row of fixed size, so that a million of them use no memory.

use paylab_core::{
    fault::{
        sampler::{Draw, FaultSampler},
        spec::FAULTS_MAX,
    },
    payment::{AttemptId, PaymentId},
    witness::record::{BytesReason, Coin, End, KillTimes, Protocol, RecordLine},
};

use crate::fault::fate::Fate;

/// The length of a row without its coins.
const FIXED_LEN: usize = 8 * 10 + 4 * 3 + 2 + 6;
const COIN_LEN: usize = 8;
/// Written where no fault took effect.
const NO_FAULT: u8 = u8::MAX;
/// Written where the service sent no status. No real status is 0.
const NO_STATUS: u16 = 0;
/// Written where nothing was held or killed. Nothing lasts this many microseconds.
const NOT_HELD: u64 = u64::MAX;
/// Written where a request has not ended, and where it took longer than 71 minutes.
const NOT_TIMED: u32 = u32::MAX;

/// One request, with everything that its line of the record shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) seq: u64,
    pub(crate) t_us: u64,
    pub(crate) ordinal: Ordinal,
    pub(crate) id: AttemptId,
    pub(crate) attribution: Attribution,
    pub(crate) protocol: Protocol,
    coins: [u64; FAULTS_MAX],
    /// The index of the fault that takes effect.
    pub(crate) fault: Option<u8>,
    pub(crate) transfer: Transfer,
    /// The time from its head to its end, in microseconds.
    pub(crate) took_us: Option<u32>,
    pub(crate) end: End,
}

/// A request whose identity and fate are known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdentifiedRequest {
    pub(crate) ordinal: Ordinal,
    pub(crate) id: AttemptId,
    pub(crate) attribution: Attribution,
    pub(crate) protocol: Protocol,
    pub(crate) draw: Draw,
    /// The index of the fault that takes effect.
    pub(crate) fault: Option<usize>,
    pub(crate) fate: Fate,
}

/// The number of a connection in the record, and the number of a request on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ordinal {
    /// From 0.
    pub(crate) conn: u64,
    /// From 1.
    pub(crate) nth: u32,
}

/// How the attempt of a request was identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attribution {
    /// By its `Paylab-Attempt` header.
    ByHeader,
    /// By the ordinal of the request.
    ByOrdinal,
}

/// How much of a request and its response was transferred, and what the proxy did to the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Transfer {
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
    pub(crate) forwarded_whole: bool,
    pub(crate) status: Option<u16>,
    pub(crate) rst_client_ok: Option<bool>,
    pub(crate) rst_service_ok: Option<bool>,
    /// How long a hold lasted, in microseconds.
    pub(crate) held_us: Option<u64>,
    /// The death of the service that the fault has ordered.
    pub(crate) kill: Option<KillTimes>,
    /// Why no further request was looked for.
    pub(crate) bytes_reason: Option<BytesReason>,
}

impl Row {
    /// The row of a request that has just begun: its fate is intended and not carried out yet.
    pub(crate) fn intended(seq: u64, t_us: u64, request: &IdentifiedRequest) -> Self {
        let IdentifiedRequest { ordinal, id, attribution, protocol, draw, fault, fate: _ } = *request;
        let mut coins = [0; FAULTS_MAX];
        coins[..draw.coins().len()].copy_from_slice(draw.coins());
        let fault = fault.and_then(|index| u8::try_from(index).ok());
        let (transfer, end) = (Transfer::default(), End::Intended);
        Self { seq, t_us, ordinal, id, attribution, protocol, coins, fault, transfer, took_us: None, end }
    }

    /// The length of each row of a record with this number of faults, in bytes.
    pub(crate) const fn len(faults: usize) -> usize {
        FIXED_LEN + COIN_LEN * faults
    }

    /// Appends the row with the coins of this number of faults.
    pub(crate) fn write(&self, faults: usize, out: &mut Vec<u8>) {
        let Transfer {
            bytes_up,
            bytes_down,
            forwarded_whole,
            status,
            rst_client_ok,
            rst_service_ok,
            held_us,
            kill,
            bytes_reason,
        } = self.transfer;
        let held_us = held_us.unwrap_or(NOT_HELD);
        let times = kill.map(|kill| [Some(kill.ordered_us), kill.dead_us, kill.serving_us]).unwrap_or_default();
        let [ordered, dead, serving] = times.map(|time| time.unwrap_or(NOT_HELD));
        let numbers = [self.seq, self.t_us, self.ordinal.conn, self.id.payment.0, bytes_up, bytes_down, held_us];
        for number in numbers.into_iter().chain([ordered, dead, serving]) {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.ordinal.nth, self.id.attempt, self.took_us.unwrap_or(NOT_TIMED)] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&status.unwrap_or(NO_STATUS).to_le_bytes());
        let attributed = self.attribution == Attribution::ByHeader;
        let flags = [attributed, self.protocol == Protocol::Http1, forwarded_whole];
        let flags = flags.iter().fold(0, |bits, flag| bits << 1 | u8::from(*flag));
        let resets = [rst_client_ok, rst_service_ok].map(|reset| reset.map_or(0, |ok| 1 + u8::from(ok)));
        let fault = self.fault.unwrap_or(NO_FAULT);
        out.extend_from_slice(&[flags, resets[0], resets[1], fault, end_code(self.end), reason_code(bytes_reason)]);
        for coin in &self.coins[..faults] {
            out.extend_from_slice(&coin.to_le_bytes());
        }
    }

    /// Reads a row back. `None` when the bytes are no row.
    pub(crate) fn read(faults: usize, mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let mut number = || take(bytes).map(u64::from_le_bytes);
        let (seq, t_us, conn, payment) = (number()?, number()?, number()?, number()?);
        let (bytes_up, bytes_down, held_us) = (number()?, number()?, number()?);
        let mut time = || number().map(|us| Some(us).filter(|us| *us != NOT_HELD));
        let (ordered_us, dead_us, serving_us) = (time()?, time()?, time()?);
        let mut number = || take(bytes).map(u32::from_le_bytes);
        let (nth, attempt, took_us) = (number()?, number()?, number()?);
        let status = Some(u16::from_le_bytes(take(bytes)?)).filter(|status| *status != NO_STATUS);
        let [flags, rst_client, rst_service, fault, end, bytes_reason] = take(bytes)?;
        let mut coins = [0; FAULTS_MAX];
        for coin in coins.get_mut(..faults)? {
            *coin = u64::from_le_bytes(take(bytes)?);
        }
        let reset = |code: u8| code.checked_sub(1).map(|ok| ok != 0);
        Some(Self {
            seq,
            t_us,
            ordinal: Ordinal { conn, nth },
            id: AttemptId { payment: PaymentId(payment), attempt },
            attribution: if flags & 0b100 == 0 { Attribution::ByOrdinal } else { Attribution::ByHeader },
            protocol: if flags & 0b010 == 0 { Protocol::Bytes } else { Protocol::Http1 },
            coins,
            fault: Some(fault).filter(|fault| *fault != NO_FAULT),
            transfer: Transfer {
                bytes_up,
                bytes_down,
                forwarded_whole: flags & 0b001 != 0,
                status,
                rst_client_ok: reset(rst_client),
                rst_service_ok: reset(rst_service),
                held_us: Some(held_us).filter(|held_us| *held_us != NOT_HELD),
                kill: ordered_us.map(|ordered_us| KillTimes { ordered_us, dead_us, serving_us }),
                bytes_reason: reason_of(bytes_reason)?,
            },
            took_us: Some(took_us).filter(|took_us| *took_us != NOT_TIMED),
            end: end_of(end)?,
        })
    }

    /// The line that the judge reads. `sampler` must be those from which the fate was drawn.
    pub(crate) fn line(&self, sampler: &FaultSampler) -> RecordLine {
        let Transfer {
            bytes_up,
            bytes_down,
            forwarded_whole,
            status,
            rst_client_ok,
            rst_service_ok,
            held_us,
            kill,
            bytes_reason,
        } = self.transfer;
        let fault = self.fault.and_then(|index| sampler.faults().get(usize::from(index)));
        RecordLine {
            seq: self.seq,
            t_us: self.t_us,
            conn: self.ordinal.conn,
            nth: self.ordinal.nth,
            payment: self.id.payment.0,
            attempt: self.id.attempt,
            attributed: self.attribution == Attribution::ByHeader,
            protocol: self.protocol,
            coins: self.coins.iter().take(sampler.faults().len()).copied().map(Coin).collect(),
            fault: fault.map(|fault| fault.name.clone()),
            at: fault.map(|fault| fault.effect.at()),
            bytes_up,
            bytes_down,
            forwarded_whole,
            status,
            rst_client_ok,
            rst_service_ok,
            held_us,
            took_us: self.took_us.map(u64::from),
            kill,
            bytes_reason,
            end: self.end,
        }
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (front, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*front)
}

/// 0 for none, or the place of the reason in the list of all, from 1.
fn reason_code(bytes_reason: Option<BytesReason>) -> u8 {
    let place = BytesReason::ALL.iter().position(|known| Some(*known) == bytes_reason);
    place.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(0)
}

/// `None` when the code is none.
fn reason_of(code: u8) -> Option<Option<BytesReason>> {
    match code.checked_sub(1) {
        None => Some(None),
        Some(place) => BytesReason::ALL.get(usize::from(place)).copied().map(Some),
    }
}

const fn end_code(end: End) -> u8 {
    match end {
        End::Intended => 0,
        End::Faulted => 1,
        End::Relayed => 2,
        End::ClientGone => 3,
        End::ServiceGone => 4,
        End::Unreachable => 5,
        End::Collateral => 6,
    }
}

const fn end_of(code: u8) -> Option<End> {
    Some(match code {
        0 => End::Intended,
        1 => End::Faulted,
        2 => End::Relayed,
        3 => End::ClientGone,
        4 => End::ServiceGone,
        5 => End::Unreachable,
        6 => End::Collateral,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use paylab_core::fault::{effect::Effect, point::Point, reset::Reset, spec::FaultSpec};
    use proptest::prelude::*;

    use super::*;

    fn sampler(faults: usize) -> FaultSampler {
        let reset = Effect::Reset(Reset { at: Point::BeforeResponse });
        let fault = |index| FaultSpec::new(format!("fault-{index}"), 1.0, reset);
        FaultSampler::new(7, &(0..faults).map(fault).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn a_row_reads_back_as_it_was_written(
            faults in 0..=FAULTS_MAX,
            numbers in any::<[u64; 6]>(),
            (nth, attempt, status) in (any::<u32>(), any::<u32>(), prop::option::of(100_u16..1000)),
            (rst_client_ok, rst_service_ok) in any::<(Option<bool>, Option<bool>)>(),
            held_us in prop::option::of(0..NOT_HELD),
            took_us in prop::option::of(0..NOT_TIMED),
            (named, http, forwarded_whole) in any::<(bool, bool, bool)>(),
            kill in prop::option::of((0..NOT_HELD, prop::option::of(0..NOT_HELD), prop::option::of(0..NOT_HELD))),
            end in (0_u8..7).prop_map(|code| end_of(code).unwrap()),
            bytes_reason in (0_u8..8).prop_map(|code| reason_of(code).unwrap()),
        ) {
            let [seq, t_us, conn, payment, bytes_up, bytes_down] = numbers;
            let id = AttemptId { payment: PaymentId(payment), attempt };
            let sampler = sampler(faults);
            let draw = sampler.draw(id);
            let attribution = if named { Attribution::ByHeader } else { Attribution::ByOrdinal };
            let protocol = if http { Protocol::Http1 } else { Protocol::Bytes };
            let (ordinal, fate) = (Ordinal { conn, nth }, Fate::Pass);
            let request =
                IdentifiedRequest { ordinal, id, attribution, protocol, draw, fault: draw.effective, fate };
            let kill = kill.map(|(ordered_us, dead_us, serving_us)| KillTimes { ordered_us, dead_us, serving_us });
            let mut row = Row::intended(seq, t_us, &request);
            row.took_us = took_us;
            row.end = end;
            row.transfer =
                Transfer { bytes_up, bytes_down, forwarded_whole, status, rst_client_ok, rst_service_ok, held_us, kill, bytes_reason };
            let mut bytes = Vec::new();
            row.write(faults, &mut bytes);
            prop_assert_eq!(bytes.len(), Row::len(faults));
            prop_assert_eq!(Row::read(faults, &bytes), Some(row));
            prop_assert_eq!(Row::read(faults, &bytes[1..]), None);
        }
    }

    #[test]
    fn a_line_names_the_fault_and_shows_every_coin() {
        let id = AttemptId { payment: PaymentId(3), attempt: 2 };
        let sampler = sampler(2);
        let draw = sampler.draw(id);
        let (ordinal, fate) = (Ordinal { conn: 9, nth: 1 }, Fate::Reset(Point::BeforeResponse));
        let (attribution, protocol) = (Attribution::ByHeader, Protocol::Http1);
        let request = IdentifiedRequest { ordinal, id, attribution, protocol, draw, fault: draw.effective, fate };
        let line = Row::intended(0, 0, &request).line(&sampler);
        assert_eq!((line.fault.as_deref(), line.at), (Some("fault-0"), Some(Point::BeforeResponse)));
        assert_eq!(line.coins.iter().map(|coin| coin.0).collect::<Vec<_>>(), draw.coins());
        assert_eq!((line.payment, line.attempt, line.conn, line.end), (3, 2, 9, End::Intended));
    }
}
