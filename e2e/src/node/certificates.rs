//! The certificate authority of a node, the certificates that it issues, and the kubeconfig files that refer to them.
//! It must not know what a user may do: roles decide that.

use std::{fmt::Write as _, fs, net::SocketAddr, path::PathBuf, process::Command};

use anyhow::{Context as _, ensure};

use super::bootstrap::API_SERVER_PORT;
use crate::host::slot::Slot;

/// Has no defaults: a certificate contains only what is asked for.
const CONFIGURATION: &str = "[req]\ndistinguished_name = subject\n[subject]\n";
/// No node runs for longer.
const DAYS: &str = "30";

/// The owner of a certificate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) user: &'a str,
    pub(crate) groups: &'a [&'a str],
    /// The names of a server: `DNS:name` or `IP:address`.
    pub(crate) alternative_names: &'a [&'a str],
}

/// Creates the authority `ca.crt`, and the key pair that signs the tokens of service accounts: `sa.key`, `sa.pub`.
pub(crate) fn create_authority(slot: &Slot) -> anyhow::Result<()> {
    fs::write(slot.path("openssl.cnf"), CONFIGURATION)?;
    let (key, certificate) = (slot.path_text("ca.key"), slot.path_text("ca.crt"));
    let own = ["-keyout", &key, "-out", &certificate, "-subj", "/CN=paylab-e2e"];
    create(slot, &own, &["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"])?;
    let (key, public) = (slot.path_text("sa.key"), slot.path_text("sa.pub"));
    openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key])?;
    openssl(&["pkey", "-in", &key, "-pubout", "-out", &public])
}

/// Issues `FILE.crt` with its `FILE.key`.
pub(crate) fn issue(slot: &Slot, file: &str, subject: &Subject<'_>) -> anyhow::Result<()> {
    let Subject { user, groups, alternative_names } = *subject;
    let mut name = format!("/CN={user}");
    for group in groups {
        write!(name, "/O={group}")?;
    }
    let (key, certificate) = (slot.path_text(&format!("{file}.key")), slot.path_text(&format!("{file}.crt")));
    let (authority_key, authority) = (slot.path_text("ca.key"), slot.path_text("ca.crt"));
    let arguments =
        ["-CA", &authority, "-CAkey", &authority_key, "-keyout", &key, "-out", &certificate, "-subj", &name];
    let mut extensions = vec!["extendedKeyUsage=clientAuth,serverAuth".to_owned()];
    if !alternative_names.is_empty() {
        extensions.push(format!("subjectAltName={}", alternative_names.join(",")));
    }
    let extensions: Vec<_> = extensions.iter().map(String::as_str).collect();
    create(slot, &arguments, &extensions)
}

/// Writes `FILE.kubeconfig`, which uses `FILE.crt` and `FILE.key`.
pub(crate) fn write_kubeconfig(slot: &Slot, file: &str) -> anyhow::Result<PathBuf> {
    let path = slot.path(&format!("{file}.kubeconfig"));
    let directory = slot.directory().display();
    let text = format!(
        "apiVersion: v1
kind: Config
clusters:
- name: node
  cluster: {{server: 'https://{}', certificate-authority: '{directory}/ca.crt'}}
users:
- name: user
  user: {{client-certificate: '{directory}/{file}.crt', client-key: '{directory}/{file}.key'}}
contexts:
- name: node
  context: {{cluster: node, user: user}}
current-context: node
",
        SocketAddr::from((slot.address(), API_SERVER_PORT))
    );
    fs::write(&path, text)?;
    Ok(path)
}

/// Creates a key and a certificate.
fn create(slot: &Slot, arguments: &[&str], extensions: &[&str]) -> anyhow::Result<()> {
    let configuration = slot.path_text("openssl.cnf");
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
