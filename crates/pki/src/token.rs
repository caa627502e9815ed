//! Opaque credentials: `fh_ID_SECRET`. The id is public and finds the record; of the secret only a
//! hash is stored. Must not know what a token permits or when it ends.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::random;

/// Every token starts with it, so that scanners for leaked credentials can find one.
const PREFIX: &str = "fh_";

/// Bytes of an id: 64 random bits give a collision among a million tokens once in 37 million
/// clusters (10^12 / 2 pairs over 1.8 * 10^19), and a record is created only if absent.
const ID_BYTES: usize = 8;

/// Bytes of a secret: 256 random bits need no slow hash, there is nothing to guess.
const SECRET_BYTES: usize = 32;

/// Keeps these hashes apart from every other use of SHA-256.
const HASH_DOMAIN: &[u8] = b"freehold token v1\0";

/// A text that is not a token. It does not repeat the text: that may be a mistyped token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("parse a token: not fh_ID_SECRET")]
pub struct TokenError;

/// The public part of a token: 16 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId(String);

impl TokenId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TokenId {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        decode::<ID_BYTES>(text)?;
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for TokenId {
    type Error = TokenError;

    fn try_from(text: String) -> Result<Self, TokenError> {
        text.parse()
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.0
    }
}

/// A whole token, in the hand of its owner.
pub struct Token {
    id: TokenId,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

impl Token {
    /// The public part.
    #[must_use]
    pub fn id(&self) -> &TokenId {
        &self.id
    }

    /// What may be stored.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        let mut hasher = Sha256::new();
        hasher.update(HASH_DOMAIN);
        hasher.update(self.id.0.as_bytes());
        hasher.update(self.secret.as_slice());
        TokenHash(hasher.finalize().into())
    }

    /// The text to hand to its owner, once.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(HEXLOWER.encode(self.secret.as_slice()));
        Zeroizing::new(format!("{PREFIX}{}_{}", self.id.0, secret.as_str()))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let (id, secret) =
            text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or(TokenError)?;
        Ok(Self { id: id.parse()?, secret: Zeroizing::new(decode(secret)?) })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("id", &self.id).finish_non_exhaustive()
    }
}

/// SHA-256 of a token, the only trace of its secret that is kept. As text: `sha256:` and hex.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash([u8; 32]);

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

/// A stored text that is no token's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("parse a token's hash: not sha256: and 64 hex digits")]
pub struct MalformedTokenHash;

impl TryFrom<String> for TokenHash {
    type Error = MalformedTokenHash;

    fn try_from(text: String) -> Result<Self, MalformedTokenHash> {
        let hex = text.strip_prefix("sha256:").ok_or(MalformedTokenHash)?;
        decode(hex).map(Self).map_err(|_| MalformedTokenHash)
    }
}

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> Self {
        hash.to_string()
    }
}

/// Makes a new token and the hash to store under its id.
#[must_use]
pub fn mint() -> (Token, TokenHash) {
    let id = TokenId(HEXLOWER.encode(&random::bytes::<ID_BYTES>()));
    let token = Token { id, secret: Zeroizing::new(random::bytes()) };
    let hash = token.hash();
    (token, hash)
}

/// Whether `presented` is the token whose hash was stored, in a time that does not depend on
/// where they differ. The caller looked `stored` up by the presented token's id.
#[must_use]
pub fn verify(presented: &Token, stored: &TokenHash) -> bool {
    presented.hash() == *stored
}

fn decode<const N: usize>(text: &str) -> Result<[u8; N], TokenError> {
    let mut out = [0; N];
    if HEXLOWER.decode_len(text.len()) != Ok(N) {
        return Err(TokenError);
    }
    match HEXLOWER.decode_mut(text.as_bytes(), &mut out) {
        Ok(_) => Ok(out),
        Err(_) => {
            out.zeroize();
            Err(TokenError)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_opens_its_own_hash_and_no_other() {
        let (a, a_hash) = mint();
        let (b, b_hash) = mint();
        assert!(verify(&a, &a_hash) && verify(&b, &b_hash));
        assert!(!verify(&a, &b_hash) && !verify(&b, &a_hash));
        let again: Token = a.reveal().parse().unwrap();
        assert!(verify(&again, &a_hash));
    }

    #[test]
    fn every_changed_character_is_refused() {
        let (token, hash) = mint();
        let text = token.reveal();
        for at in 0..text.len() {
            for with in ["0", "1", "f", "_", "F", "g", " "] {
                let mut changed = text.as_str().to_owned();
                changed.replace_range(at..=at, with);
                if changed == *text {
                    continue;
                }
                assert!(!changed.parse().is_ok_and(|token| verify(&token, &hash)), "{changed}");
            }
        }
    }

    #[test]
    fn debug_and_hash_do_not_show_the_secret() {
        let (token, hash) = mint();
        let text = token.reveal();
        let secret = text.rsplit('_').next().unwrap();
        assert!(!format!("{token:?} {hash:?} {hash}").contains(secret));
        assert!(format!("{token:?}").contains(token.id().as_str()));
    }

    #[test]
    fn hashes_survive_storage() {
        let (_, hash) = mint();
        let stored = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<TokenHash>(&stored).unwrap(), hash);
        assert!(serde_json::from_str::<TokenHash>("\"sha256:00\"").is_err());
    }

    proptest! {
        #[test]
        fn what_parses_prints_the_same(text in "(fh_)?[0-9a-fA-F_]{0,90}") {
            if let Ok(token) = text.parse::<Token>() {
                let revealed = token.reveal();
                prop_assert_eq!(revealed.as_str(), text.as_str());
            }
        }

        #[test]
        fn any_text_is_survived(text in ".{0,100}") {
            prop_assert!(text.parse::<Token>().is_err());
        }
    }
}
