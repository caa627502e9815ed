//! A lab on disk: its directory, what names it in the kernel, and the files in it.
//!
//! ```text
//! plan.json      the plan             faults.json   what is wrong with the network
//! net            the lab's namespace  door.json     the way in from the machine
//! admin.token, ca.pem, pki/           the cluster's first token, its authority
//! machines/NAME/ state.json, ROLE.log, ROLE.held, ROLE.token, disk/
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::failure::LabError;
use crate::fault::Faults;
use crate::plan::{ETCD_PORT, Machine, Plan, Role};

/// Where labs are kept.
pub const DEFAULT_BASE: &str = "/var/lib/freehold-lab";

/// Bytes of the hash of the directory's path that name a lab in the kernel: two of a hundred labs
/// on a machine clash once in 800 million machines.
const ID_BYTES: usize = 5;

/// How long a command waits for another one on the same lab.
const LOCK_WITHIN: Duration = Duration::from_secs(60);

/// A lab by its directory, which may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lab {
    directory: PathBuf,
    id: String,
}

/// How the servers' etcd is reached, from the lab's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdAccess {
    /// URLs of all members.
    pub endpoints: Vec<String>,
    /// The cluster's authorities, PEM.
    pub authorities: PathBuf,
    /// A server's certificate, PEM.
    pub certificate: PathBuf,
    /// That certificate's key, PEM.
    pub key: PathBuf,
}

/// Held while a command changes a lab.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lab {
    /// The lab called `name` below `base`.
    ///
    /// # Errors
    /// `base` cannot be made, or the name is none.
    pub fn at(base: &Path, name: &str) -> Result<Self, LabError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(base)
            .map_err(LabError::file("make", base))?;
        let base = base.canonicalize().map_err(LabError::file("find", base))?;
        let directory = base.join(name);
        if !crate::plan::is_name(name) || directory.to_str().is_none() {
            let why = "a lab is called by a name of a-z, 0-9 and -";
            return Err(LabError::Directory { doing: "find", directory, why });
        }
        let hash = Sha256::digest(directory.as_os_str().as_bytes());
        Ok(Self { id: HEXLOWER.encode(&hash[..ID_BYTES]), directory })
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether it has been brought up.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path("plan.json").exists()
    }

    /// The cgroup of the lab, from the root of each hierarchy.
    #[must_use]
    pub fn cgroup(&self) -> PathBuf {
        PathBuf::from(format!("/freehold-lab-{}", self.id))
    }

    /// The file that the lab's network namespace is bound to.
    #[must_use]
    pub fn namespace(&self) -> PathBuf {
        self.path("net")
    }

    /// The first admin's token.
    #[must_use]
    pub fn admin_token(&self) -> PathBuf {
        self.path("admin.token")
    }

    /// The cluster's authority.
    #[must_use]
    pub fn authorities(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// What belongs to a machine.
    #[must_use]
    pub fn machine(&self, name: &str) -> PathBuf {
        self.path("machines").join(name)
    }

    /// What a client needs in its environment to reach the cluster at `servers` (`HOST:PORT`).
    #[must_use]
    pub fn environment(&self, servers: &[String]) -> Vec<(&'static str, String)> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        vec![
            ("FREEHOLD_API", servers.join(",")),
            ("FREEHOLD_TOKEN_FILE", text(self.admin_token())),
            ("FREEHOLD_CA", text(self.authorities())),
        ]
    }

    /// How the servers' etcd is reached inside the lab; none when one server has the state alone.
    #[must_use]
    pub fn etcd(&self, plan: &Plan) -> Option<EtcdAccess> {
        let first = plan.with_role(Role::Etcd).next()?;
        let at = |machine: &Machine| format!("https://{}:{ETCD_PORT}", machine.address);
        let pki = crate::role::data(self, first, Role::Server).join("pki");
        Some(EtcdAccess {
            endpoints: plan.with_role(Role::Etcd).map(at).collect(),
            authorities: self.authorities(),
            certificate: pki.join("server.pem"),
            key: pki.join("server.key"),
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Its plan.
    ///
    /// # Errors
    /// There is no lab, or its plan cannot be read.
    pub fn plan(&self) -> Result<Plan, LabError> {
        if !self.exists() {
            let (doing, directory) = ("find", self.directory.clone());
            return Err(LabError::Directory { doing, directory, why: "there is none" });
        }
        read(&self.path("plan.json"))
    }

    pub(crate) fn save_plan(&self, plan: &Plan) -> Result<(), LabError> {
        write(&self.path("plan.json"), plan)
    }

    /// What is wrong with its network.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn faults(&self) -> Result<Faults, LabError> {
        let path = self.path("faults.json");
        if path.exists() { read(&path) } else { Ok(Faults::default()) }
    }

    pub(crate) fn save_faults(&self, faults: &Faults) -> Result<(), LabError> {
        write(&self.path("faults.json"), faults)
    }

    /// Takes the lab for a change, waiting for another command that has it.
    ///
    /// # Errors
    /// It is still busy after a minute.
    pub fn lock(&self) -> Result<Lock, LabError> {
        let base = self.directory.parent().unwrap_or(&self.directory);
        // Beside the directory, which `down` removes.
        let path = base.join(format!(".{}.lock", self.id));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let begin = Instant::now();
        loop {
            let file = options.open(&path).map_err(LabError::file("open", &path))?;
            match file.try_lock() {
                // The one before may have removed it meanwhile.
                Ok(()) if path.exists() => return Ok(Lock { _file: file }),
                Ok(()) => {}
                Err(TryLockError::Error(error)) => {
                    return Err(LabError::file("lock", &path)(error));
                }
                Err(TryLockError::WouldBlock) if begin.elapsed() > LOCK_WITHIN => {
                    return Err(LabError::Busy(self.directory.clone()));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Removes the lock's file; for who holds the lock and has removed all else.
    pub(crate) fn forget_lock(&self) {
        if let Some(base) = self.directory.parent() {
            // Another `down` may have been faster.
            let _ = fs::remove_file(base.join(format!(".{}.lock", self.id)));
        }
    }
}

/// Makes a directory that others may pass through but not look into.
pub(crate) fn make(path: &Path) -> Result<(), LabError> {
    DirBuilder::new().recursive(true).mode(0o711).create(path).map_err(LabError::file("make", path))
}

/// Reads a value from a file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, LabError> {
    let bytes = fs::read(path).map_err(LabError::file("read", path))?;
    serde_json::from_slice(&bytes)
        .map_err(|source| LabError::Content { path: path.to_owned(), source })
}

/// Replaces a file; a reader sees the old value or the new one.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), LabError> {
    let text = serde_json::to_vec_pretty(value).expect("values of a lab have text for keys");
    let beside = path.with_extension("new");
    let replaced = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    replaced.map_err(LabError::file("write", path))
}

/// Removes a file that may be missing.
pub(crate) fn remove(path: &Path) -> Result<(), LabError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LabError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_labs_of_one_name_in_two_places_are_two() {
        let dir = tempfile::tempdir().unwrap();
        let one = Lab::at(&dir.path().join("a"), "x").unwrap();
        let two = Lab::at(&dir.path().join("b"), "x").unwrap();
        assert_ne!(one.cgroup(), two.cgroup());
        assert_eq!(one, Lab::at(&dir.path().join("b/../a"), "x").unwrap());
        for bad in ["", "..", "a/b", "A"] {
            assert!(Lab::at(dir.path(), bad).is_err(), "{bad:?}");
        }
        assert!(!one.exists() && one.plan().is_err());
    }

    #[test]
    fn a_lab_is_taken_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let lab = Lab::at(dir.path(), "x").unwrap();
        let first = lab.lock().unwrap();
        let other = lab.clone();
        let second = std::thread::spawn(move || other.lock().map(drop));
        lab.forget_lock();
        drop(first);
        second.join().unwrap().unwrap();
    }
}
