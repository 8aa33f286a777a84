//! Flux's own controllers, which run on this machine, and artifacts that this process serves them in the place of Flux's source-controller.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::ensure;
use paylab_e2e::{Node, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{admission::await_established, experiments::COMPLETED_WITHIN, namespace::Namespace};

const CONTROLLERS: [&str; 2] = ["helm-controller", "kustomize-controller"];
/// They listen nowhere, read artifacts of others than source-controller, and look at dependencies often.
const FLAGS: [&str; 4] =
    ["--metrics-addr=0", "--health-addr=0", "--feature-gates=ExternalArtifact=true", "--requeue-dependency=1s"];
/// The name of the annotation that asks a controller to look at an object again.
const AGAIN: &str = "reconcile.fluxcd.io/requestedAt";
/// A client that says nothing is not waited for longer.
const ASKED_WITHIN: Duration = Duration::from_secs(5);

/// The controllers, which end when this is dropped.
pub(crate) struct Flux {
    controllers: Vec<Child>,
    /// What is served.
    folder: TempDir,
    server: SocketAddr,
}

impl Flux {
    /// Defines Flux's resources on a node and starts the controllers.
    pub(crate) fn start(node: &Node) -> Self {
        let programs = node.gitops_programs().unwrap();
        let definitions = programs.join("crds");
        let definitions = definitions.to_str().unwrap();
        node.kubectl(&["apply", "--server-side", "--filename", definitions]).unwrap();
        await_established(node, &["--filename", definitions]);
        let folder = tempfile::tempdir().unwrap();
        let controllers = CONTROLLERS.map(|name| {
            let log = File::create(node.directory().join(format!("{name}.log"))).unwrap();
            let mut command = node.command(&programs.join(name), &FLAGS);
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
        });
        let server = serve(folder.path());
        Self { controllers: controllers.into(), folder, server }
    }

    /// Publishes a revision of a chart.
    pub(crate) fn publish_chart(&self, node: &Node, ns: &Namespace<'_>, chart: &Path, name: &str) {
        let packages = tempfile::tempdir_in(self.folder.path()).unwrap();
        node.helm(&["package", chart.to_str().unwrap(), "--destination", packages.path().to_str().unwrap()]).unwrap();
        let package = fs::read_dir(packages.path()).unwrap().next().unwrap().unwrap().path();
        let file = format!("{name}.tgz");
        fs::rename(package, self.folder.path().join(&file)).unwrap();
        self.publish(ns, name, "0.1.0", &file);
    }

    /// Publishes a revision of files, each with its path.
    pub(crate) fn publish_files(&self, ns: &Namespace<'_>, name: &str, revision: &str, files: &[(&str, String)]) {
        let tree = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let file = format!("{name}-{revision}.tar.gz");
        let mut tar = Command::new("tar");
        tar.arg("--create").arg("--gzip").arg("--file").arg(self.folder.path().join(&file));
        assert!(tar.arg("--directory").arg(tree.path()).arg(".").status().unwrap().success());
        self.publish(ns, name, revision, &file);
    }

    /// Writes what source-controller writes when it has stored an artifact.
    fn publish(&self, ns: &Namespace<'_>, name: &str, revision: &str, file: &str) {
        let summed = Command::new("sha256sum").arg(self.folder.path().join(file)).output().unwrap();
        let sum = String::from_utf8(summed.stdout).unwrap();
        let digest = format!("sha256:{}", sum.split_once(' ').unwrap().0);
        ns.apply(&format!(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: ExternalArtifact\nmetadata: {{name: {name}}}\nspec: {{}}\n"
        ));
        let artifact = json!({
            "digest": digest,
            "lastUpdateTime": "2026-01-01T00:00:00Z",
            "path": file,
            "revision": format!("{revision}@{digest}"),
            "url": format!("http://{}/{file}", self.server),
        });
        let status = json!({"status": {"artifact": artifact}}).to_string();
        ns.kubectl(&["patch", "externalartifact", name, "--subresource=status", "--type=merge", "--patch", &status]);
    }
}

impl Drop for Flux {
    fn drop(&mut self) {
        for controller in &mut self.controllers {
            // The child is `timeout`, which passes the signal on.
            let pid = i32::try_from(controller.id()).ok().and_then(Pid::from_raw);
            let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
            let _ = controller.wait();
        }
    }
}

impl Namespace<'_> {
    /// Waits until an object of Flux, `KIND/NAME`, has a condition `Ready` that fulfils a condition, and returns its status.
    pub(crate) fn flux_when(&self, object: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let result = eventually(object, COMPLETED_WITHIN, || {
            // Another controller may not have created it yet.
            let status = self.try_flux_status(object)?;
            ensure!(condition(&ready(&status)), "{status:#}");
            Ok(status)
        });
        result.unwrap_or_else(|error| panic!("{error:#}\n{}", self.kubectl(&["get", "payx,pods,events"])))
    }

    /// The present status of an object of Flux.
    pub(crate) fn flux_status(&self, object: &str) -> Value {
        self.try_flux_status(object).unwrap()
    }

    fn try_flux_status(&self, object: &str) -> anyhow::Result<Value> {
        let (kind, name) = object.split_once('/').unwrap();
        let (api, plural) = match kind {
            "helmrelease" => ("apis/helm.toolkit.fluxcd.io/v2", "helmreleases"),
            "kustomization" => ("apis/kustomize.toolkit.fluxcd.io/v1", "kustomizations"),
            other => panic!("{other} is no kind of Flux that the tests know"),
        };
        Ok(self.read(api, &format!("{plural}/{name}"))?["status"].take())
    }

    /// Asks the controller of an object of Flux to look at it again, and waits until it has done so.
    pub(crate) fn flux_again(&self, object: &str, token: &str) -> Value {
        self.kubectl(&["annotate", "--overwrite", object, &format!("{AGAIN}={token}")]);
        let result = eventually(object, COMPLETED_WITHIN, || {
            let status = self.flux_status(object);
            ensure!(status["lastHandledReconcileAt"] == token && ready(&status)["status"] != "Unknown", "{status:#}");
            Ok(status)
        });
        result.unwrap_or_else(|error| panic!("{error:#}"))
    }
}

/// The condition `Ready` of a status.
pub(crate) fn ready(status: &Value) -> Value {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().find(|one| one["type"] == "Ready").cloned().unwrap_or_default()
}

/// Serves the files of a folder until this process ends.
fn serve(folder: &Path) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (address, folder) = (listener.local_addr().unwrap(), folder.to_owned());
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client that goes away asks again.
            let _ = answer(&client, &folder);
        }
    });
    address
}

fn answer(mut client: &TcpStream, folder: &Path) -> io::Result<()> {
    client.set_read_timeout(Some(ASKED_WITHIN))?;
    let mut lines = BufReader::new(client).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let file = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    let (status, content) = fs::read(folder.join(file)).map_or(("404 Not Found", Vec::new()), |file| ("200 OK", file));
    write!(client, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len())?;
    client.write_all(&content)
}
