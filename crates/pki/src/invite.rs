//! The token with which a machine joins a cluster. Its text carries the fingerprint of the
//! cluster's authority, so that the joiner knows whom it talks to before it shows the token.

use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::bundle::Fingerprint;
use crate::token::{Token, TokenError};

/// Every join token starts with it; scanners for leaked credentials can find one.
const PREFIX: &str = "fhj_";

/// A token for one joiner: `fhj_ID_SECRET_FINGERPRINT`.
pub struct JoinToken {
    token: Token,
    authority: Fingerprint,
}

impl JoinToken {
    /// The token of the cluster whose signing authority has this fingerprint.
    #[must_use]
    pub fn new(token: Token, authority: Fingerprint) -> Self {
        Self { token, authority }
    }

    /// What proves that the holder was invited.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The authority that the server to join must show.
    #[must_use]
    pub fn authority(&self) -> Fingerprint {
        self.authority
    }

    /// The text to hand to whoever sets the machine up, once.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let token = self.token.reveal();
        let rest = token.strip_prefix("fh_").unwrap_or(&token);
        Zeroizing::new(format!("{PREFIX}{rest}_{}", self.authority.hex()))
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let rest = text.strip_prefix(PREFIX).ok_or(TokenError)?;
        let (token, authority) = rest.rsplit_once('_').ok_or(TokenError)?;
        let token = Zeroizing::new(format!("fh_{token}"));
        let authority = Fingerprint::from_hex(authority).ok_or(TokenError)?;
        Ok(Self { token: token.parse()?, authority })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("id", self.token.id())
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::token::{mint, verify};

    #[test]
    fn a_join_token_keeps_its_parts_and_shows_no_secret() {
        let (token, hash) = mint();
        let authority = Fingerprint::of(b"some certificate");
        let join = JoinToken::new(token, authority);
        let text = join.reveal();
        let again: JoinToken = text.parse().unwrap();
        assert!(verify(again.token(), &hash));
        assert_eq!(again.authority(), authority);
        let secret = text.split('_').nth(2).unwrap();
        assert!(!format!("{again:?}").contains(secret));
        assert!(text.parse::<Token>().is_err(), "it opens nothing else");
        assert!(join.token().reveal().parse::<JoinToken>().is_err());
    }

    proptest! {
        #[test]
        fn what_parses_prints_the_same(
            text in "(fhj_)?[0-9a-f]{15,16}_[0-9a-fA-F]{63,64}_[0-9a-f]{63,64}",
        ) {
            if let Ok(token) = text.parse::<JoinToken>() {
                let revealed = token.reveal();
                prop_assert_eq!(revealed.as_str(), text.as_str());
            }
        }

        #[test]
        fn any_text_is_survived(text in ".{0,200}") {
            prop_assert!(text.parse::<JoinToken>().is_err());
        }
    }
}
