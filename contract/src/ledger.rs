//! A foreign ledger, page by page: which entries a page has, and where the next one is.

use std::collections::{BTreeMap, HashSet};

use paylab_core::money::MinorUnits;
use serde_json::Value;
use url::Url;

use crate::{
    money::{AmountPath, Unit},
    path::{Condition, Path},
    request::Origin,
    secrets::Secrets,
    template::{Escape, Filling, Template},
};

/// A list has at most this many pages.
pub const PAGES_MAX: usize = 200_000;
/// Longer pages are not read, in bytes.
pub const PAGE_LEN_MAX: usize = 64 * 1024 * 1024;

/// Where the money is read.
#[derive(Debug, Clone)]
pub enum Ledger {
    /// A list of all payments.
    List(List),
    /// One request for each payment.
    Lookup(Lookup),
    /// The rows of a query.
    Sql(Sql),
    /// The total of all payments.
    Total(Total),
}

/// A list of all payments, page by page.
#[derive(Debug, Clone)]
pub struct List {
    pub(crate) get: Template,
    pub(crate) items: Path,
    pub(crate) reference: Path,
    pub(crate) id: Option<Path>,
    pub(crate) entry: EntryPaths,
    pub(crate) next: Next,
}

/// One request for each payment.
#[derive(Debug, Clone)]
pub struct Lookup {
    pub(crate) get: Template,
    pub(crate) items: Path,
    pub(crate) entry: EntryPaths,
    /// The statuses that say that there is no entry.
    pub absent: Vec<u16>,
}

/// The rows of a query to a database.
#[derive(Debug, Clone)]
pub struct Sql {
    pub(crate) url: Template,
    pub(crate) query: Template,
    /// The column of the reference.
    pub reference: String,
    /// The column of the amount, and its unit.
    pub amount: (String, Unit),
    /// The column of the currency.
    pub currency: Option<String>,
}

/// The total of all payments.
#[derive(Debug, Clone)]
pub struct Total {
    pub(crate) get: Template,
    pub(crate) amount: AmountPath,
}

/// Where amount and currency stand in an entry, and which entries count.
#[derive(Debug, Clone)]
pub(crate) struct EntryPaths {
    pub(crate) amount: AmountPath,
    pub(crate) currency: Option<Path>,
    pub(crate) counts: Vec<Condition>,
}

/// How the next page is found.
#[derive(Debug, Clone)]
pub(crate) struct Next {
    pub(crate) kind: NextKind,
    pub(crate) while_true: Option<Path>,
}

/// The kinds of paging.
#[derive(Debug, Clone)]
pub(crate) enum NextKind {
    /// There is one page.
    OnePage,
    /// Parameters of the query, with the paths of their values.
    Query(Vec<(String, Path)>),
    /// The path of a URL.
    Url(Path),
    /// A relation of the header `Link`.
    Link(String),
}

/// One entry of a foreign ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignEntry {
    /// How much.
    pub amount: MinorUnits,
    /// The currency, where the contract says where it stands.
    pub currency: Option<String>,
}

impl Ledger {
    /// The path of the first request, without that of the service's URL; empty where the ledger is in a database.
    #[must_use]
    pub fn path(&self, filling: &Filling<'_>, secrets: &Secrets) -> String {
        match self {
            Self::List(List { get, .. }) | Self::Lookup(Lookup { get, .. }) | Self::Total(Total { get, .. }) => {
                get.render(filling, secrets, Escape::Path)
            }
            Self::Sql(_) => String::new(),
        }
    }

    /// Every template of it.
    pub fn templates(&self) -> impl Iterator<Item = Template> {
        let templates = match self {
            Self::List(List { get, .. }) | Self::Lookup(Lookup { get, .. }) | Self::Total(Total { get, .. }) => {
                vec![get.clone()]
            }
            Self::Sql(sql) => vec![sql.url.clone(), sql.query.clone()],
        };
        templates.into_iter()
    }
}

impl List {
    /// Hands on the entries of a page whose reference `is_ours`, each with its reference. `seen` are the names of the entries of earlier
    /// pages, which are passed over.
    ///
    /// # Errors
    /// The page is not what the contract says.
    pub fn read_page(
        &self,
        page: &Value,
        seen: &mut HashSet<String>,
        is_ours: impl Fn(&str) -> bool,
        mut take: impl FnMut(&str, ForeignEntry),
    ) -> Result<(), String> {
        let (mut items, mut here) = (0_u64, Vec::new());
        for item in self.items.all(page) {
            items += 1;
            let Some(reference) = self.reference.text(item).filter(|reference| is_ours(reference)) else { continue };
            let Some(entry) = self.entry.read(item).map_err(|problem| format!("the entry of {reference} {problem}"))?
            else {
                continue;
            };
            let name = self.id.as_ref().and_then(|id| id.text(item));
            if name.as_ref().is_some_and(|name| seen.contains(name)) {
                continue;
            }
            here.extend(name);
            take(&reference, entry);
        }
        // Two items of one page are two, whatever their names are.
        seen.extend(here);
        if items == 0 && !has_a_list(page) {
            return Err(format!("a page has no items at {} and no empty list either", self.items.as_str()));
        }
        Ok(())
    }

    /// The path and query of the page after the page at `here`; `None`: it was the last one.
    ///
    /// # Errors
    /// What should lead to it does not.
    pub fn next_page(
        &self,
        origin: &Origin,
        here: &str,
        page: &Value,
        link: Option<&str>,
    ) -> Result<Option<String>, String> {
        if let Some(path) = &self.next.while_true {
            match path.all(page).next() {
                Some(Value::Bool(true)) => {}
                Some(Value::Bool(false) | Value::Null) => return Ok(None),
                Some(_) | None => return Err(format!("there is neither true nor false at {}", path.as_str())),
            }
        }
        match &self.next.kind {
            NextKind::OnePage => Ok(None),
            NextKind::Query(parameters) => Ok(with_query(here, parameters, page)),
            NextKind::Url(path) => {
                path.text(page).filter(|url| !url.is_empty()).map(|url| origin.follow(here, &url)).transpose()
            }
            NextKind::Link(relation) => {
                link.and_then(|link| link_of(link, relation)).map(|url| origin.follow(here, &url)).transpose()
            }
        }
    }
}

impl Lookup {
    /// The entries of an answer.
    ///
    /// # Errors
    /// The answer is not what the contract says.
    pub fn read(&self, answer: &Value) -> Result<Vec<ForeignEntry>, String> {
        let mut entries = Vec::new();
        for item in self.items.all(answer).filter(|item| !item.is_null()) {
            entries.extend(self.entry.read(item).map_err(|problem| format!("its entry {problem}"))?);
        }
        Ok(entries)
    }
}

impl Sql {
    /// The URL of the database, with its secrets. A secret that is a part of it may have any characters.
    #[must_use]
    pub fn url(&self, filling: &Filling<'_>, secrets: &Secrets) -> String {
        let escape = if self.url.only().is_some() { Escape::Plain } else { Escape::Path };
        self.url.render(filling, secrets, escape)
    }

    /// The query of a run.
    #[must_use]
    pub fn query(&self, filling: &Filling<'_>, secrets: &Secrets) -> String {
        self.query.render(filling, secrets, Escape::Plain)
    }
}

impl Total {
    /// The total in an answer.
    ///
    /// # Errors
    /// The answer is not what the contract says.
    pub fn read(&self, answer: &Value) -> Result<MinorUnits, String> {
        self.amount.read(answer).map_err(|problem| format!("the answer {problem}"))
    }
}

impl EntryPaths {
    /// Reads an item; `None`: it is not money that has moved.
    fn read(&self, item: &Value) -> Result<Option<ForeignEntry>, String> {
        if !self.counts.iter().all(|condition| condition.holds(item)) {
            return Ok(None);
        }
        let amount = self.amount.read(item)?;
        let currency = match &self.currency {
            None => None,
            Some(path) => Some(path.text(item).ok_or_else(|| format!("has no currency at {}", path.as_str()))?),
        };
        Ok(Some(ForeignEntry { amount, currency }))
    }
}

/// Whether a page has an empty list somewhere on its first levels, so that it can be one without payments.
fn has_a_list(page: &Value) -> bool {
    match page {
        Value::Array(_) => true,
        Value::Object(members) => members.values().any(|member| match member {
            Value::Array(_) => true,
            Value::Object(members) => members.values().any(Value::is_array),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The path `here` with other values of some parameters; `None`: one has no value.
fn with_query(here: &str, parameters: &[(String, Path)], page: &Value) -> Option<String> {
    let values: BTreeMap<&str, String> = parameters
        .iter()
        .map(|(name, path)| Some((name.as_str(), path.text(page).filter(|value| !value.is_empty())?)))
        .collect::<Option<_>>()?;
    let (path, query) = here.split_once('?').unwrap_or((here, ""));
    let kept = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| !values.contains_key(&**name));
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(kept);
    query.extend_pairs(&values);
    Some(format!("{path}?{}", query.finish()))
}

/// The URL of a relation in a header `Link` (RFC 8288).
fn link_of(header: &str, relation: &str) -> Option<String> {
    for link in header.split(',') {
        let Some((url, parameters)) = link.trim().strip_prefix('<').and_then(|rest| rest.split_once('>')) else {
            continue;
        };
        let names = parameters.split(';').filter_map(|parameter| parameter.trim().split_once('='));
        let is_it = |(name, value): (&str, &str)| {
            name.trim().eq_ignore_ascii_case("rel")
                && value
                    .trim()
                    .trim_matches('"')
                    .split_ascii_whitespace()
                    .any(|word| word.eq_ignore_ascii_case(relation))
        };
        if names.into_iter().any(is_it) {
            return Some(url.to_owned());
        }
    }
    None
}

/// A name of the page behind a link, the same in whatever order its parameters are.
#[must_use]
pub fn page_name(path: &str) -> String {
    let Ok(mut url) = Url::parse(&format!("http://page{path}")) else { return path.to_owned() };
    let mut pairs: Vec<_> = url.query_pairs().into_owned().collect();
    pairs.sort();
    url.query_pairs_mut().clear().extend_pairs(pairs);
    url.to_string()
}
