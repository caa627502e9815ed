//! What a machine knows from joining, as one TOML file in its data directory: read at each start,
//! written last of all when it joins. What is in it is its role's business.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// A file of a role.
pub(super) trait Kept: Serialize + DeserializeOwned {
    /// Its name in the data directory.
    const FILE: &'static str;

    /// Reads it; none where nobody has joined.
    fn load(data: &Path) -> Result<Option<Self>, Failure> {
        let path = data.join(Self::FILE);
        let doing = || format!("read {}", path.display());
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::io(doing(), &error)),
        };
        let read = toml::from_str(&text);
        read.map(Some).map_err(|error| Failure::invalid(doing()).because(error.to_string()))
    }

    /// Writes it.
    fn save(&self, data: &Path) -> Result<(), Failure> {
        let text = toml::to_string(self).expect("names, addresses and texts are TOML");
        Ok(pki::write_atomic(&data.join(Self::FILE), text.as_bytes(), pki::PUBLIC_MODE)?)
    }
}
