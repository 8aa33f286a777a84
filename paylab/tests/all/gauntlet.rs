//! The gauntlet as a user runs it: the table of Paylab's own modes cell by cell, a service of a user's, and what is refused.

use std::fs;

use paylab_apis::{Conduct, Shape};
use serde_json::{Value, json};

use crate::support::{
    apis::start,
    binary::{experiment, paylab, printed, text},
};

/// The table of `docs/gauntlet.md` and of the semantics: what each nemesis reveals of each mode.
const TABLE: &str = "\
                | lost-request | lost-answer | cut-at-once | half-answer | hedge      | slow-timeout | other-amount  | late-repeat  | killed              | restarted           | gives-up
None            | blind        | Duplicated  | Duplicated  | Duplicated  | Duplicated | Duplicated   | Duplicated    | Duplicated   | Duplicated          | Duplicated          | Lost
UniqueKey       | holds        | holds       | holds       | holds       | holds      | holds        | Mismatched    | holds        | holds               | holds               | Lost
Replay          | holds        | holds       | holds       | holds       | holds      | holds        | RefusedRepeat | Duplicated   | holds               | holds               | Lost
CheckThenInsert | blind        | blind       | Duplicated  | blind       | Duplicated | Duplicated   | Mismatched    | blind        | holds               | holds               | Lost
Memory          | blind        | blind       | holds       | blind       | holds      | holds        | Mismatched    | blind        | Duplicated          | Duplicated          | Lost
KeyThenApply    | blind        | blind       | holds       | blind       | holds      | holds        | Mismatched    | blind        | AcknowledgedButLost | holds               | Lost
ApplyThenKey    | blind        | blind       | Duplicated  | blind       | Duplicated | Duplicated   | Mismatched    | blind        | Duplicated          | holds               | Lost
AckThenApply    | blind        | blind       | holds       | blind       | holds      | holds        | Mismatched    | blind        | AcknowledgedButLost | AcknowledgedButLost | Lost";

/// The cells of a table, as words between bars.
fn cells(line: &str) -> Vec<String> {
    line.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// The same of a gauntlet in JSON: the class where the claim is broken, else the result.
fn table(gauntlet: &Value) -> Vec<Vec<String>> {
    let rows = gauntlet["rows"].as_array().unwrap();
    let first = rows[0]["cells"].as_array().unwrap().iter().map(|cell| cell["nemesis"].as_str().unwrap().to_owned());
    let mut table = vec![[String::new()].into_iter().chain(first).collect::<Vec<_>>()];
    for row in rows {
        let words = row["cells"].as_array().unwrap().iter().map(|cell| {
            let told = if cell["class"].is_null() { &cell["result"] } else { &cell["class"] };
            told.as_str().unwrap().to_owned()
        });
        table.push([row["subject"].as_str().unwrap().to_owned()].into_iter().chain(words).collect());
    }
    table
}

fn parsed(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", printed(output)))
}

#[test]
fn the_modes_give_the_table_of_the_semantics_cell_by_cell() {
    let output = paylab(&["gauntlet", "--payments", "60", "--output", "json", "--quiet"], "");
    let gauntlet = parsed(&output);
    assert_eq!(table(&gauntlet), TABLE.lines().map(cells).collect::<Vec<_>>());
    assert_eq!((output.status.code(), &gauntlet["asExpected"]), (Some(0), &json!(true)), "{}", printed(&output));
    assert!(!text(&output.stderr).contains(" of 88: "), "no cell is told with --quiet: {}", printed(&output));
    for row in gauntlet["rows"].as_array().unwrap() {
        for cell in row["cells"].as_array().unwrap() {
            let counted = ["exposures", "payments"].map(|field| cell[field].as_u64()).into_iter().flatten().next();
            assert!(counted.unwrap() > 0, "every cell was put to the test: {cell}");
            let bound = cell["bugRateBound"].as_f64();
            assert_eq!(bound.is_some(), cell["class"].is_null(), "{cell}");
        }
    }
}

#[test]
fn a_correct_service_of_a_users_holds_and_a_broken_one_is_found() {
    let gauntlet = |conduct, code| {
        let service = format!("http://{}", start(Shape::Stripe, conduct));
        let file = "examples/targets/stripe.yaml";
        let only = "lost-request,lost-answer,cut-at-once,half-answer,hedge,killed";
        let folder = tempfile::tempdir().unwrap();
        let small = folder.path().join("small.yaml");
        let options = ["--payments", "60", "--only", only, "--output", "json", "--quiet"];
        let target = ["gauntlet", file, "--target", &service, "--smallest", small.to_str().unwrap()];
        let output = paylab(&[&target[..], &options].concat(), "");
        assert_eq!(output.status.code(), Some(code), "{}", printed(&output));
        parsed(&output)
    };
    let correct = table(&gauntlet(Conduct::Correct, 0));
    assert_eq!(correct[1], ["stripe", "holds", "holds", "holds", "holds", "holds", "impossible"], "nobody can kill it");
    let broken = gauntlet(Conduct::Broken, 1);
    assert_eq!(table(&broken)[1][..3], ["stripe", "holds", "Duplicated"]);
    let smallest = &broken["smallest"];
    assert_eq!((&smallest["payments"], &smallest["shown"]), (&json!(1), &json!(10)), "{smallest}");
    let message = smallest["message"].as_str().unwrap();
    assert!(
        message.starts_with("Smallest run that shows the first: paylab run /") && message.contains(" --target http"),
        "{message}"
    );
}

#[test]
fn a_cell_is_reproduced_by_its_own_file() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("cells");
    let place = directory.to_str().unwrap();
    let output = paylab(&["gauntlet", "--payments", "50", "--only", "lost-answer", "--emit", place], "");
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert!(text(&output.stderr).contains("paylab wait --selector paylab.dev/gauntlet=modes"), "{}", printed(&output));
    let mut files: Vec<_> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!((files.len(), files[6].as_str()), (8, "replay-lost-answer.yaml"));
    let none = directory.join("none-lost-answer.yaml");
    let written = fs::read_to_string(&none).unwrap();
    assert!(
        written.contains("paylab.dev/gauntlet: modes") && written.contains("paylab.dev/nemesis: lost-answer"),
        "{written}"
    );
    let again = paylab(&["run", none.to_str().unwrap(), "--output", "json"], "");
    assert_eq!(again.status.code(), Some(0), "it expects what the table says: {}", printed(&again));
    let cell =
        parsed(&paylab(&["gauntlet", "--payments", "50", "--only", "lost-answer", "--output", "json", "--quiet"], ""));
    assert_eq!(parsed(&again)["payments"]["duplicated"], cell["rows"][0]["cells"][0]["payments"]);
}

#[test]
fn cells_that_kill_are_not_written_for_a_service_that_nobody_can_kill() {
    let folder = tempfile::tempdir().unwrap();
    let emitted = |name: &str, file: &str, more: &[&str], code: i32| {
        let directory = folder.path().join(name);
        let output = paylab(&[&["gauntlet", file, "--emit", directory.to_str().unwrap()], more].concat(), "");
        assert_eq!(output.status.code(), Some(code), "{}", printed(&output));
        let files = fs::read_dir(&directory).map_or(0, Iterator::count);
        (files, text(&output.stderr))
    };
    let (files, told) = emitted("url", "examples/targets/stripe.yaml", &[], 0);
    assert_eq!(files, 9, "{told}");
    assert!(
        told.contains("not written: stripe-killed, stripe-restarted: it kills the service, and nobody has"),
        "{told}"
    );
    let (files, told) = emitted("none", "examples/targets/stripe.yaml", &["--only", "killed"], 64);
    assert_eq!(files, 0, "{told}");
    assert!(told.contains("--emit: not written: stripe-killed: "), "{told}");
    // The operator can start an image again whose command it knows.
    let stripe = fs::read_to_string("../examples/targets/stripe.yaml").unwrap();
    let url = stripe.lines().find(|line| line.trim_start().starts_with("url:")).unwrap();
    for (image, expected) in [
        ("image: {image: registry.local/shop:1, port: 9000, command: [shop]}", 11),
        ("image: {image: registry.local/shop:1, port: 9000}", 9),
    ] {
        let file = folder.path().join(format!("{expected}.yaml"));
        fs::write(&file, stripe.replace(url, &format!("    {image}"))).unwrap();
        let (files, told) = emitted(&format!("image-{expected}"), file.to_str().unwrap(), &[], 0);
        assert_eq!((files, told.contains("say spec.target.image.command")), (expected, expected == 9), "{told}");
    }
    let (files, told) = emitted("ours", "examples/pay-exactly-once.yaml", &[], 0);
    assert_eq!((files, told.contains("not written")), (11, false), "{told}");
}

#[test]
fn the_table_for_people_names_the_columns_in_words_and_ends_with_the_conclusion() {
    let spec = "{claim: ExactlyOnce, seed: 42, payments: {count: 60}, client: {idempotencyKey: PerPayment}, service: {dedup: UniqueKey}}";
    let folder = tempfile::tempdir().unwrap();
    let small = folder.path().join("small.yaml");
    let place = small.to_str().unwrap();
    let options = ["gauntlet", "-", "--only", "lost-answer,other-amount", "--smallest", place];
    let output = paylab(&options, &experiment(spec));
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    let table = text(&output.stdout);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["lost", "answer", "other", "amount"]);
    assert!(lines[1].starts_with("test   holds ") && lines[1].contains("OTHER AMOUNT "), "{table}");
    assert!(lines.last().unwrap().starts_with("1 of 2 nemeses breaks ExactlyOnce."), "{table}");
    // A search whose time is over says so behind it.
    let smallest = format!("Smallest run that shows the first: paylab run {place} (1 payment, 2 attempts");
    assert!(lines.last().unwrap().contains(&smallest), "{table}");
    assert_eq!(paylab(&["run", place], "").status.code(), Some(1), "it is a test that fails until the bug is mended");
    assert!(table.contains("bug rate < ") && table.contains("VIOLATED ExactlyOnce"), "{table}");
    assert!(
        text(&output.stderr).contains("2 of 2: test-"),
        "each cell is told when it has ended: {}",
        printed(&output)
    );
}

#[test]
fn bad_input_is_refused_with_what_is_wrong_and_what_to_do() {
    let good = experiment("{claim: ExactlyOnce, payments: {count: 5}}");
    for (arguments, told) in [
        (&["gauntlet", "--only", "lost-anser"][..], "there are lost-request, lost-answer"),
        (&["gauntlet", "--target", "http://127.0.0.1:1"], "need a FILE"),
        (&["gauntlet", "/nowhere.yaml"], "there is no such file"),
        (&["gauntlet", "-", "--target", "http://127.0.0.1:1"], "spec.target"),
        (&["gauntlet", "-", "--payments", "0"], "--payments"),
        (&["gauntlet", "--database", "sqlite:ledger.db"], "use sqlite"),
        (&["gauntlet", "-", "--emit", "/proc/none"], "--emit"),
    ] {
        let output = paylab(arguments, &good);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", printed(&output));
        assert!(text(&output.stderr).contains(told), "{arguments:?}: {}", printed(&output));
    }
}

#[test]
fn no_file_of_the_user_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mine = experiment("{claim: ExactlyOnce, seed: 42, payments: {count: 5}}");
    let (file, hard) = (path("mine.yaml"), path("hard.yaml"));
    fs::write(&file, &mine).unwrap();
    fs::hard_link(&file, &hard).unwrap();
    let emitted = path("test-lost-answer.yaml");
    fs::write(&emitted, &mine).unwrap();
    let same =
        ["--smallest", &path("one"), "--report", &format!("{}/./one", folder.path().display())].map(str::to_owned);
    for (more, told) in [
        (&["--smallest".to_owned(), file.clone()][..], "--smallest: "),
        (&["--smallest".to_owned(), hard.clone()], "is read; name another"),
        (&["--report".to_owned(), hard.clone()], "is read; name another"),
        (&same, "is the file of --report too; name another"),
        (&["--smallest".to_owned(), path("none/x.yaml")], "--smallest: cannot write"),
        (&["--emit".to_owned(), folder.path().to_str().unwrap().to_owned()], "no gauntlet has written it"),
        (&["--until-bound".to_owned(), "1e-3".to_owned(), "--budget".to_owned(), "0s".to_owned()], "--budget: 0 s"),
    ] {
        let arguments = [&["gauntlet", &file][..], &more.iter().map(String::as_str).collect::<Vec<_>>()].concat();
        let output = paylab(&arguments, "");
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", printed(&output));
        assert!(text(&output.stderr).contains(told), "{arguments:?}: {}", printed(&output));
        for kept in [&file, &hard, &emitted] {
            assert_eq!(fs::read_to_string(kept).unwrap(), mine, "{arguments:?}: {kept}");
        }
    }
    fs::remove_file(&emitted).unwrap();
    for _ in 0..2 {
        let output = paylab(&["gauntlet", &file, "--emit", folder.path().to_str().unwrap()], "");
        assert_eq!(output.status.code(), Some(0), "what a gauntlet has written is written anew: {}", printed(&output));
    }
}

#[test]
fn every_form_shows_every_cell() {
    let folder = tempfile::tempdir().unwrap();
    let [page, junit, markdown] = ["page.html", "junit.xml", "table.md"].map(|name| folder.path().join(name));
    let spec = "{claim: ExactlyOnce, seed: 42, payments: {count: 40}, client: {idempotencyKey: PerPayment}, service: {dedup: UniqueKey}}";
    let files =
        [("--report", &page), ("--junit", &junit), ("--markdown", &markdown), ("--smallest", &folder.path().join("s"))]
            .map(|(option, file)| [option.to_owned(), file.to_str().unwrap().to_owned()]);
    let options: Vec<_> = files.iter().flatten().map(String::as_str).collect();
    let output = paylab(
        &[&["gauntlet", "-", "--only", "lost-answer,other-amount", "--quiet"], &options[..]].concat(),
        &experiment(spec),
    );
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    let [page, junit, markdown] = [page, junit, markdown].map(|file| fs::read_to_string(file).unwrap());
    for part in ["lost answer", "OTHER AMOUNT ", "1 of 2 nemeses breaks ExactlyOnce", "asks for another amount"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    for part in [r#"name="other-amount""#, r#"tests="2""#, r#"failures="1""#, "repeat it: paylab gauntlet"] {
        assert!(junit.contains(part), "{part}: {junit}");
    }
    for part in
        ["| | lost answer | other amount |", "✅ holds ", "❌ OTHER AMOUNT ", "**1 of 2 nemeses breaks ExactlyOnce."]
    {
        assert!(markdown.contains(part), "{part}: {markdown}");
    }
}
