//! Sealed secrets: an envelope of XChaCha20-Poly1305 around each secret, with a data key of its
//! own that a master key wraps. Both layers are bound to the place and version of the secret, so
//! that an envelope moved to another key, or an old one put back, does not open.
//!
//! Layout of an envelope, all lengths in bytes:
//!
//! ```text
//! magic 4 | master key id 8 | nonce 24 | wrapped data key 32 + 16 | nonce 24 | secret n + 16
//! ```

use std::fmt;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::random;

/// The longest secret: as base64 in an envelope it takes 342 KiB of a document of 512 KiB.
pub const MAX_SECRET_BYTES: usize = 256 * 1024;

const MAGIC: [u8; 4] = *b"FHS1";
const ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const WRAPPED_BYTES: usize = NONCE_BYTES + KEY_BYTES + TAG_BYTES;
const HEADER_BYTES: usize = MAGIC.len() + ID_BYTES;

/// What an envelope is around an empty secret: 124 bytes.
const OVERHEAD_BYTES: usize = HEADER_BYTES + WRAPPED_BYTES + NONCE_BYTES + TAG_BYTES;

/// Where a secret lives. The same values must be given to open it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealContext<'a> {
    /// The key of the document that holds it.
    pub path: &'a str,
    /// The version of the secret, counted by its owner.
    pub version: u64,
}

/// Why an envelope could not be made or opened. None of these says anything about the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The secret is longer than [`MAX_SECRET_BYTES`].
    #[error("seal a secret of {0} bytes: at most {MAX_SECRET_BYTES} are allowed")]
    TooLong(usize),
    /// The bytes are no envelope.
    #[error("read a sealed secret: it is no envelope")]
    NotAnEnvelope,
    /// It was sealed with a master key that is not in the ring.
    #[error("open a sealed secret: master key {0} is not here")]
    UnknownKey(String),
    /// It was changed, moved, is another version, or the key's id is a coincidence.
    #[error("open a sealed secret: it was not sealed for this place and version")]
    Refused,
}

/// One envelope. As text and in documents it is base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// The envelope's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes bytes that look like an envelope; only opening tells whether they are one.
    ///
    /// # Errors
    /// [`SealError::NotAnEnvelope`] when the length or the first bytes are wrong.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, SealError> {
        let length = OVERHEAD_BYTES..=OVERHEAD_BYTES + MAX_SECRET_BYTES;
        if !length.contains(&bytes.len()) || bytes[..MAGIC.len()] != MAGIC {
            return Err(SealError::NotAnEnvelope);
        }
        Ok(Self(bytes))
    }

    pub(crate) fn key_id(&self) -> [u8; ID_BYTES] {
        self.0[MAGIC.len()..HEADER_BYTES].try_into().expect("the slice has the id's length")
    }

    fn wrapped(&self) -> &[u8] {
        &self.0[HEADER_BYTES..HEADER_BYTES + WRAPPED_BYTES]
    }

    fn body(&self) -> &[u8] {
        &self.0[HEADER_BYTES + WRAPPED_BYTES..]
    }

    fn from_parts(id: [u8; ID_BYTES], wrapped: &[u8], body: &[u8]) -> Self {
        let mut out = Vec::with_capacity(HEADER_BYTES + wrapped.len() + body.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&id);
        out.extend_from_slice(wrapped);
        out.extend_from_slice(body);
        Self(out)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

impl From<Sealed> for String {
    fn from(sealed: Sealed) -> Self {
        BASE64.encode(&sealed.0)
    }
}

impl TryFrom<String> for Sealed {
    type Error = SealError;

    fn try_from(text: String) -> Result<Self, SealError> {
        let bytes = BASE64.decode(text.as_bytes()).map_err(|_| SealError::NotAnEnvelope)?;
        Self::from_bytes(bytes)
    }
}

/// The id of a master key and the key, as its ring lends them.
pub(crate) struct Wrapping<'a> {
    pub(crate) id: [u8; ID_BYTES],
    pub(crate) key: &'a [u8; KEY_BYTES],
}

pub(crate) fn seal(
    wrapping: &Wrapping<'_>,
    context: &SealContext<'_>,
    secret: &[u8],
) -> Result<Sealed, SealError> {
    if secret.len() > MAX_SECRET_BYTES {
        return Err(SealError::TooLong(secret.len()));
    }
    let data_key = Zeroizing::new(random::bytes::<KEY_BYTES>());
    let body = encrypt(&data_key, &body_binding(context), secret);
    Ok(Sealed::from_parts(wrapping.id, &wrap(wrapping, context, data_key.as_slice()), &body))
}

pub(crate) fn open(
    wrapping: &Wrapping<'_>,
    context: &SealContext<'_>,
    sealed: &Sealed,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let data_key = unwrap_key(wrapping, context, sealed)?;
    decrypt(&data_key, &body_binding(context), sealed.body())
}

/// Wraps the data key by another master key. The whole envelope is opened on the way, so a
/// damaged one is found now and not when its secret is needed.
pub(crate) fn rewrap(
    from: &Wrapping<'_>,
    to: &Wrapping<'_>,
    context: &SealContext<'_>,
    sealed: &Sealed,
) -> Result<Sealed, SealError> {
    let data_key = unwrap_key(from, context, sealed)?;
    decrypt(&data_key, &body_binding(context), sealed.body())?;
    Ok(Sealed::from_parts(to.id, &wrap(to, context, data_key.as_slice()), sealed.body()))
}

fn wrap(wrapping: &Wrapping<'_>, context: &SealContext<'_>, data_key: &[u8]) -> Vec<u8> {
    encrypt(wrapping.key, &wrap_binding(wrapping.id, context), data_key)
}

fn unwrap_key(
    wrapping: &Wrapping<'_>,
    context: &SealContext<'_>,
    sealed: &Sealed,
) -> Result<Zeroizing<[u8; KEY_BYTES]>, SealError> {
    let plain = decrypt(wrapping.key, &wrap_binding(wrapping.id, context), sealed.wrapped())?;
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    key.copy_from_slice(&plain);
    Ok(key)
}

/// A nonce and the ciphertext with its tag. Nonces are random: with 192 bits, and a data key that
/// encrypts once, they do not repeat (draft-irtf-cfrg-xchacha-03 §2).
fn encrypt(key: &[u8; KEY_BYTES], aad: &[u8], msg: &[u8]) -> Vec<u8> {
    let nonce = random::bytes::<NONCE_BYTES>();
    let mut out = nonce.to_vec();
    let ciphertext = XChaCha20Poly1305::new(key.into())
        .encrypt(&XNonce::from(nonce), Payload { msg, aad })
        .expect("only messages over 256 GiB are refused (RFC 8439 §2.8)");
    out.extend_from_slice(&ciphertext);
    out
}

fn decrypt(
    key: &[u8; KEY_BYTES],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (nonce, msg) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Refused)?;
    XChaCha20Poly1305::new(key.into())
        .decrypt(&XNonce::from(*nonce), Payload { msg, aad })
        .map(Zeroizing::new)
        .map_err(|_| SealError::Refused)
}

/// What both layers are bound to. The version has a fixed length and stands before the path, so
/// no path and version read as another pair.
fn binding(label: &[u8], context: &SealContext<'_>) -> Vec<u8> {
    [label, &context.version.to_be_bytes(), context.path.as_bytes()].concat()
}

fn body_binding(context: &SealContext<'_>) -> Vec<u8> {
    binding(b"FHS1 secret\0", context)
}

fn wrap_binding(id: [u8; ID_BYTES], context: &SealContext<'_>) -> Vec<u8> {
    let mut out = binding(b"FHS1 data key\0", context);
    out.extend_from_slice(&id);
    out
}
