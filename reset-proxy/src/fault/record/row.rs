//! A request as it is kept on disk: a row of fixed size, so that a million of them cost no memory.

use paylab_experiment::{
    fate::{Dice, Draw},
    payment::AttemptId,
    record::{Coin, End, Protocol, RecordLine},
    spec::FAULTS_MAX,
};

/// A row without its coins.
const FIXED_LEN: usize = 8 * 6 + 4 * 2 + 2 + 5;
const COIN_LEN: usize = 8;
/// Where no fault took effect.
const NO_FAULT: u8 = u8::MAX;
/// Where the service sent no status: no status is 0.
const NO_STATUS: u16 = 0;

/// One request, with everything that its line tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) seq: u64,
    pub(crate) t_us: u64,
    pub(crate) seat: Seat,
    pub(crate) id: AttemptId,
    pub(crate) attribution: Attribution,
    pub(crate) protocol: Protocol,
    coins: [u64; FAULTS_MAX],
    /// The index of the fault that takes effect.
    pub(crate) fault: Option<u8>,
    pub(crate) course: Course,
    pub(crate) end: End,
}

/// A request that has just been read, and its fate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrived {
    pub(crate) seat: Seat,
    pub(crate) id: AttemptId,
    pub(crate) attribution: Attribution,
    pub(crate) protocol: Protocol,
    pub(crate) draw: Draw,
    /// The index of the fault that takes effect.
    pub(crate) fault: Option<usize>,
}

/// Which connection of the record, and which request on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat {
    /// From 0.
    pub(crate) conn: u64,
    /// From 1.
    pub(crate) nth: u32,
}

/// Whether a request said which attempt it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attribution {
    Named,
    /// It was given its seat for a name.
    Seated,
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Course {
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
    pub(crate) forwarded_whole: bool,
    pub(crate) status: Option<u16>,
    pub(crate) rst_client_ok: Option<bool>,
    pub(crate) rst_service_ok: Option<bool>,
}

impl Row {
    /// A request that has just been read, with the fate that the dice have drawn for it.
    pub(crate) fn intended(seq: u64, t_us: u64, arrived: &Arrived) -> Self {
        let Arrived { seat, id, attribution, protocol, draw, fault } = *arrived;
        let mut coins = [0; FAULTS_MAX];
        coins[..draw.coins().len()].copy_from_slice(draw.coins());
        let fault = fault.and_then(|index| u8::try_from(index).ok());
        let (course, end) = (Course::default(), End::Intended);
        Self { seq, t_us, seat, id, attribution, protocol, coins, fault, course, end }
    }

    /// The length of every row of a record with so many faults, in bytes.
    pub(crate) const fn len(faults: usize) -> usize {
        FIXED_LEN + COIN_LEN * faults
    }

    /// Appends the row, with this many coins.
    pub(crate) fn write(&self, faults: usize, out: &mut Vec<u8>) {
        let Course { bytes_up, bytes_down, forwarded_whole, status, rst_client_ok, rst_service_ok } = self.course;
        for number in [self.seq, self.t_us, self.seat.conn, self.id.payment.0, bytes_up, bytes_down] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.seat.nth, self.id.attempt] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&status.unwrap_or(NO_STATUS).to_le_bytes());
        let attributed = self.attribution == Attribution::Named;
        let flags = [attributed, self.protocol == Protocol::Http1, forwarded_whole];
        let flags = flags.iter().fold(0, |bits, flag| bits << 1 | u8::from(*flag));
        let resets = [rst_client_ok, rst_service_ok].map(|reset| reset.map_or(0, |ok| 1 + u8::from(ok)));
        out.extend_from_slice(&[flags, resets[0], resets[1], self.fault.unwrap_or(NO_FAULT), end_code(self.end)]);
        for coin in &self.coins[..faults] {
            out.extend_from_slice(&coin.to_le_bytes());
        }
    }

    /// Reads a row back; `None` if these bytes are none.
    pub(crate) fn read(faults: usize, mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let mut number = || take(bytes).map(u64::from_le_bytes);
        let (seq, t_us, conn, payment, bytes_up, bytes_down) =
            (number()?, number()?, number()?, number()?, number()?, number()?);
        let (nth, attempt) = (u32::from_le_bytes(take(bytes)?), u32::from_le_bytes(take(bytes)?));
        let status = Some(u16::from_le_bytes(take(bytes)?)).filter(|status| *status != NO_STATUS);
        let [flags, rst_client, rst_service, fault, end] = take(bytes)?;
        let mut coins = [0; FAULTS_MAX];
        for coin in coins.get_mut(..faults)? {
            *coin = u64::from_le_bytes(take(bytes)?);
        }
        let reset = |code: u8| code.checked_sub(1).map(|ok| ok != 0);
        Some(Self {
            seq,
            t_us,
            seat: Seat { conn, nth },
            id: AttemptId { payment: paylab_experiment::payment::PaymentId(payment), attempt },
            attribution: if flags & 0b100 == 0 { Attribution::Seated } else { Attribution::Named },
            protocol: if flags & 0b010 == 0 { Protocol::Bytes } else { Protocol::Http1 },
            coins,
            fault: Some(fault).filter(|fault| *fault != NO_FAULT),
            course: Course {
                bytes_up,
                bytes_down,
                forwarded_whole: flags & 0b001 != 0,
                status,
                rst_client_ok: reset(rst_client),
                rst_service_ok: reset(rst_service),
            },
            end: end_of(end)?,
        })
    }

    /// The line that the judge reads. `dice` are those the fate was drawn with.
    pub(crate) fn line(&self, dice: &Dice) -> RecordLine {
        let Course { bytes_up, bytes_down, forwarded_whole, status, rst_client_ok, rst_service_ok } = self.course;
        let die = self.fault.and_then(|index| dice.dies().get(usize::from(index)));
        RecordLine {
            seq: self.seq,
            t_us: self.t_us,
            conn: self.seat.conn,
            nth: self.seat.nth,
            payment: self.id.payment.0,
            attempt: self.id.attempt,
            attributed: self.attribution == Attribution::Named,
            protocol: self.protocol,
            coins: self.coins.iter().take(dice.dies().len()).copied().map(Coin).collect(),
            fault: die.map(|die| die.name.clone()),
            at: die.map(|die| die.point),
            bytes_up,
            bytes_down,
            forwarded_whole,
            status,
            rst_client_ok,
            rst_service_ok,
            end: self.end,
        }
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (front, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*front)
}

const fn end_code(end: End) -> u8 {
    match end {
        End::Intended => 0,
        End::Faulted => 1,
        End::Relayed => 2,
        End::ClientGone => 3,
        End::ServiceGone => 4,
        End::Unreachable => 5,
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
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use paylab_experiment::{
        payment::PaymentId,
        spec::{Fault, Point, Reset},
    };
    use proptest::prelude::*;

    use super::*;

    fn dice(faults: usize) -> Dice {
        let fault = |index| Fault {
            name: format!("fault-{index}"),
            probability: 1.0,
            reset: Reset { at: Point::BeforeResponse },
            attempts: None,
            payments: None,
        };
        Dice::new(7, &(0..faults).map(fault).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn a_row_reads_back_as_it_was_written(
            faults in 0..=FAULTS_MAX,
            numbers in any::<[u64; 6]>(),
            (nth, attempt, status) in (any::<u32>(), any::<u32>(), prop::option::of(100_u16..1000)),
            (rst_client_ok, rst_service_ok) in any::<(Option<bool>, Option<bool>)>(),
            (named, http, forwarded_whole) in any::<(bool, bool, bool)>(),
            end in (0_u8..6).prop_map(|code| end_of(code).unwrap()),
        ) {
            let [seq, t_us, conn, payment, bytes_up, bytes_down] = numbers;
            let id = AttemptId { payment: PaymentId(payment), attempt };
            let dice = dice(faults);
            let draw = dice.draw(id);
            let attribution = if named { Attribution::Named } else { Attribution::Seated };
            let protocol = if http { Protocol::Http1 } else { Protocol::Bytes };
            let seat = Seat { conn, nth };
            let arrived = Arrived { seat, id, attribution, protocol, draw, fault: draw.effective };
            let mut row = Row::intended(seq, t_us, &arrived);
            row.end = end;
            row.course = Course { bytes_up, bytes_down, forwarded_whole, status, rst_client_ok, rst_service_ok };
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
        let dice = dice(2);
        let draw = dice.draw(id);
        let (seat, attribution, protocol) = (Seat { conn: 9, nth: 1 }, Attribution::Named, Protocol::Http1);
        let arrived = Arrived { seat, id, attribution, protocol, draw, fault: draw.effective };
        let line = Row::intended(0, 0, &arrived).line(&dice);
        assert_eq!((line.fault.as_deref(), line.at), (Some("fault-0"), Some(Point::BeforeResponse)));
        assert_eq!(line.coins.iter().map(|coin| coin.0).collect::<Vec<_>>(), draw.coins());
        assert_eq!((line.payment, line.attempt, line.conn, line.end), (3, 2, 9, End::Intended));
    }
}
