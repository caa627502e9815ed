//! Named network namespaces: files with a namespace bound to them, as `ip netns` keeps them.
//!
//! No process is forked: a throw-away thread leaves its namespace, binds the new one to the file
//! and ends. The thread that asks never changes its own namespace.

#![expect(unsafe_code, reason = "unshare has no safe form: it changes what a thread may assume")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::mount::UnmountFlags;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use thiserror::Error;

use crate::sysctl::{self, Sysctl, SysctlError};

/// linux/magic.h: NSFS_MAGIC.
const NSFS: rustix::fs::FsWord = 0x6e73_6673;
const OWN: &str = "/proc/thread-self/ns/net";

/// Working with a named network namespace failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NamespaceError {
    /// There is a file of that name already.
    #[error("creating network namespace {}: the file exists", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file is missing or no network namespace is bound to it.
    #[error("opening network namespace {}: nothing is bound there", path.display())]
    NotThere {
        /// The file.
        path: PathBuf,
    },
    /// A system call failed.
    #[error("{doing} network namespace {}", path.display())]
    System {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A kernel setting inside could not be made.
    #[error("preparing network namespace {}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// Which one and why.
        #[source]
        source: SysctlError,
    },
}

/// An open network namespace with a name.
#[derive(Debug)]
pub struct Namespace {
    path: PathBuf,
    file: File,
}

impl Namespace {
    /// Creates a namespace with `settings` made inside, bound to a new file at `path`, whose
    /// directory must exist.
    ///
    /// # Errors
    /// [`NamespaceError::Exists`] when the file is there; otherwise what the system refused.
    /// Nothing is left behind then.
    pub fn create(path: &Path, settings: &[Sysctl]) -> Result<Self, NamespaceError> {
        Self::create_and(path, settings, |_| ()).map(|(namespace, ())| namespace)
    }

    /// As [`Namespace::create`], and runs `inside` in the new namespace in the same trip.
    pub(crate) fn create_and<T: Send>(
        path: &Path,
        settings: &[Sysctl],
        inside: impl FnOnce(BorrowedFd<'_>) -> T + Send,
    ) -> Result<(Self, T), NamespaceError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o444);
        match options.open(path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(NamespaceError::Exists { path: path.to_owned() });
            }
            Err(error) => return Err(system("creating", path)(error)),
        }
        on_own_thread(|| {
            let file = enter_new(path)?;
            sysctl::apply(settings)
                .map_err(|source| NamespaceError::Settings { path: path.to_owned(), source })?;
            let result = inside(file.as_fd());
            Ok((Self { path: path.to_owned(), file }, result))
        })
        .inspect_err(|_| discard(path))
    }

    /// Opens the namespace bound to the file at `path`.
    ///
    /// # Errors
    /// [`NamespaceError::NotThere`] when there is no such file or it is an ordinary one.
    pub fn open(path: &Path) -> Result<Self, NamespaceError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(NamespaceError::NotThere { path: path.to_owned() });
            }
            Err(error) => return Err(system("opening", path)(error)),
        };
        let kind = rustix::fs::fstatfs(&file).map_err(|e| system("opening", path)(e.into()))?;
        if kind.f_type != NSFS {
            return Err(NamespaceError::NotThere { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// Opens the namespace at `path`, or creates it where there is none, replacing an ordinary file
    /// that an interrupted creation left. `true` with a new one.
    ///
    /// # Errors
    /// What the system refused.
    pub fn ensure(path: &Path, settings: &[Sysctl]) -> Result<(Self, bool), NamespaceError> {
        match Self::open(path) {
            Ok(namespace) => Ok((namespace, false)),
            Err(NamespaceError::NotThere { .. }) => {
                delete(path)?;
                Self::create(path, settings).map(|namespace| (namespace, true))
            }
            Err(error) => Err(error),
        }
    }

    /// The file it is bound to.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `task` inside, on a thread of its own, and gives its result. A panic inside is passed
    /// on.
    ///
    /// # Errors
    /// When the namespace cannot be entered; `task` did not run then.
    pub fn run<T: Send>(&self, task: impl FnOnce() -> T + Send) -> Result<T, NamespaceError> {
        on_own_thread(|| {
            rustix::thread::move_into_link_name_space(
                self.file.as_fd(),
                Some(LinkNameSpaceType::Network),
            )
            .map_err(|errno| system("entering", &self.path)(errno.into()))?;
            Ok(task())
        })
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Unbinds and removes the file at `path`; fine when it is gone. The namespace itself ends with its
/// last process and open file.
///
/// # Errors
/// What the system refused.
pub fn delete(path: &Path) -> Result<(), NamespaceError> {
    // A file can carry several bindings, after a creation that was interrupted and repeated.
    loop {
        match rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            // EINVAL: not a mount point.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => break,
            Err(errno) => return Err(system("unbinding", path)(errno.into())),
        }
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(system("removing", path)(error))
        }
        _ => Ok(()),
    }
}

/// The files in `directory`, each of which is or was meant to be a namespace; empty when there is
/// no such directory.
///
/// # Errors
/// When the directory cannot be read.
pub fn list(directory: &Path) -> Result<Vec<PathBuf>, NamespaceError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(system("listing", directory)(error)),
    };
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(system("listing", directory))?;
    paths.sort();
    Ok(paths)
}

/// Moves the calling, throw-away thread into a new namespace and binds that to the file.
fn enter_new(path: &Path) -> Result<File, NamespaceError> {
    // SAFETY: only the network namespace is left; memory, files and everything else that Rust code
    // relies on being shared between threads stays shared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
        .map_err(|errno| system("creating", path)(errno.into()))?;
    let file = File::open(OWN).map_err(system("opening", path))?;
    rustix::mount::mount_bind(OWN, path).map_err(|errno| system("binding", path)(errno.into()))?;
    Ok(file)
}

/// Clean-up after a creation that failed: the first error is what the caller hears of.
fn discard(path: &Path) {
    if let Err(error) = delete(path) {
        tracing::warn!(path = %path.display(), %error, "could not remove a half-made namespace");
    }
}

fn on_own_thread<T: Send>(task: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(task).join().unwrap_or_else(|panic| resume_unwind(panic)))
}

fn system<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> NamespaceError + 'a {
    move |source| NamespaceError::System { doing, path: path.to_owned(), source }
}
