//! A database URL is a secret: whatever is wrong with it, nothing that is printed shows a part of it.

use std::process::{Command, Stdio};

use paylab_testbed::{Durability, postgres};

/// URLs that cannot be used, each with the parts that must not be seen.
const WRONG: [(&str, &[&str]); 24] = [
    ("jdbc:postgresql://planta:plantb@plantc.example/plantd", &["plant"]),
    ("jdbc:postgresql://plantc.example/plantd?user=planta&password=plantb", &["plant"]),
    (" postgres://planta:plantb@127.0.0.1:1/plantd", &["plant", "127.0.0.1"]),
    ("\npostgres://planta:plantb@127.0.0.1:1/plantd", &["plant", "127.0.0.1"]),
    ("\"postgres://planta:plantb@127.0.0.1:1/plantd\"", &["plant", "127.0.0.1"]),
    ("Postgres://planta:plantb@127.0.0.1:1/plantd", &["plant", "127.0.0.1"]),
    ("planta:plantb@plantc/plantd", &["plant"]),
    ("plant-token", &["plant"]),
    ("-plant-token", &["plant"]),
    ("--plant-token=plantb", &["plant"]),
    ("plant_live:token", &["plant", "token"]),
    ("https://plantc.example/?plantb", &["plant"]),
    ("mysql://planta:plantb@plantc/plantd", &["plant"]),
    ("postgres://planta:plant#b@127.0.0.1:1/plantd", &["plant", "127.0.0.1"]),
    ("postgres://planta:plant/b@127.0.0.1:1/plantd", &["plant", "127.0.0.1"]),
    ("postgres://planta:plant?b@127.0.0.1:1/plantd", &["plant", "127.0.0.1"]),
    ("postgres://planta:plant b@127.0.0.1:1/plantd", &["plant", "127.0.0.1"]),
    ("postgres://planta:%zzplant%ff@127.0.0.1:1/plantd", &["plant", "zz"]),
    ("postgres://planta:plantb@127.0.0.1:plantport/plantd", &["plant"]),
    ("postgres://planta:plantb@127.0.0.1:1/plantd?pasword=plante", &["plant", "pasword"]),
    ("postgres://127.0.0.1:1/plantd?user=planta&password=plantb", &["plant"]),
    ("postgres://127.0.0.1:1/plantd?sslmode=plante", &["plant"]),
    ("postgres://127.0.0.1:1/plantd?sslmode=require&sslrootcert=/plant/e.pem", &["plant"]),
    ("sqlite:/plant/no/such/directory/plantd.db?mode=plante", &["plant"]),
];

/// Everything that a command line prints before it gives up.
fn printed(arguments: &[&str], variable: Option<&str>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_paylab"));
    command.args(arguments).env_remove("PAYLAB_DATABASE").stdin(Stdio::null());
    if let Some(value) = variable {
        command.env("PAYLAB_DATABASE", value);
    }
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{arguments:?} {variable:?}");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn check(printed: &str, url: &str, hidden: &[&str], told: &[&str]) {
    for part in hidden {
        assert!(!printed.to_lowercase().contains(part), "{url:?} is shown:\n{printed}");
    }
    for part in told {
        assert!(printed.contains(part), "{url:?} is refused without {part:?}:\n{printed}");
    }
}

const SERVICE: [&str; 5] = ["payment-service", "--listen", "127.0.0.1:0", "--log", "trace"];

#[test]
fn a_service_that_cannot_use_its_database_url_does_not_show_it() {
    for (url, hidden) in WRONG {
        let option = [&SERVICE[..], &["--database", url]].concat();
        check(&printed(&option, None), url, hidden, &["--database"]);
        check(&printed(&SERVICE, Some(url)), url, hidden, &["PAYLAB_DATABASE"]);
        let joined = format!("--database={url}");
        check(&printed(&[&SERVICE[..], &[&joined]].concat(), None), url, hidden, &["--database"]);
    }
}

#[test]
fn a_database_url_of_a_run_is_not_shown_either() {
    for (url, hidden) in WRONG.into_iter().filter(|(url, _)| !url.starts_with("sqlite:")) {
        check(
            &printed(&["run", "../examples/pay-exactly-once.yaml", "--database", url], None),
            url,
            hidden,
            &["--database"],
        );
        check(&printed(&["serve", "--port", "0", "--database", url], None), url, hidden, &["--database"]);
    }
}

#[test]
fn the_refusal_of_a_server_is_reported_without_its_own_text() {
    let Some(server) = postgres(Durability::Fast) else { return };
    let (_, address) = server.url().split_once('@').unwrap();
    let (host, _) = address.split_once('/').unwrap();
    for (url, told) in [
        (format!("postgres://planta:plantb@{host}/plantd"), "refused the user"),
        (format!("postgres://postgres:plantb@{host}/plantd"), "no database of this name"),
        (format!("postgres://postgres@{host}/postgres?options[plantb.x]=plantd&options=-c%20plante=1"), "planted"),
    ] {
        let text = printed(&[&SERVICE[..], &["--database", &url]].concat(), None);
        let told = if told == "planted" { "code 42704" } else { told };
        check(&text, &url, &["plant"], &[told]);
    }
}

#[test]
fn a_stray_argument_that_may_be_a_url_is_not_shown() {
    let url = "postgres://planta:plantb@plantc/plantd";
    let equals = format!("--databse={url}");
    for arguments in [
        &["payment-service", url][..],
        &["payment-service", "--databse", url],
        &["payment-service", &equals],
        &["payment-service", "--database", "postgres://planta:plantb", "plantx@plantc/plantd"],
        &["payment-service", "--database", url, "--database", url],
        &["payment-service", "--dedup", url],
        &["payment-service", "--schema", "x", "--listen", url],
        &["run", "x.yaml", url],
        &[url],
    ] {
        check(&printed(arguments, None), "", &["plant"], &[]);
    }
}

#[test]
fn the_help_does_not_show_the_variables_value() {
    let mut help = Command::new(env!("CARGO_BIN_EXE_paylab"));
    let help =
        help.args(["payment-service", "--help"]).env("PAYLAB_DATABASE", "postgres://planta:plantb@plantc/plantd");
    let output = String::from_utf8(help.output().unwrap().stdout).unwrap();
    assert!(output.contains("PAYLAB_DATABASE") && !output.contains("plant"), "{output}");
}

#[test]
fn a_kubeconfig_that_is_not_valid_is_told_without_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    for text in ["token: [planta", "users:\n- name: a\n  user:\n    token: \"planta\n", "users: planta"] {
        std::fs::write(&kubeconfig, text).unwrap();
        for arguments in
            [["wait", "lesson"].as_slice(), &["report", "--from", "lesson"], &["operator", "--image", "p:1"]]
        {
            let output =
                Command::new(env!("CARGO_BIN_EXE_paylab")).args(arguments).env("KUBECONFIG", &kubeconfig).output();
            let output = output.unwrap();
            assert_eq!(output.status.code(), Some(70), "{arguments:?}");
            let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            check(&printed, text, &["planta"], &["the kubeconfig is not valid YAML"]);
        }
    }
}
