//! Why a payment is not found in a ledger that can be read: what stands at the paths of the contract instead.

use serde_json::Value;

use crate::{
    ledger::{List, Lookup},
    path::{Condition, Path},
};

/// How much of an item is shown, in characters.
const ITEM_SHOWN: usize = 200;

impl List {
    /// How many items a page has, whoever's they are.
    #[must_use]
    pub fn items_of(&self, page: &Value) -> usize {
        self.items.all(page).count()
    }

    /// What the first page shows instead of a payment that should be found there. `expected` is the payment's reference.
    #[must_use]
    pub fn instead(&self, page: &Value, expected: &str, is_ours: impl Fn(&str) -> bool) -> String {
        let items: Vec<_> = self.items.all(page).collect();
        let references: Vec<_> = items.iter().filter_map(|item| self.reference.text(item)).collect();
        let (count, here, reference) = (counted(items.len()), self.items.as_str(), self.reference.as_str());
        let Some(first) = items.first() else {
            return format!("the first page has no items at {here}: {}", shown(page));
        };
        let Some(known) = references.first() else {
            return format!(
                "the first page has {count} at {here}, but none has a reference at {reference}; the first item is {}",
                shown(first)
            );
        };
        let ours = items.iter().find(|item| self.reference.text(item).is_some_and(|reference| is_ours(&reference)));
        match ours {
            None => format!(
                "the first page has {count} at {here}, but at {reference} none has {expected}; the first has {known}"
            ),
            Some(item) => uncounted(item, &self.entry.counts),
        }
    }
}

impl Lookup {
    /// What the answer about a payment shows instead of its entry.
    #[must_use]
    pub fn instead(&self, answer: &Value) -> String {
        match self.items.first(answer) {
            None => format!("the answer has nothing at {}: {}", self.items.as_str(), shown(answer)),
            Some(item) => uncounted(item, &self.entry.counts),
        }
    }
}

/// Which condition keeps an item from counting.
fn uncounted(item: &Value, counts: &[Condition]) -> String {
    let unmet = counts.iter().find(|condition| !condition.holds(item)).map(Condition::path);
    let unmet = unmet.map(Path::as_str).unwrap_or_default();
    format!("the payment is there, but does not count, because of what stands at {unmet} (counts): {}", shown(item))
}

fn counted(items: usize) -> String {
    if items == 1 { "1 item".to_owned() } else { format!("{items} items") }
}

/// The beginning of a value as JSON.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(ITEM_SHOWN) {
        None => text,
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use paylab_core::client::KeyPolicy;
    use serde_json::json;

    use super::*;
    use crate::{Contract, ledger::Ledger};

    fn ledger(ledger: &Value) -> Ledger {
        let target = json!({"url": "http://a.example", "pay": {"post": "/p", "text": "{reference}"}, "ledger": ledger});
        Contract::new(&serde_json::from_value(target).unwrap(), KeyPolicy::None, "target").unwrap().ledger
    }

    #[test]
    fn a_list_says_what_stands_there_instead() {
        let list = json!({"list": {"get": "/p", "items": "$.data[*]", "reference": "$.meta.ref", "minor": "$.amount",
                                   "counts": {"$.status": ["done"]}}});
        let Ledger::List(list) = ledger(&list) else { unreachable!("it is a list") };
        let instead = |page: Value| list.instead(&page, "run-0", |reference| reference.starts_with("run-"));
        let paid = json!({"meta": {"ref": "run-0"}, "status": "open"});
        expect_test::expect![[r#"
            the first page has no items at $.data[*]: {"items":[1]}
            the first page has 2 items at $.data[*], but none has a reference at $.meta.ref; the first item is {"metadata":{"ref":"run-0"}}
            the first page has 1 item at $.data[*], but at $.meta.ref none has run-0; the first has other-1
            the payment is there, but does not count, because of what stands at $.status (counts): {"meta":{"ref":"run-0"},"status":"open"}"#]]
        .assert_eq(
            &[
                json!({"items": [1]}),
                json!({"data": [{"metadata": {"ref": "run-0"}}, {}]}),
                json!({"data": [{"meta": {"ref": "other-1"}}]}),
                json!({"data": [{}, paid]}),
            ]
            .map(instead)
            .join("\n"),
        );
    }

    #[test]
    fn a_lookup_says_what_stands_there_instead() {
        let lookup = json!({"lookup": {"get": "/p/{reference}", "items": "$.payment", "minor": "$.amount",
                                       "counts": {"$.paid": [true]}}});
        let Ledger::Lookup(lookup) = ledger(&lookup) else { unreachable!("it is a lookup") };
        assert_eq!(
            lookup.instead(&json!({"error": "x".repeat(300)})),
            format!("the answer has nothing at $.payment: {{\"error\":\"{}...", "x".repeat(190))
        );
        assert!(lookup.instead(&json!({"payment": {"paid": false}})).contains("at $.paid (counts)"));
    }
}
