//! Where a node lives: a number, and all names and addresses that follow from it, so that several nodes are up at once.
//! It must not know what runs there.

use std::{
    env,
    fs::{self, File, OpenOptions, TryLockError},
    net::Ipv4Addr,
    path::{self, Path, PathBuf},
};

use anyhow::{Context as _, bail};

/// As many nodes are up at once; more would need further subnets.
const PLACES: u8 = 16;
/// Where locks are, for all users of the machine: the addresses are the machine's too.
const LOCKS: &str = "/run/paylab-e2e";
/// Names the folder of the nodes' folders.
const DIRECTORY_ENV: &str = "PAYLAB_E2E_DIR";
const DIRECTORY: &str = "/tmp/paylab-e2e";

/// A node's place on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    number: u8,
    directory: PathBuf,
}

/// Keeps others out of a place while it, or a process that inherited it, lives.
#[derive(Debug)]
pub(crate) struct Claim(pub(crate) File);

impl Place {
    /// All places, taken or not.
    pub(crate) fn all() -> anyhow::Result<impl Iterator<Item = Self>> {
        let root = path::absolute(env::var_os(DIRECTORY_ENV).unwrap_or_else(|| DIRECTORY.into()))?;
        Ok((0..PLACES).map(move |number| Self { number, directory: root.join(number.to_string()) }))
    }

    /// The first one that nobody has.
    pub(crate) fn claim() -> anyhow::Result<(Self, Claim)> {
        for place in Self::all()? {
            if let Some(claim) = place.try_claim()? {
                return Ok((place, claim));
            }
        }
        bail!("all {PLACES} places for nodes are taken: see {LOCKS}")
    }

    /// `None` when somebody has it.
    pub(crate) fn try_claim(&self) -> anyhow::Result<Option<Claim>> {
        let path = Path::new(LOCKS).join(self.number.to_string());
        let open = || {
            fs::create_dir_all(LOCKS)?;
            OpenOptions::new().create(true).append(true).open(&path)
        };
        let file = open().with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Claim(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }

    /// The name of the node, its network namespace, its link and its control group.
    pub(crate) fn name(&self) -> String {
        format!("paylab-{}", self.number)
    }

    /// The first three numbers of the node's network: the node is 1, this machine is 254.
    pub(crate) fn prefix(&self) -> String {
        format!("10.200.{}", self.number)
    }

    pub(crate) fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 200, self.number, 1)
    }

    /// This machine, as the node and its pods reach it.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 200, self.number, 254)
    }

    pub(crate) fn services(&self) -> String {
        format!("10.{}.0.0/16", 96 + self.number)
    }

    /// The Service `kubernetes`.
    pub(crate) fn service_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 96 + self.number, 0, 1)
    }

    pub(crate) fn pods(&self) -> String {
        format!("10.244.{}.0/24", self.number)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// For configurations, which are text.
    pub(crate) fn text(&self, file: &str) -> String {
        self.path(file).display().to_string()
    }
}
