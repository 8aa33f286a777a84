//! A slot for a node on this machine: a number, and all names and addresses that follow from it, so that several nodes can run
//! at once. It must not know what runs in it.

use std::{
    env,
    fs::{self, File, OpenOptions, TryLockError},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{self, Path, PathBuf},
};

use anyhow::{Context as _, bail};

/// This many nodes can run at once; more would need further subnets.
const SLOTS: u8 = 16;
/// The folder of the lock files. It is fixed, because the slots' addresses are shared by all users of the machine.
const LOCKS: &str = "/run/paylab-e2e";
/// The environment variable with the folder that holds one folder for each slot.
const DIRECTORY_ENV: &str = "PAYLAB_E2E_DIR";
const DIRECTORY: &str = "/tmp/paylab-e2e";

/// The family of all addresses of a node's network, its pods and its Services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// The number of a node, and the folder for its files.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    number: u8,
    directory: PathBuf,
    family: Family,
}

/// Locks a slot until it is dropped, and every process that inherited the file has ended.
#[derive(Debug)]
pub(crate) struct SlotLock(pub(crate) File);

impl Slot {
    /// All slots, locked or not, for nodes of this family.
    pub(crate) fn all(family: Family) -> anyhow::Result<impl Iterator<Item = Self>> {
        let root = path::absolute(env::var_os(DIRECTORY_ENV).unwrap_or_else(|| DIRECTORY.into()))?;
        Ok((0..SLOTS).map(move |number| Self { number, directory: root.join(number.to_string()), family }))
    }

    /// Locks the first free slot.
    pub(crate) fn acquire(family: Family) -> anyhow::Result<(Self, SlotLock)> {
        for slot in Self::all(family)? {
            if let Some(lock) = slot.try_lock()? {
                return Ok((slot, lock));
            }
        }
        bail!("all {SLOTS} slots for nodes are in use: see {LOCKS}")
    }

    /// `None` when another process has locked it.
    pub(crate) fn try_lock(&self) -> anyhow::Result<Option<SlotLock>> {
        let path = Path::new(LOCKS).join(self.number.to_string());
        let open = || {
            fs::create_dir_all(LOCKS)?;
            OpenOptions::new().create(true).append(true).open(&path)
        };
        let file = open().with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(SlotLock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }

    /// The name of the node, its network namespace, its veth interface and its control group.
    pub(crate) fn name(&self) -> String {
        format!("paylab-{}", self.number)
    }

    /// Every address of the node's family, for servers.
    pub(crate) fn everywhere(&self) -> IpAddr {
        match self.family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// The node's address.
    pub(crate) fn address(&self) -> IpAddr {
        self.host(200, 1)
    }

    /// This machine's address in the node's network.
    pub(crate) fn gateway(&self) -> IpAddr {
        self.host(200, 254)
    }

    /// The length of the prefix of the node's network.
    pub(crate) fn prefix_length(&self) -> &'static str {
        match self.family {
            Family::V4 => "24",
            Family::V6 => "64",
        }
    }

    /// The address range of Services.
    pub(crate) fn service_cidr(&self) -> String {
        match self.family {
            Family::V4 => format!("10.{}.0.0/16", 96 + self.number),
            // The API server refuses a larger range.
            Family::V6 => format!("{}/112", self.host(96, 0)),
        }
    }

    /// The address of the Service `kubernetes`.
    pub(crate) fn kubernetes_service_address(&self) -> IpAddr {
        match self.family {
            Family::V4 => Ipv4Addr::new(10, 96 + self.number, 0, 1).into(),
            Family::V6 => self.host(96, 1),
        }
    }

    /// The address range of pods.
    pub(crate) fn pod_cidr(&self) -> String {
        format!("{}/{}", self.host(244, 0), self.prefix_length())
    }

    /// An address in one of the node's networks.
    fn host(&self, network: u8, host: u8) -> IpAddr {
        match self.family {
            Family::V4 => Ipv4Addr::new(10, network, self.number, host).into(),
            Family::V6 => Ipv6Addr::new(0xfd00, network.into(), self.number.into(), 0, 0, 0, 0, host.into()).into(),
        }
    }

    /// The folder of the node's files.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A file in that folder.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// The same as text, for configuration files and arguments.
    pub(crate) fn path_text(&self, file: &str) -> String {
        self.path(file).display().to_string()
    }
}
