//! The master keys that open sealed secrets: the current one seals, earlier ones only open until
//! everything has been wrapped anew. Lives in one file of mode 0600, in no store and no backup.

use std::fmt;
use std::path::Path;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::files::{self, FileError, PRIVATE_MODE};
use crate::random;
use crate::seal::{self, SealContext, SealError, Sealed, Wrapping};

/// The first line of the file: its format.
const FORMAT: &str = "freehold master keys 1";

/// The most keys at once: the current one and a few whose rotation was never finished.
const MAX_KEYS: usize = 8;

/// Why the ring could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file could not be read or written.
    #[error("keep the master keys")]
    File(#[from] FileError),
    /// The file is not a ring. No detail: it could quote a key.
    #[error("read the master keys: the file is damaged")]
    Damaged,
    /// There are too many keys to add one.
    #[error("rotate the master key: {MAX_KEYS} are kept already, retire old ones first")]
    Full,
    /// The key to retire seals new secrets, or is not in the ring.
    #[error("retire master key {0}: it is not one of the old keys")]
    NotAnOldKey(MasterKeyId),
}

/// Names a master key without telling anything about it: 16 hex digits of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MasterKeyId([u8; 8]);

impl fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

struct MasterKey {
    id: MasterKeyId,
    key: Zeroizing<[u8; 32]>,
}

impl MasterKey {
    fn new(key: Zeroizing<[u8; 32]>) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"freehold master key id\0");
        hasher.update(key.as_slice());
        let hash: [u8; 32] = hasher.finalize().into();
        let mut id = [0; 8];
        id.copy_from_slice(&hash[..8]);
        Self { id: MasterKeyId(id), key }
    }

    fn generate() -> Self {
        Self::new(Zeroizing::new(random::bytes()))
    }

    fn wrapping(&self) -> Wrapping<'_> {
        Wrapping { id: self.id.0, key: &self.key }
    }
}

/// The master keys, the current one first; at least one.
pub struct Keyring(Vec<MasterKey>);

impl Keyring {
    /// A ring with one new key, kept nowhere yet.
    #[must_use]
    pub fn generate() -> Self {
        Self(vec![MasterKey::generate()])
    }

    /// Loads the ring from `path`, or makes one and saves it there with mode 0600.
    ///
    /// # Errors
    /// When the file is unreadable, open to others, or damaged; never replaced then.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyringError> {
        match Self::load(path) {
            Err(KeyringError::File(e)) if e.is_not_found() => {
                let ring = Self::generate();
                ring.save(path)?;
                Ok(ring)
            }
            other => other,
        }
    }

    /// Loads the ring from `path`.
    ///
    /// # Errors
    /// As [`Keyring::load_or_create`], and when there is no file.
    pub fn load(path: &Path) -> Result<Self, KeyringError> {
        Self::import(&files::read_private(path)?)
    }

    /// The ring whose [`Keyring::export`] this is.
    ///
    /// # Errors
    /// [`KeyringError::Damaged`].
    pub fn import(text: &[u8]) -> Result<Self, KeyringError> {
        let mut lines = std::str::from_utf8(text).map_err(|_| KeyringError::Damaged)?.lines();
        if lines.next() != Some(FORMAT) {
            return Err(KeyringError::Damaged);
        }
        let keys = lines.take(MAX_KEYS + 1).map(parse_key).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() || keys.len() > MAX_KEYS {
            return Err(KeyringError::Damaged);
        }
        Ok(Self(keys))
    }

    /// Writes the ring to `path`, whole or not at all, with mode 0600.
    ///
    /// # Errors
    /// [`FileError::Write`].
    pub fn save(&self, path: &Path) -> Result<(), FileError> {
        files::write_atomic(path, self.export().as_bytes(), PRIVATE_MODE)
    }

    /// The text of its file, for another server of the cluster.
    #[must_use]
    pub fn export(&self) -> Zeroizing<String> {
        let capacity = FORMAT.len() + 1 + self.0.len() * 65;
        let mut text = Zeroizing::new(String::with_capacity(capacity));
        text.push_str(FORMAT);
        text.push('\n');
        for master in &self.0 {
            let mut line = HEXLOWER.encode(master.key.as_slice());
            text.push_str(&line);
            text.push('\n');
            line.zeroize();
        }
        text
    }

    /// Puts a new key in front; the others still open what they sealed. The caller saves the ring
    /// before sealing with it, wraps everything anew ([`Keyring::rewrap`]), then retires the old.
    ///
    /// # Errors
    /// [`KeyringError::Full`].
    pub fn rotate(&mut self) -> Result<MasterKeyId, KeyringError> {
        if self.0.len() >= MAX_KEYS {
            return Err(KeyringError::Full);
        }
        self.0.insert(0, MasterKey::generate());
        Ok(self.current())
    }

    /// Forgets an old key.
    ///
    /// # Errors
    /// [`KeyringError::NotAnOldKey`] for the current key and for an unknown one.
    pub fn retire(&mut self, id: MasterKeyId) -> Result<(), KeyringError> {
        match self.0.iter().skip(1).position(|master| master.id == id) {
            Some(at) => {
                self.0.remove(at + 1);
                Ok(())
            }
            None => Err(KeyringError::NotAnOldKey(id)),
        }
    }

    /// The key that seals.
    #[must_use]
    pub fn current(&self) -> MasterKeyId {
        self.0[0].id
    }

    /// The keys that only open.
    pub fn old(&self) -> impl Iterator<Item = MasterKeyId> + '_ {
        self.0.iter().skip(1).map(|master| master.id)
    }

    /// Seals `secret` for the place and version of `context`.
    ///
    /// # Errors
    /// [`SealError::TooLong`].
    pub fn seal(&self, context: &SealContext<'_>, secret: &[u8]) -> Result<Sealed, SealError> {
        seal::seal(&self.0[0].wrapping(), context, secret)
    }

    /// Opens what was sealed for the same place and version; wiped from memory when dropped.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`], [`SealError::Refused`].
    pub fn open(
        &self,
        context: &SealContext<'_>,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        seal::open(&self.find(sealed)?.wrapping(), context, sealed)
    }

    /// The same secret wrapped by the current key, or `None` when it is already.
    ///
    /// # Errors
    /// As [`Keyring::open`].
    pub fn rewrap(
        &self,
        context: &SealContext<'_>,
        sealed: &Sealed,
    ) -> Result<Option<Sealed>, SealError> {
        let from = self.find(sealed)?;
        if from.id == self.current() {
            return Ok(None);
        }
        seal::rewrap(&from.wrapping(), &self.0[0].wrapping(), context, sealed).map(Some)
    }

    fn find(&self, sealed: &Sealed) -> Result<&MasterKey, SealError> {
        let id = MasterKeyId(sealed.key_id());
        let found = self.0.iter().find(|master| master.id == id);
        found.ok_or_else(|| SealError::UnknownKey(id.to_string()))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|master| master.id)).finish()
    }
}

fn parse_key(line: &str) -> Result<MasterKey, KeyringError> {
    let mut key = Zeroizing::new([0; 32]);
    if HEXLOWER.decode_len(line.len()) != Ok(key.len()) {
        return Err(KeyringError::Damaged);
    }
    match HEXLOWER.decode_mut(line.as_bytes(), key.as_mut_slice()) {
        Ok(_) => Ok(MasterKey::new(key)),
        Err(_) => Err(KeyringError::Damaged),
    }
}
