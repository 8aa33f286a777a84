//! A payment service on a real socket that lies on purpose: a script of the test decides what it books and what it answers.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use paylab_core::witness::{
    ledger::{Elsewhere, Entry, LedgerFooter, LedgerItem, ServiceCounters},
    seal::Sealer,
};

/// What the service answers to a payment.
pub(crate) enum Reply {
    /// This status, with this text as the body.
    Status(u16, &'static str),
    /// These bytes.
    Raw(Vec<u8>),
    /// These bytes, after this time.
    Late(Duration, Vec<u8>),
    /// Nothing, until the client leaves.
    Silence,
}

/// One payment as it was asked for.
pub(crate) struct Asked {
    pub(crate) reference: String,
    /// How often it was asked for before.
    pub(crate) before: u64,
}

/// What the service has booked and counted.
#[derive(Default)]
pub(crate) struct Books {
    pub(crate) entries: Vec<Entry>,
    pub(crate) counters: ServiceCounters,
    asked: BTreeMap<String, u64>,
    /// How often the ledger was read.
    pub(crate) readings: u64,
}

/// What the service does with payments, and before each reading of its ledger.
pub(crate) struct Script {
    pub(crate) pay: fn(&Asked, &mut Books) -> Reply,
    pub(crate) show: fn(&mut Books),
}

impl Books {
    /// Books what was asked for.
    pub(crate) fn book(&mut self, reference: &str) {
        let id = self.entries.last().map_or(1, |last| last.id + 1);
        let reference = Some(reference.to_owned());
        self.entries.push(Entry { id, reference, src: "bianca".into(), dest: "marc".into(), amount_minor: 100 });
        self.counters.booked += 1;
    }

    /// Books it if it was not booked, and answers as an honest service does.
    pub(crate) fn book_once(&mut self, asked: &Asked) -> Reply {
        if self.entries.iter().any(|entry| entry.reference.as_ref() == Some(&asked.reference)) {
            return Reply::Status(208, "");
        }
        self.book(&asked.reference);
        Reply::Status(200, "")
    }

    fn lines(&self) -> Vec<u8> {
        let (mut sealer, mut text) = (Sealer::default(), Vec::new());
        for entry in &self.entries {
            let line = format!("{}\n", serde_json::to_string(&LedgerItem::Entry(entry.clone())).unwrap());
            sealer.add(line.as_bytes());
            text.extend(line.into_bytes());
        }
        let total_minor = self.entries.iter().map(|entry| entry.amount_minor).sum();
        let (seal, counters) = (sealer.seal(), self.counters);
        let footer = LedgerFooter { seal, total_minor, counters, elsewhere: Elsewhere::default() };
        text.extend(serde_json::to_vec(&LedgerItem::Footer(footer)).unwrap());
        text.push(b'\n');
        text
    }
}

/// Starts the service. It serves until the test process ends.
pub(crate) fn start(script: Script) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (script, books) = (Arc::new(script), Arc::new(Mutex::new(Books::default())));
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let (script, books) = (Arc::clone(&script), Arc::clone(&books));
            thread::spawn(move || serve(client, &script, &books));
        }
    });
    address
}

fn serve(mut client: TcpStream, script: &Script, books: &Mutex<Books>) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let (mut first, mut reference, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 || line == "\r\n" {
            break;
        }
        let (name, value) = line.split_once(':')?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "paylab-reference" => value.trim().clone_into(&mut reference),
            _ => {}
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    let reply = {
        let mut books = books.lock().unwrap();
        if first.starts_with("POST /payments/") {
            books.counters.requests += 1;
            let asked = books.asked.entry(reference.clone()).or_default();
            *asked += 1;
            let before = *asked - 1;
            (script.pay)(&Asked { reference, before }, &mut books)
        } else if first.starts_with("GET /ledger") {
            books.readings += 1;
            (script.show)(&mut books);
            Reply::Raw(response(200, &books.lines()))
        } else {
            Reply::Status(200, "")
        }
    };
    match reply {
        Reply::Status(status, body) => client.write_all(&response(status, body.as_bytes())).ok(),
        Reply::Raw(bytes) => client.write_all(&bytes).ok(),
        Reply::Late(after, bytes) => {
            thread::sleep(after);
            client.write_all(&bytes).ok()
        }
        Reply::Silence => reader.read_to_end(&mut Vec::new()).ok().map(drop),
    }
}

pub(crate) fn response(status: u16, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
