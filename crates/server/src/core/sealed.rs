//! Sealing and opening what is secret in documents. The place of a secret is the key of its
//! document, so that a sealed value moved to another document does not open there.

use api::error::{ApiError, ErrorCode};
use api::protocol::SecretValue;
use pki::{SealContext, Sealed};

use super::Core;

impl Core {
    /// Seals a value for the document with this key.
    ///
    /// # Errors
    /// When it is too long.
    pub fn seal(&self, key: &str, version: u32, value: &SecretValue) -> Result<Sealed, ApiError> {
        let context = SealContext { path: key, version: u64::from(version) };
        let sealed = self.keyring.seal(&context, value.0.as_bytes());
        sealed.map_err(|error| ApiError::new(ErrorCode::TooLarge, error.to_string()))
    }

    /// Opens the sealed value of the document with this key.
    ///
    /// # Errors
    /// When it was sealed for another place or by a key that is not here.
    pub fn open(&self, key: &str, version: u32, sealed: &Sealed) -> Result<SecretValue, ApiError> {
        let context = SealContext { path: key, version: u64::from(version) };
        let failed = |error: String| ApiError::new(ErrorCode::Internal, error);
        let opened = self.keyring.open(&context, sealed).map_err(|e| failed(e.to_string()))?;
        let text = std::str::from_utf8(&opened).map_err(|e| failed(e.to_string()))?;
        Ok(SecretValue(text.to_owned()))
    }
}
