//! One question to a name server: enough to know that it knows its Services.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::Duration,
};

use anyhow::ensure;

/// For one answer; whoever waits asks again.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
const PORT: u16 = 53;
/// Of a packet: its number, what it is, and how much of each section it has.
const HEADER: usize = 12;

/// Whether the server says an address for this name.
pub(crate) fn knows(server: Ipv4Addr, name: &str) -> anyhow::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(ANSWER_WITHIN))?;
    // Connected, so that nobody else can answer.
    socket.connect((server, PORT))?;
    socket.send(&question(name)?)?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    let (refused, answers) = (answer[3] & 0xf, u16::from_be_bytes([answer[6], answer[7]]));
    ensure!(length > HEADER && refused == 0 && answers > 0, "{name}: code {refused}, {answers} answers");
    Ok(())
}

fn question(name: &str) -> anyhow::Result<Vec<u8>> {
    // Number 1, recursion desired, one question.
    let mut packet = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(u8::try_from(label.len())?);
        packet.extend(label.as_bytes());
    }
    // The root, type A, class IN.
    packet.extend([0, 0, 1, 0, 1]);
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_one_label_a_part() {
        assert_eq!(question("a.bc").unwrap()[HEADER..], *b"\x01a\x02bc\0\0\x01\0\x01");
    }
}
