//! The README runs as written: its commands exit with 0, and what it shows is what they print.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// The fenced blocks of a kind.
fn blocks(readme: &str, kind: &str) -> Vec<String> {
    let fence = format!("```{kind}\n");
    readme.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Runs one of the README's commands with the binary under test in the place of `cargo run`.
fn run(command: &str) -> String {
    let line = command.replacen("cargo run --release --", env!("CARGO_BIN_EXE_paylab"), 1);
    let output = Command::new("sh").args(["-c", &line]).current_dir(root()).output().unwrap();
    // A gauntlet that finds a bug says so with its exit code, too.
    let expected = if command.contains(" gauntlet ") { 1 } else { 0 };
    assert_eq!(output.status.code(), Some(expected), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A report without its duration, which differs from run to run.
fn without_time(report: &str) -> String {
    let lines = report.lines().map(|line| match line.split_once(" s on ") {
        Some((_, rest)) => format!("  TIME s on {rest}"),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

#[test]
fn its_commands_run_and_print_what_it_shows() {
    let readme = readme();
    let commands: Vec<_> =
        blocks(&readme, "sh").iter().flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let runs: Vec<_> = commands.iter().filter(|command| command.starts_with("cargo run")).collect();
    assert!(runs.len() >= 6 && commands.iter().any(|command| command.starts_with("cargo test")), "{commands:?}");
    let shown = blocks(&readme, "text");
    let printed: Vec<_> = runs.iter().map(|command| without_time(&run(command))).collect();
    assert_eq!(printed[0], without_time(&shown[0]), "the report of the first command");
    let of = |part: &str| &printed[runs.iter().position(|command| command.contains(part)).unwrap()];
    assert_eq!(*of(" explain "), without_time(&shown[1]), "the diagram of explain");
    assert!(of(" check ").ends_with("a payment that is made twice is found twice."), "{}", of(" check "));
    assert!(of(" gauntlet ").contains("TWICE"), "{}", of(" gauntlet "));
    // It leaves the smallest run in the working directory, which is this project here.
    fs::remove_file(root().join("shop-cut-at-once.yaml")).unwrap();
    // How many depends on which of two requests is faster.
    let shop = of("run examples/targets/shop.yaml");
    assert!(
        shop.contains("VIOLATED ExactlyOnce") && shop.contains("of 200 payments were booked more than once"),
        "{shop}"
    );
}

#[test]
fn it_names_every_example() {
    let readme = readme();
    let examples = fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().file_name());
    let files = examples.map(|name| name.into_string().unwrap()).filter(|name| name.ends_with(".yaml"));
    let missing: Vec<_> = files.filter(|name| !readme.contains(&format!("(examples/{name})"))).collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn its_experiment_is_one_that_can_be_run() {
    let yaml = &blocks(&readme(), "yaml")[0];
    assert!(paylab_resource::file::parse(yaml, 0).is_ok());
}

/// A process that is killed when this is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn its_lesson_by_hand_books_what_it_says() {
    let block = &blocks(&readme(), "bash")[0];
    let (first, script) = block.split_once('\n').unwrap();
    let arguments = first.strip_prefix("cargo run --release -- ").unwrap().strip_suffix(" &").unwrap().split(' ');
    let mut server = Command::new(env!("CARGO_BIN_EXE_paylab"))
        .args(arguments)
        .args(["--service-port", "0", "--proxy-port", "0", "--port", "0", "--page-port", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map(Server)
        .unwrap();
    let told: Vec<String> =
        BufReader::new(server.0.stdout.take().unwrap()).lines().take(3).map(Result::unwrap).collect();
    let mut script = script.to_owned();
    for (place, line) in ["localhost:8080", "localhost:8888", "localhost:8474"].iter().zip(&told) {
        let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap();
        script = script.replace(place, address);
    }
    let output = Command::new("bash").args(["-euo", "pipefail", "-c", &script]).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    let said: Vec<_> = script.lines().filter_map(|line| line.strip_prefix("curl")?.split_once("    # ")).collect();
    let expected: String = said.iter().map(|(_, total)| *total).collect();
    assert_eq!(printed.rsplit('}').next(), Some(expected.as_str()));
}
