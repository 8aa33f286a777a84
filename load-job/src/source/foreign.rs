//! The ledger of a service that is not Paylab's own, as its contract says: a list in pages, one request for each payment, or the rows of a
//! query. Nobody has sealed it, so it is sealed here, and what is read twice the same is taken for settled.

mod database;

use std::{collections::HashSet, fmt::Display, ops::Range, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use paylab_contract::{
    Contract,
    ledger::{ForeignEntry, Ledger, List, Lookup, PAGE_LEN_MAX, PAGES_MAX, Total, page_name},
    template::Filling,
};
use paylab_core::{
    money::MinorUnits,
    payment::{AttemptId, PaymentId},
    plan::Plan,
    run_id::RunId,
    witness::{
        ledger::{Elsewhere, Entry, LedgerFooter, LedgerItem, LedgerTally, ServiceCounters},
        seal::Sealer,
    },
};
use paylab_part::tls::TlsDialer;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::{
    control::{ControlError, Fetch, Fetched, fetch},
    load::Load,
    shape::filling,
};

/// How many payments are looked up at once.
const LOOKUPS_AT_ONCE: usize = 16;
/// How often a page is asked for when the service is busy.
const TRIES: u32 = 5;
/// The pause before a page is asked for again; it grows by as much with each try.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// The longest time that one reading may take.
const READING_MAX: Duration = Duration::from_secs(600);
/// How much of an answer is shown in a message, in characters.
const ANSWER_SHOWN: usize = 200;

/// Whose ledger is read, and for which run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForeignLedger<'a> {
    pub(crate) contract: &'a Contract,
    pub(crate) plan: &'a Plan,
    pub(crate) run: &'a RunId,
    pub(crate) tls: Option<&'a TlsDialer>,
}

/// Reads what the load's share needs, and seals it.
pub(super) async fn read(
    load: &Load,
    contract: &Contract,
    tally: &mut LedgerTally,
    each: &mut impl FnMut(&[u8]),
) -> Result<(), ControlError> {
    let ledger = ForeignLedger { contract, plan: &load.plan, run: &load.run, tls: load.tls.as_ref() };
    let share = load.share();
    let mut sealing = Sealing { ledger, share, tally, each, sealer: Sealer::default(), entries: 0, sum_minor: 0 };
    let mut elsewhere = Elsewhere::default();
    if let Ledger::Total(total) = &contract.ledger {
        elsewhere.amount_minor = ledger.total(total).await?.0;
    } else {
        ledger.each_entry(load.share(), |reference, entry| sealing.take(reference, entry)).await?;
    }
    sealing.close(elsewhere);
    Ok(())
}

impl ForeignLedger<'_> {
    /// Hands on every entry of the run, with its reference. `payments` are those that are looked up, where there is no list.
    pub(crate) async fn each_entry(
        &self,
        payments: Range<u64>,
        mut take: impl FnMut(&str, ForeignEntry),
    ) -> Result<(), ControlError> {
        let take = |reference: &str, entry: ForeignEntry| take(reference, self.without_secrets(entry));
        let reading = async {
            match &self.contract.ledger {
                Ledger::List(list) => self.read_list(list, take).await,
                Ledger::Lookup(lookup) => self.look_up(lookup, payments, take).await,
                Ledger::Sql(sql) => database::read(self, sql, take).await,
                // It shows no entry.
                Ledger::Total(_) => Ok(()),
            }
        };
        timeout(READING_MAX, reading).await.map_err(|_| too_long())?
    }

    /// An entry whose currency, which is shown where it is another one than the plan's, repeats no secret.
    fn without_secrets(&self, entry: ForeignEntry) -> ForeignEntry {
        // Three letters are no secret.
        let is_known = |currency: &String| currency.len() <= 3 || currency.eq_ignore_ascii_case(&self.plan.currency);
        let shown =
            |currency: String| if is_known(&currency) { currency } else { self.contract.secrets().redact(&currency) };
        ForeignEntry { currency: entry.currency.map(shown), ..entry }
    }

    /// The total that the service shows.
    pub(crate) async fn total(&self, total: &Total) -> Result<MinorUnits, ControlError> {
        let path = self.path_of(0);
        let fetched = self.fetch(&path).await?;
        total.read(&self.parse(&path, &fetched.body)?).map_err(|problem| self.problem(&path, problem))
    }

    async fn read_list(&self, list: &List, mut take: impl FnMut(&str, ForeignEntry)) -> Result<(), ControlError> {
        let (mut entries, ours) = (HashSet::new(), self.contract.references_begin(self.run.as_str()));
        let is_ours = |reference: &str| reference.starts_with(&ours);
        self.each_page(list, |page| list.read_page(page, &mut entries, is_ours, &mut take)).await
    }

    /// How many items the list has, whoever's they are; `None`: there is no list.
    pub(crate) async fn items(&self) -> Result<Option<usize>, ControlError> {
        let Ledger::List(list) = &self.contract.ledger else { return Ok(None) };
        let mut items = 0;
        let count = |page: &Value| {
            items += list.items_of(page);
            Ok(())
        };
        timeout(READING_MAX, self.each_page(list, count)).await.map_err(|_| too_long())??;
        Ok(Some(items))
    }

    /// What the ledger shows instead of a payment that should be found.
    pub(crate) async fn instead_of(&self, payment: u64) -> Result<String, ControlError> {
        if matches!(self.contract.ledger, Ledger::Sql(_)) {
            return Ok("the query gives no row with its reference".to_owned());
        }
        let path = self.path_of(payment);
        let fetched = self.fetch(&path).await?;
        if self.says_absent(fetched.status) {
            return Ok(format!("GET {path}: the answer was {}", fetched.status));
        }
        let (page, run) = (self.parse(&path, &fetched.body)?, self.run.as_str());
        let instead = match &self.contract.ledger {
            Ledger::List(list) => {
                let is_ours = |reference: &str| self.contract.is_of_run(run, reference);
                list.instead(&page, &self.contract.reference(run, payment), is_ours)
            }
            Ledger::Lookup(lookup) => lookup.instead(&page),
            Ledger::Total(_) | Ledger::Sql(_) => String::new(),
        };
        Ok(self.contract.secrets().redact(&instead))
    }

    /// Hands on every page, one after another.
    async fn each_page(
        &self,
        list: &List,
        mut take: impl FnMut(&Value) -> Result<(), String>,
    ) -> Result<(), ControlError> {
        let mut path = self.path_of(0);
        let mut pages = HashSet::from([page_name(&path)]);
        loop {
            let Fetched { link, body, .. } = self.fetch(&path).await?;
            let page = self.parse(&path, &body)?;
            let at_page = |problem| self.problem(&path, problem);
            take(&page).map_err(at_page)?;
            let next = list.next_page(&self.contract.origin, &path, &page, link.as_deref()).map_err(at_page)?;
            let Some(next) = next else { return Ok(()) };
            if !pages.insert(page_name(&next)) {
                return Err(at_page(format!("the list leads in a circle: its next page {next} was read before")));
            }
            if pages.len() > PAGES_MAX {
                return Err(at_page(format!("the list has more than {PAGES_MAX} pages")));
            }
            path = next;
        }
    }

    async fn look_up(
        &self,
        lookup: &Lookup,
        payments: Range<u64>,
        mut take: impl FnMut(&str, ForeignEntry),
    ) -> Result<(), ControlError> {
        let look_up = |payment| async move {
            let path = self.path_of(payment);
            let fetched = self.fetch(&path).await?;
            if lookup.absent.contains(&fetched.status) {
                return Ok((payment, Vec::new()));
            }
            let answer = self.parse(&path, &fetched.body)?;
            let entries = lookup.read(&answer).map_err(|problem| self.problem(&path, problem))?;
            Ok((payment, entries))
        };
        let mut found = stream::iter(payments).map(look_up).buffered(LOOKUPS_AT_ONCE);
        while let Some((payment, entries)) = found.try_next().await? {
            let reference = self.contract.reference(self.run.as_str(), payment);
            entries.into_iter().for_each(|entry| take(&reference, entry));
        }
        Ok(())
    }

    /// The path of the first page, or of a payment.
    fn path_of(&self, payment: u64) -> String {
        let id = AttemptId { payment: PaymentId(payment), attempt: 1 };
        let reference = self.contract.reference(self.run.as_str(), payment);
        let key = self.plan.client.key.key(self.run, id).unwrap_or_default();
        let filling = Filling { key: &key, ..filling(self.plan, self.run, &reference, id) };
        self.contract.origin.path(&self.contract.ledger.path(&filling, self.contract.secrets()))
    }

    /// Fetches an answer that the contract allows. A service that is busy for a moment is asked again.
    async fn fetch(&self, path: &str) -> Result<Fetched, ControlError> {
        let origin = &self.contract.origin;
        let id = AttemptId { payment: PaymentId(0), attempt: 1 };
        let headers = self.contract.pay.common_headers(&filling(self.plan, self.run, "", id), self.contract.secrets());
        let wanted = Fetch {
            address: &origin.address,
            tls: self.tls,
            host: &origin.host,
            path,
            headers: &headers,
            len_max: PAGE_LEN_MAX,
        };
        let mut tried = 0;
        loop {
            let fetched = fetch(wanted).await.map_err(|error| match error {
                ControlError::NotAsAgreed(problem) => self.problem(path, problem),
                error => error,
            })?;
            tried += 1;
            match fetched.status {
                200..=299 => return Ok(fetched),
                status if self.says_absent(status) => return Ok(fetched),
                429 | 500..=599 if tried < TRIES => sleep(RETRY_PAUSE * tried).await,
                _ => return Err(self.refusal(path, &fetched)),
            }
        }
    }

    /// Whether a status says that a payment that is looked up has no entry.
    fn says_absent(&self, status: u16) -> bool {
        matches!(&self.contract.ledger, Ledger::Lookup(lookup) if lookup.absent.contains(&status))
    }

    /// Why an answer is of no use, and what to do.
    fn refusal(&self, path: &str, fetched: &Fetched) -> ControlError {
        let Fetched { status, location, body, .. } = fetched;
        let hint = match status {
            300..=399 => {
                let location = location.as_deref().unwrap_or_default();
                format!("it redirects to {location}; name that place in spec.target")
            }
            401 | 403 => "it asks for credentials; put them into spec.target.headers".to_owned(),
            _ => shown(body),
        };
        self.problem(path, format!("the answer was {status}: {hint}"))
    }

    fn parse(&self, path: &str, body: &[u8]) -> Result<Value, ControlError> {
        serde_json::from_slice(body)
            .map_err(|error| self.problem(path, format!("the answer is not JSON ({error}): {}", shown(body))))
    }

    /// A problem with what stands at a path, without secrets.
    fn problem(&self, path: &str, problem: impl Display) -> ControlError {
        ControlError::NotAsAgreed(self.contract.secrets().redact(&format!("GET {path}: {problem}")))
    }
}

fn too_long() -> ControlError {
    ControlError::NotAsAgreed(format!("reading took more than {} s", READING_MAX.as_secs()))
}

/// The beginning of an answer, for a message.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.chars().filter(|character| !character.is_control()).take(ANSWER_SHOWN).collect()
}

/// Makes lines of entries, as Paylab's own service sends them.
struct Sealing<'a, F> {
    ledger: ForeignLedger<'a>,
    /// The payments of the load. Those of other workers may still be made while this one reads, and are left out.
    share: Range<u64>,
    tally: &'a mut LedgerTally,
    each: &'a mut F,
    sealer: Sealer,
    entries: i64,
    sum_minor: i64,
}

impl<F: FnMut(&[u8])> Sealing<'_, F> {
    fn take(&mut self, reference: &str, entry: ForeignEntry) {
        let ForeignLedger { contract, plan, run, tls: _ } = self.ledger;
        let payment = contract.payment_of(run.as_str(), reference);
        if payment.is_some_and(|payment| payment < plan.count && !self.share.contains(&payment)) {
            return;
        }
        let reference =
            payment.map_or_else(|| contract.secrets().redact(reference), |payment| run.reference(PaymentId(payment)));
        let dest = match entry.currency {
            Some(currency) if !currency.eq_ignore_ascii_case(&plan.currency) => format!("{} in {currency}", plan.to),
            Some(_) | None => plan.to.clone(),
        };
        let amount_minor = entry.amount.0;
        self.entries += 1;
        self.sum_minor = self.sum_minor.saturating_add(amount_minor);
        let entry = Entry { id: self.entries, reference: Some(reference), src: plan.from.clone(), dest, amount_minor };
        let line = line(&LedgerItem::Entry(entry));
        self.sealer.add(&line);
        self.tally.take(&line);
        (self.each)(&line);
    }

    fn close(self, elsewhere: Elsewhere) {
        let footer = LedgerFooter {
            seal: self.sealer.seal(),
            total_minor: self.sum_minor.saturating_add(elsewhere.amount_minor),
            counters: ServiceCounters::default(),
            elsewhere,
        };
        self.tally.take(&line(&LedgerItem::Footer(footer)));
    }
}

fn line(item: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(item).unwrap_or_default();
    line.push(b'\n');
    line
}
