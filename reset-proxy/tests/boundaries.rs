//! Every stream of the corpus goes through a proxy: all of its bytes arrive, the record shows the boundaries that the corpus says, and a
//! fault strikes at them.

#[path = "../src/http/corpus/cases.rs"]
mod cases;
mod support;

use std::io;

use cases::{Case, MethodName, Side, Text, Then, corpus};
use paylab_core::fault::point::Point;
use rand::{SeedableRng, rngs::SmallRng};
use support::{Ending, Lab, Peer, send_in_pieces};
use tokio::io::AsyncWriteExt as _;

/// The pieces in which a stream is sent, different for each.
fn pieces(stream: &[u8]) -> SmallRng {
    SmallRng::seed_from_u64(stream.len() as u64)
}

/// A response without a body, to whatever request.
const RESPONSE: &str = "HTTP/1.1 204 No Content\r\n\r\n";

fn bytes(text: &Text) -> Vec<u8> {
    text.characters().chars().map(|character| u8::try_from(character).expect("a character of one byte")).collect()
}

/// The cases of one side, with the bytes of their messages.
fn streams(side: Side) -> impl Iterator<Item = (Case, Vec<Vec<u8>>)> {
    corpus().into_iter().filter(move |case| case.reads == side && !case.bytes().is_empty()).map(|case| {
        let messages = case.messages.iter().map(|[head, body]| [bytes(head), bytes(body)].concat()).collect();
        (case, messages)
    })
}

/// How many of the messages end within the stream.
fn whole(case: &Case) -> usize {
    let is_cut = matches!(case.then, Then::MoreOfTheBody | Then::BrokenBody | Then::EndOfTheStream);
    case.messages.len() - usize::from(is_cut)
}

/// The interim responses of a stream, and the final one if its head is whole.
fn responses(messages: &[Vec<u8>]) -> (Vec<u8>, Option<&Vec<u8>>) {
    let is_interim = |message: &&Vec<u8>| {
        let text = String::from_utf8_lossy(message);
        let status = text.split_whitespace().nth(1).expect("a status");
        status.starts_with('1') && status != "101"
    };
    let count = messages.iter().take_while(is_interim).count();
    (messages[..count].concat(), messages.get(count))
}

/// Sends the request to which a case responds, and then its stream, after which the service ends.
async fn respond(lab: &Lab, case: &Case) -> (Vec<u8>, Ending) {
    let method = match case.method {
        MethodName::Get => "GET",
        MethodName::Head => "HEAD",
        MethodName::Connect => "CONNECT",
    };
    let (mut client, mut service) = lab.deliver(&format!("{method} / HTTP/1.1\r\nPaylab-Attempt: 1/1\r\n\r\n")).await;
    let stream = case.bytes();
    let served = async move {
        // After a fault, nobody reads the rest.
        let _ = send_in_pieces(&mut service.0, &stream, &mut pieces(&stream)).await;
        drop(service);
    };
    tokio::join!(client.rest(), served).0
}

/// Sends a stream of requests and ends the client's side. An error is that of a connection that a fault has ended.
async fn request(client: &mut Peer, case: &Case) -> io::Result<()> {
    let stream = case.bytes();
    send_in_pieces(&mut client.0, &stream, &mut pieces(&stream)).await?;
    client.0.shutdown().await
}

#[tokio::test]
async fn requests_arrive_as_they_are_and_the_record_has_their_boundaries() {
    for (case, messages) in streams(Side::Request) {
        let name = &case.name;
        let lab = Lab::passing().await;
        let mut client = lab.client().await;
        let served = async {
            let mut service = lab.service().await;
            let mut received = Vec::new();
            for message in &messages[..whole(&case)] {
                received.extend(service.take(message.len()).await);
                service.send(RESPONSE).await;
            }
            let (rest, ending) = service.rest().await;
            // A request that its client breaks off is broken off at the service too.
            let is_cut = case.then == Then::MoreOfTheBody;
            assert_eq!(ending, if is_cut { Ending::Reset } else { Ending::Eof }, "{name}");
            received.extend(rest);
            assert!(received == case.bytes(), "{name}: {:.200?}", String::from_utf8_lossy(&received));
        };
        let (sent, ()) = tokio::join!(request(&mut client, &case), served);
        assert!(sent.is_ok(), "{name}: {sent:?}");
        let (responses, ending) = client.rest().await;
        assert_eq!(
            (String::from_utf8_lossy(&responses).into_owned(), ending),
            (RESPONSE.repeat(whole(&case)), Ending::Eof),
            "{name}"
        );
        drop(client);
        let (lines, _) = lab.record().await;
        for (index, message) in messages[..whole(&case)].iter().enumerate() {
            assert_eq!((lines[index].bytes_up, lines[index].bytes_reason), (message.len() as u64, None), "{name}");
        }
        let has_more = messages.len() > whole(&case) || case.then != Then::Nothing;
        assert_eq!(lines.len(), whole(&case) + usize::from(has_more), "{name}");
    }
}

#[tokio::test]
async fn responses_arrive_as_they_are_and_the_record_has_their_boundaries() {
    for (case, messages) in streams(Side::Response) {
        let name = &case.name;
        let lab = Lab::passing().await;
        let (received, ending) = respond(&lab, &case).await;
        let (interim, last) = responses(&messages);
        let is_first = |index: usize| last.is_some_and(|last| messages[index..].first() == Some(last));
        let is_cut = match case.then {
            Then::MoreOfTheBody => is_first(messages.len() - 1),
            // A part of a head is no response, and it is all that is lost.
            Then::MoreOfTheHead | Then::Nothing => last.is_none(),
            Then::EndOfTheStream | Then::OtherProtocol | Then::Unreadable | Then::BrokenBody => false,
        };
        let expected = if case.then == Then::MoreOfTheHead && is_cut { interim.clone() } else { case.bytes() };
        assert!(received == expected, "{name}: {:.200?}", String::from_utf8_lossy(&received));
        assert_eq!(ending, if is_cut { Ending::Reset } else { Ending::Eof }, "{name}");
        let line = lab.only_line().await;
        if let Some(last) = last.filter(|_| case.then != Then::OtherProtocol) {
            assert_eq!(line.bytes_down, last.len() as u64, "{name}");
        }
    }
}

#[tokio::test]
async fn a_request_is_struck_at_its_boundaries() {
    for at in [Point::BeforeRequest, Point::MidRequest, Point::AfterRequest] {
        for (case, messages) in streams(Side::Request).filter(|(case, _)| whole(case) > 0) {
            let name = format!("{at:?} {}", case.name);
            let lab = Lab::resetting(at).await;
            let mut client = lab.client().await;
            let served = async {
                match at {
                    Point::MidRequest => {
                        let (received, ending) = lab.service().await.rest().await;
                        let is_part = (1..messages[0].len()).contains(&received.len());
                        assert!(messages[0].starts_with(&received) && is_part, "{name}: {}", received.len());
                        assert_eq!(ending, Ending::Reset, "{name}");
                    }
                    Point::AfterRequest => {
                        let mut service = lab.service().await;
                        assert!(service.take(messages[0].len()).await == messages[0], "{name}");
                        service.send(RESPONSE).await;
                        assert_eq!(service.rest().await, (vec![], Ending::Eof), "{name}");
                    }
                    _ => {}
                }
            };
            let (sent, ()) = tokio::join!(request(&mut client, &case), served);
            // The system tells a reset once: to whoever writes or reads next.
            let (seen, ending) = client.rest().await;
            assert!(seen.is_empty() && (sent.is_err() || ending == Ending::Reset), "{name}: {sent:?} {ending:?}");
            assert!(at != Point::BeforeRequest || lab.was_not_dialled(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_response_is_struck_at_its_boundaries() {
    for at in [Point::BeforeResponse, Point::MidResponse, Point::AfterResponse] {
        for (case, messages) in streams(Side::Response) {
            let (interim, Some(last)) = responses(&messages) else { continue };
            if case.then == Then::MoreOfTheBody {
                continue;
            }
            let name = format!("{at:?} {}", case.name);
            let lab = Lab::resetting(at).await;
            let (received, ending) = respond(&lab, &case).await;
            assert_eq!(ending, Ending::Reset, "{name}");
            let wanted = match at {
                Point::BeforeResponse => 0..1,
                Point::MidResponse => 1..last.len(),
                _ => last.len()..last.len() + 1,
            };
            let seen = received.strip_prefix(&interim[..]).expect("interim responses pass");
            // What cannot be read is struck at once.
            let is_broken = case.then == Then::BrokenBody;
            assert!(last.starts_with(seen) && (is_broken || wanted.contains(&seen.len())), "{name}: {}", seen.len());
        }
    }
}
