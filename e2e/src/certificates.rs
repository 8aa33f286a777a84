//! Who is who on a node: one authority, the certificates that it issues, and the files that hand them to a client.
//! It must not know what a client may do: roles say that.

use std::{fmt::Write as _, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, ensure};

use crate::place::Place;

/// Nothing is in a certificate but what is asked for.
const CONFIGURATION: &str = "[req]\ndistinguished_name = subject\n[subject]\n";
/// No node is up for longer.
const DAYS: &str = "30";

/// Who a certificate is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) user: &'a str,
    pub(crate) groups: &'a [&'a str],
    /// As which servers it may answer: `DNS:name` or `IP:address`.
    pub(crate) answers_as: &'a [&'a str],
}

/// Makes the authority: `ca.crt`, and the pair that signs service accounts: `sa.key`, `sa.pub`.
pub(crate) fn authority(place: &Place) -> anyhow::Result<()> {
    fs::write(place.path("openssl.cnf"), CONFIGURATION)?;
    let (key, certificate) = (place.text("ca.key"), place.text("ca.crt"));
    let own = ["-keyout", &key, "-out", &certificate, "-subj", "/CN=paylab-e2e"];
    request(place, &own, &["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"])?;
    let (key, public) = (place.text("sa.key"), place.text("sa.pub"));
    openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key])?;
    openssl(&["pkey", "-in", &key, "-pubout", "-out", &public])
}

/// Issues `FILE.crt` with its `FILE.key`.
pub(crate) fn issue(place: &Place, file: &str, subject: &Subject<'_>) -> anyhow::Result<()> {
    let Subject { user, groups, answers_as } = *subject;
    let mut name = format!("/CN={user}");
    for group in groups {
        write!(name, "/O={group}")?;
    }
    let (key, certificate) = (place.text(&format!("{file}.key")), place.text(&format!("{file}.crt")));
    let (signing, signer) = (place.text("ca.key"), place.text("ca.crt"));
    let arguments = ["-CA", &signer, "-CAkey", &signing, "-keyout", &key, "-out", &certificate, "-subj", &name];
    let mut extensions = vec!["extendedKeyUsage=clientAuth,serverAuth".to_owned()];
    if !answers_as.is_empty() {
        extensions.push(format!("subjectAltName={}", answers_as.join(",")));
    }
    let extensions: Vec<_> = extensions.iter().map(String::as_str).collect();
    request(place, &arguments, &extensions)
}

/// Writes `FILE.kubeconfig`, for the holder of `FILE.crt`.
pub(crate) fn kubeconfig(place: &Place, file: &str) -> anyhow::Result<PathBuf> {
    let path = place.path(&format!("{file}.kubeconfig"));
    let directory = place.directory().display();
    let text = format!(
        "apiVersion: v1
kind: Config
clusters:
- name: node
  cluster: {{server: 'https://{}:6443', certificate-authority: '{directory}/ca.crt'}}
users:
- name: user
  user: {{client-certificate: '{directory}/{file}.crt', client-key: '{directory}/{file}.key'}}
contexts:
- name: node
  context: {{cluster: node, user: user}}
current-context: node
",
        place.address()
    );
    fs::write(&path, text)?;
    Ok(path)
}

fn request(place: &Place, arguments: &[&str], extensions: &[&str]) -> anyhow::Result<()> {
    let configuration = place.text("openssl.cnf");
    let mut all = vec!["req", "-x509", "-new", "-nodes", "-sha256", "-days", DAYS, "-config", &configuration];
    all.extend(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    all.extend(arguments);
    for extension in extensions {
        all.extend(["-addext", extension]);
    }
    openssl(&all)
}

fn openssl(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("openssl").args(arguments).output().context("cannot run openssl")?;
    ensure!(output.status.success(), "openssl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    Ok(())
}
