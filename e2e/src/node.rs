//! A node: brings it up, hands out its clients, and takes it down.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;

use crate::{
    audit::Audit,
    certificates::{self, Subject},
    client::{self, Clients},
    keeper::{self, Keeper},
    part::{Part, Running},
    place::{Claim, Place},
    programs::Programs,
    settings,
    start::{self, ADMIN, API_SERVER_PORT, Start},
};

/// For a process whose namespaces have gone.
const REAPED_WITHIN: Duration = Duration::from_secs(10);

/// How much of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Objects are admitted, stored and controlled, but no pod runs: whoever wants one to must play the kubelet.
    ApiServer,
    /// Pods run, have logs, and find Services by name.
    Full,
}

/// A node that is up. It goes down when it is dropped, and when its process dies.
#[derive(Debug)]
pub struct Node {
    place: Place,
    clients: Clients,
    parts: Vec<Running>,
    keeper: Keeper,
    /// Given back last.
    _claim: Claim,
}

/// Takes down the node of this name, which another process has up.
///
/// # Errors
/// There is none, or something of it is still there after a bound.
pub fn end(name: &str) -> anyhow::Result<()> {
    let place = Place::all()?.find(|place| place.name() == name);
    keeper::end(&place.with_context(|| format!("no node is called {name}"))?)
}

impl Node {
    /// Brings a node up and waits until it is ready.
    ///
    /// # Errors
    /// Something is missing on this machine, or a part does not get ready: the error has the end of its log.
    pub fn up(tier: Tier) -> anyhow::Result<Self> {
        let programs = Programs::find()?;
        let (place, claim) = Place::claim()?;
        clean(&place)?;
        let mut keeper = Keeper::start(&place, &claim)?;
        settings::write(&place)?;
        start::certify(&place)?;
        let clients = Clients {
            home: place.path("home"),
            kubeconfig: place.path(&format!("{ADMIN}.kubeconfig")),
            containerd: place.path("containerd.sock"),
            kubectl: programs.kubectl.clone(),
            helm: programs.helm.clone(),
        };
        let init = keeper.ready(&place)?;
        let start = Start { place: &place, programs: &programs, clients: &clients, init };
        let parts = match tier {
            Tier::ApiServer => start.control()?,
            Tier::Full => start.all()?,
        };
        Ok(Self { place, clients, parts, keeper, _claim: claim })
    }

    /// Ends all that runs on it, and removes all but its logs.
    ///
    /// # Errors
    /// Something is still there after a bound.
    pub fn down(mut self) -> anyhow::Result<()> {
        self.keeper.stop()?;
        self.parts.iter_mut().try_for_each(|part| part.reap(REAPED_WITHIN))
    }

    /// Waits until it goes down by itself, or by [`end`].
    ///
    /// # Errors
    /// The wait itself fails.
    pub fn wait(&mut self) -> anyhow::Result<()> {
        self.keeper.wait()
    }

    /// The name of its object.
    #[must_use]
    pub fn name(&self) -> String {
        self.place.name()
    }

    /// The API server, as it is reached from this machine and from pods.
    #[must_use]
    pub fn server(&self) -> SocketAddr {
        SocketAddr::from((self.place.address(), API_SERVER_PORT))
    }

    /// This machine, as its pods reach it.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        self.place.gateway()
    }

    /// The program that its administrator asks it with.
    #[must_use]
    pub fn kubectl_program(&self) -> &Path {
        &self.clients.kubectl
    }

    /// The program that its administrator installs charts with.
    #[must_use]
    pub fn helm_program(&self) -> &Path {
        &self.clients.helm
    }

    /// Where its files are; logs stay when it is down.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.place.directory()
    }

    /// The log of one of its parts.
    #[must_use]
    pub fn log(&self, part: Part) -> PathBuf {
        part.log(&self.place)
    }

    /// Of an administrator, for any client on this machine.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.clients.kubeconfig
    }

    /// Of another user with a certificate of its own: it may do what roles allow this user and these groups.
    ///
    /// # Errors
    /// The certificate cannot be made.
    pub fn kubeconfig_of(&self, user: &str, groups: &[&str]) -> anyhow::Result<PathBuf> {
        let file = format!("user-{}", user.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-"));
        certificates::issue(&self.place, &file, &Subject { user, groups, answers_as: &[] })?;
        certificates::kubeconfig(&self.place, &file)
    }

    /// What kubectl writes, run as the administrator.
    ///
    /// # Errors
    /// It fails, or takes more than five minutes: with what it writes to standard error.
    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        client::run(self.clients.kubectl(arguments), "")
    }

    /// Applies documents.
    ///
    /// # Errors
    /// As [`Self::kubectl`].
    pub fn apply(&self, documents: &str) -> anyhow::Result<String> {
        client::run(self.clients.kubectl(&["apply", "--filename=-"]), documents)
    }

    /// Applies documents that name no namespace, in one.
    ///
    /// # Errors
    /// As [`Self::kubectl`].
    pub fn apply_in(&self, namespace: &str, documents: &str) -> anyhow::Result<String> {
        client::run(self.clients.kubectl(&["apply", "--filename=-", "--namespace", namespace]), documents)
    }

    /// For whoever wants to hold it while it runs, as with port-forward: it is killed after five minutes.
    #[must_use]
    pub fn kubectl_command(&self, arguments: &[&str]) -> Command {
        self.clients.kubectl(arguments)
    }

    /// What helm writes, run as the administrator.
    ///
    /// # Errors
    /// As [`Self::kubectl`].
    pub fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        client::run(self.clients.helm(arguments), "")
    }

    /// Gives the node an image, as `image/build` writes it: its pods need no registry.
    ///
    /// # Errors
    /// containerd refuses it, or is not there.
    pub fn import_image(&self, archive: &Path) -> anyhow::Result<()> {
        client::run(self.clients.import_image(archive), "").map(drop)
    }

    /// The requests to the API server from now on.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn audit(&self) -> anyhow::Result<Audit> {
        self.audit_from_start().since_now()
    }

    /// The requests to the API server since it is up, also those that brought the node up.
    #[must_use]
    pub fn audit_from_start(&self) -> Audit {
        Audit::new(&self.place.path("audit.log"))
    }
}

/// Removes the logs of the last node that was there.
fn clean(place: &Place) -> anyhow::Result<()> {
    let directory = place.directory();
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))
}
