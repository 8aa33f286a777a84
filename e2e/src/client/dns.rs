//! One DNS query: enough to find out whether the cluster DNS resolves Services.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    time::Duration,
};

use anyhow::ensure;

/// The time limit of one query; the caller repeats it.
const RESPONSE_WITHIN: Duration = Duration::from_millis(500);
const PORT: u16 = 53;
/// The header of a packet, in bytes: identifier, flags, and the number of entries in each of four sections.
const HEADER_LEN: usize = 12;

/// Types of records: an address of IPv4, and one of IPv6.
const A: u8 = 1;
const AAAA: u8 = 28;

/// Succeeds when the server has an address of its own family for this name.
pub(crate) fn resolve(server: IpAddr, name: &str) -> anyhow::Result<()> {
    let (any, kind): (IpAddr, _) =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED.into(), A) } else { (Ipv6Addr::UNSPECIFIED.into(), AAAA) };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(RESPONSE_WITHIN))?;
    // A connected socket accepts packets from this server only.
    socket.connect((server, PORT))?;
    socket.send(&query(name, kind)?)?;
    let mut response = [0; 512];
    let length = socket.recv(&mut response)?;
    let (code, answers) = (response[3] & 0xf, u16::from_be_bytes([response[6], response[7]]));
    ensure!(length > HEADER_LEN && code == 0 && answers > 0, "{name}: response code {code}, {answers} answers");
    Ok(())
}

fn query(name: &str, kind: u8) -> anyhow::Result<Vec<u8>> {
    // Identifier 1, recursion desired, one question.
    let mut packet = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(u8::try_from(label.len())?);
        packet.extend(label.as_bytes());
    }
    // The root label, the type, class IN.
    packet.extend([0, 0, kind, 0, 1]);
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_one_label_for_each_part_of_the_name() {
        assert_eq!(query("a.bc", A).unwrap()[HEADER_LEN..], *b"\x01a\x02bc\0\0\x01\0\x01");
    }
}
