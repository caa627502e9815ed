//! Sealed documents, each whole under its name.

use std::io;
use std::path::{Path, PathBuf};

use pki::{
    FileError, Keyring, KeyringError, MAX_SECRET_BYTES, PRIVATE_MODE, SealContext, SealError,
    Sealed, write_atomic,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The first bytes of a file of ours.
const MAGIC: &[u8; 4] = b"FHV1";

/// Larger files are not read: 8 MiB of the largest frame, in envelopes, and room.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Why a document could not be kept or read back.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The key could not be loaded or made.
    #[error("load the key of the agent's documents")]
    Key(#[from] KeyringError),
    /// The file could not be written.
    #[error("keep document {name:?}")]
    Write {
        /// The document.
        name: &'static str,
        /// Why.
        #[source]
        source: FileError,
    },
    /// The file could not be read.
    #[error("read document {name:?}")]
    Read {
        /// The document.
        name: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The document could not be sealed or opened.
    #[error("seal or open document {name:?}")]
    Seal {
        /// The document.
        name: &'static str,
        /// Why.
        #[source]
        source: SealError,
    },
    /// The file is not one of ours or was cut.
    #[error("read document {name:?}: the file is damaged")]
    Damaged {
        /// The document.
        name: &'static str,
    },
    /// The document is not what its reader expects.
    #[error("read document {name:?} as JSON")]
    Json {
        /// The document.
        name: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// A directory of sealed documents and the key that seals them.
#[derive(Debug)]
pub struct Vault {
    directory: PathBuf,
    keys: Keyring,
}

impl Vault {
    /// Opens the vault in a directory, with a new key the first time.
    ///
    /// # Errors
    /// [`VaultError::Key`].
    pub fn open(directory: PathBuf) -> Result<Self, VaultError> {
        let keys = Keyring::load_or_create(&directory.join("seal.key"))?;
        Ok(Self { directory, keys })
    }

    /// Keeps a document, whole or not at all. Blocks until it is on disk.
    ///
    /// # Errors
    /// It could not be sealed or written; the one before stays.
    pub fn save<T: Serialize>(&self, name: &'static str, value: &T) -> Result<(), VaultError> {
        let json = serde_json::to_vec(value).map_err(|source| VaultError::Json { name, source })?;
        self.save_json(name, &json)
    }

    /// Keeps a document that is JSON already.
    pub(super) fn save_json(&self, name: &'static str, json: &[u8]) -> Result<(), VaultError> {
        // Pieces of one writing belong together by a number that no other writing has.
        let writing: u64 = rand::random();
        let pieces: Vec<&[u8]> = json.chunks(MAX_SECRET_BYTES).collect();
        let mut file = MAGIC.to_vec();
        file.extend_from_slice(&writing.to_be_bytes());
        file.extend_from_slice(&(pieces.len() as u64).to_be_bytes());
        for (index, piece) in pieces.iter().enumerate() {
            let path = place(name, index, pieces.len());
            let context = SealContext { path: &path, version: writing };
            let sealed = self.keys.seal(&context, piece);
            let sealed = sealed.map_err(|source| VaultError::Seal { name, source })?;
            file.extend_from_slice(&(sealed.as_bytes().len() as u64).to_be_bytes());
            file.extend_from_slice(sealed.as_bytes());
        }
        write_atomic(&self.path(name), &file, PRIVATE_MODE)
            .map_err(|source| VaultError::Write { name, source })
    }

    /// Reads a document back; none when it was never kept.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged, moved or of another key.
    pub fn load<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, VaultError> {
        let Some(file) =
            read(&self.path(name)).map_err(|source| VaultError::Read { name, source })?
        else {
            return Ok(None);
        };
        let json = self.unseal(name, &file)?;
        serde_json::from_slice(&json).map(Some).map_err(|source| VaultError::Json { name, source })
    }

    fn unseal(&self, name: &'static str, file: &[u8]) -> Result<Vec<u8>, VaultError> {
        let damaged = || VaultError::Damaged { name };
        let mut rest = file.strip_prefix(MAGIC.as_slice()).ok_or_else(damaged)?;
        let writing = take_u64(&mut rest).ok_or_else(damaged)?;
        let count = take_u64(&mut rest).and_then(|n| usize::try_from(n).ok());
        let count = count.filter(|n| *n <= file.len()).ok_or_else(damaged)?;
        let mut json = Vec::new();
        for index in 0..count {
            let length = take_u64(&mut rest).and_then(|n| usize::try_from(n).ok());
            let (piece, after) =
                length.and_then(|n| rest.split_at_checked(n)).ok_or_else(damaged)?;
            rest = after;
            let path = place(name, index, count);
            let context = SealContext { path: &path, version: writing };
            let opened = Sealed::from_bytes(piece.to_vec())
                .and_then(|sealed| self.keys.open(&context, &sealed))
                .map_err(|source| VaultError::Seal { name, source })?;
            json.extend_from_slice(&opened);
        }
        if rest.is_empty() { Ok(json) } else { Err(damaged()) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.sealed"))
    }
}

fn place(name: &str, index: usize, count: usize) -> String {
    format!("agent/{name}/{index}-of-{count}")
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    let (head, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(u64::from_be_bytes(*head))
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    use std::io::Read as _;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(name: &str) -> Vault {
        let directory =
            std::env::temp_dir().join(format!("freehold-vault-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Vault::open(directory).unwrap()
    }

    #[test]
    fn documents_of_any_size_come_back_and_show_nothing_on_disk() {
        let vault = vault("sizes");
        assert_eq!(vault.load::<String>("absent").unwrap(), None);
        for size in [0, 10, MAX_SECRET_BYTES - 2, MAX_SECRET_BYTES, 3 * MAX_SECRET_BYTES + 1] {
            let value = "hush".repeat(size / 4);
            vault.save("doc", &value).unwrap();
            assert_eq!(vault.load::<String>("doc").unwrap().as_ref(), Some(&value));
            let file = std::fs::read(vault.path("doc")).unwrap();
            assert!(!file.windows(8).any(|w| w == b"hushhush"));
        }
        let again = Vault::open(vault.directory.clone()).unwrap();
        assert!(again.load::<String>("doc").unwrap().is_some());
        std::fs::remove_dir_all(&vault.directory).unwrap();
    }

    #[test]
    fn what_was_cut_changed_or_moved_is_refused() {
        let vault = vault("damage");
        vault.save("doc", &"x".repeat(1000)).unwrap();
        let whole = std::fs::read(vault.path("doc")).unwrap();
        std::fs::write(vault.path("other"), &whole).unwrap();
        assert!(vault.load::<String>("other").is_err());
        for at in [0, 5, 13, 20, 25, 60, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(vault.path("doc"), &changed).unwrap();
            assert!(vault.load::<String>("doc").is_err(), "byte {at}");
            std::fs::write(vault.path("doc"), &whole[..at]).unwrap();
            assert!(vault.load::<String>("doc").is_err(), "cut at {at}");
        }
        std::fs::remove_dir_all(&vault.directory).unwrap();
    }
}
