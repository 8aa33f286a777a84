//! The examples in `examples/targets`, each against a service of its shape: the correct one is upheld with the predicted totals, and the
//! broken one is violated with its class.

use std::{fs, net::SocketAddr};

use paylab_apis::{Conduct, Shape};
use serde_json::{Value, json};

use crate::support::{
    apis::start,
    binary::{paylab, printed, root},
};

/// The shapes, their examples, and the class of the broken service.
const SHAPES: [(Shape, &str, &str); 6] = [
    (Shape::Stripe, "stripe", "Duplicated"),
    (Shape::Square, "square", "RefusedRepeat"),
    (Shape::Gocardless, "gocardless", "Stuck"),
    (Shape::Mollie, "mollie", "UnstableReplay"),
    (Shape::Increase, "increase", "AcknowledgedButLost"),
    (Shape::Lesson, "lesson", "Surplus"),
];

fn run(example: &str, service: SocketAddr, exit: i32) -> Value {
    let output = paylab(
        &[
            "run",
            &format!("examples/targets/{example}.yaml"),
            "--target",
            &format!("http://{service}"),
            "--output",
            "json",
        ],
        "",
    );
    assert_eq!(output.status.code(), Some(exit), "{example}: {}", printed(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_service_that_keeps_its_promise_is_upheld_with_the_predicted_totals() {
    for (shape, example, _) in SHAPES {
        let status = run(example, start(shape, Conduct::Correct), 0);
        let payments =
            ["intended", "acknowledged", "booked", "lost", "duplicated"].map(|name| status["payments"][name].as_u64());
        // Nothing but the total is known of the lesson's ledger.
        let of_entries = [Some(500), Some(0), Some(0)].map(|count| count.filter(|_| shape != Shape::Lesson));
        let [booked, lost, duplicated] = of_entries;
        assert_eq!(
            (&status["verdict"], payments),
            (&json!("Upheld"), [Some(500), Some(500), booked, lost, duplicated]),
            "{status}"
        );
        assert_eq!(status["ledger"]["booked"], json!("500.00"), "{status}");
        assert_eq!(status["lab"].get("findings"), None, "{example}: no total differs from its prediction: {status}");
        assert_eq!(status["prediction"]["exact"]["attempts"], status["attempts"]["total"], "{example}");
    }
}

#[test]
fn a_service_that_breaks_it_is_violated_with_its_class() {
    for (shape, example, class) in SHAPES {
        let status = run(example, start(shape, Conduct::Broken), 1);
        assert_eq!((&status["verdict"], &status["reason"]), (&json!("Violated"), &json!(class)), "{example}: {status}");
    }
}

#[test]
fn a_contract_takes_at_most_40_lines() {
    for (_, example, _) in SHAPES {
        let text = fs::read_to_string(root().join(format!("examples/targets/{example}.yaml"))).unwrap();
        assert!(text.lines().count() <= 40, "{example}");
    }
}
