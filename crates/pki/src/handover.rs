//! What one server hands to another, sealed so that only the asker of this one request can open it,
//! whoever carries or logs the request: an exchange of fresh X25519 keys (RFC 7748) whose secret,
//! hashed with both public keys and the asker's name, is the key of XChaCha20-Poly1305.
//!
//! It proves nothing about the asker: its certificate does that.

use std::fmt;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use data_encoding::BASE64;
use rustls::crypto::ActiveKeyExchange;
use rustls::crypto::ring::kx_group::X25519;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::random;

/// Bytes of a public key (RFC 7748 §5).
const PUBLIC_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// Keeps these keys apart from every other use of SHA-256.
const DOMAIN: &[u8] = b"freehold handover v1\0";

/// Why nothing was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandoverError {
    /// The system gave no key.
    #[error("make a key for a handover")]
    Key,
    /// The other end's public key is none.
    #[error("read the public key of a handover")]
    Public,
    /// It was sealed for another request or another asker, or changed.
    #[error("open a handover: it was not sealed for this request")]
    Refused,
}

/// The asker's half: good for one answer, kept nowhere.
pub struct HandoverKey(Box<dyn ActiveKeyExchange>);

impl HandoverKey {
    /// A fresh key.
    ///
    /// # Errors
    /// [`HandoverError::Key`].
    pub fn generate() -> Result<Self, HandoverError> {
        X25519.start().map(Self).map_err(|_| HandoverError::Key)
    }

    /// What the other end needs, as base64.
    #[must_use]
    pub fn public(&self) -> String {
        BASE64.encode(self.0.pub_key())
    }

    /// Opens the answer; `asker` is the name that the other end knew.
    ///
    /// # Errors
    /// [`HandoverError::Refused`].
    pub fn open(self, asker: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, HandoverError> {
        let bytes = BASE64.decode(sealed.as_bytes()).map_err(|_| HandoverError::Refused)?;
        let (theirs, rest) =
            bytes.split_first_chunk::<PUBLIC_BYTES>().ok_or(HandoverError::Refused)?;
        let (nonce, msg) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(HandoverError::Refused)?;
        let own = self.0.pub_key().to_vec();
        let cipher = cipher(self.0, theirs, (&own, theirs), asker)?;
        let opened = cipher.decrypt(&XNonce::from(*nonce), Payload { msg, aad: asker.as_bytes() });
        opened.map(Zeroizing::new).map_err(|_| HandoverError::Refused)
    }
}

impl fmt::Debug for HandoverKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandoverKey")
    }
}

/// Seals `secret` for the asker with this name and this public key. The answer, as base64:
///
/// ```text
/// our public key 32 | nonce 24 | secret n + 16
/// ```
///
/// # Errors
/// When the public key is none.
pub fn hand_over(public: &str, asker: &str, secret: &[u8]) -> Result<String, HandoverError> {
    let theirs = BASE64.decode(public.as_bytes()).map_err(|_| HandoverError::Public)?;
    let ours = X25519.start().map_err(|_| HandoverError::Key)?;
    let own = ours.pub_key().to_vec();
    let cipher = cipher(ours, &theirs, (&theirs, &own), asker)?;
    let nonce = random::bytes::<NONCE_BYTES>();
    let sealed = cipher
        .encrypt(&XNonce::from(nonce), Payload { msg: secret, aad: asker.as_bytes() })
        .expect("only messages over 256 GiB are refused (RFC 8439 §2.8)");
    Ok(BASE64.encode(&[own.as_slice(), &nonce, &sealed].concat()))
}

/// The cipher on which both ends agree; `asks` and `answers` are the public keys.
fn cipher(
    own: Box<dyn ActiveKeyExchange>,
    theirs: &[u8],
    (asks, answers): (&[u8], &[u8]),
    asker: &str,
) -> Result<XChaCha20Poly1305, HandoverError> {
    let shared = own.complete(theirs).map_err(|_| HandoverError::Public)?;
    let mut hasher = Sha256::new();
    for part in [DOMAIN, shared.secret_bytes(), asks, answers, asker.as_bytes()] {
        hasher.update(part);
    }
    let key: Zeroizing<[u8; 32]> = Zeroizing::new(hasher.finalize().into());
    Ok(XChaCha20Poly1305::new((&*key).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_asker_of_this_request_opens_it() {
        let key = HandoverKey::generate().unwrap();
        let other = HandoverKey::generate().unwrap();
        let sealed = hand_over(&key.public(), "s2", b"the master key").unwrap();
        assert_eq!(other.open("s2", &sealed), Err(HandoverError::Refused));
        assert_eq!(key.open("s2", &sealed).unwrap().as_slice(), b"the master key");
        let key = HandoverKey::generate().unwrap();
        let sealed = hand_over(&key.public(), "s2", b"x").unwrap();
        assert_eq!(key.open("s3", &sealed), Err(HandoverError::Refused));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let long = BASE64.decode(
            hand_over(&HandoverKey::generate().unwrap().public(), "s", b"x").unwrap().as_bytes(),
        );
        for at in 0..long.unwrap().len() {
            let key = HandoverKey::generate().unwrap();
            let sealed = hand_over(&key.public(), "s", b"x").unwrap();
            let mut bytes = BASE64.decode(sealed.as_bytes()).unwrap();
            // The highest bit of a public key is ignored (RFC 7748 §5), but hashed.
            bytes[at] ^= 0x80;
            assert!(key.open("s", &BASE64.encode(&bytes)).is_err(), "byte {at}");
        }
    }

    #[test]
    fn bad_keys_and_answers_are_refused() {
        for public in ["", "?", "AAAA", &BASE64.encode(&[0; 32])] {
            assert!(hand_over(public, "s", b"x").is_err(), "{public:?}");
        }
        for sealed in ["", "?", "AAAA", &BASE64.encode(&[1; 80])] {
            assert!(HandoverKey::generate().unwrap().open("s", sealed).is_err(), "{sealed:?}");
        }
    }
}
