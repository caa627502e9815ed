//! The configuration file: contexts, each a way to one cluster. Only its owner may read it, since
//! tokens are in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// The largest configuration read, in bytes: a thousand contexts.
const MAX_BYTES: u64 = 4 << 20;

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The context used when none is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// All of them by name.
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

/// A way to one cluster.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// The servers.
    pub api: Vec<String>,
    /// The token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// A file with the token, instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The authorities, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    /// A file with the authorities, instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("api", &self.api).finish_non_exhaustive()
    }
}

/// Where the file is: `FREEHOLD_CONFIG`, else as the XDG base directory specification says.
pub(crate) fn config_path(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    if let Some(path) = variable("FREEHOLD_CONFIG") {
        return Some(path.into());
    }
    let base = match variable("XDG_CONFIG_HOME").map(PathBuf::from) {
        Some(base) if base.is_absolute() => base,
        _ => PathBuf::from(variable("HOME")?).join(".config"),
    };
    Some(base.join("freehold/config.toml"))
}

impl Config {
    /// Reads the file; one that is not there is empty.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let doing = || format!("read the configuration {}", path.display());
        match std::fs::metadata(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Ok(meta) if meta.len() > MAX_BYTES => {
                return Err(Failure::invalid(format!("{}: it is larger than 4 MiB", doing())));
            }
            _ => {}
        }
        let text = std::fs::read_to_string(path).map_err(|e| Failure::io(doing(), &e))?;
        toml::from_str(&text).map_err(|error| {
            Failure::invalid(doing())
                .because(error.to_string())
                .hint("correct it, or remove it and run: freehold login")
        })
    }

    /// Writes the file, readable by its owner alone.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Failure> {
        let doing = || format!("write the configuration {}", path.display());
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(|e| Failure::io(doing(), &e))?;
        }
        let text = toml::to_string(self).map_err(|e| Failure::invalid(e.to_string()))?;
        Ok(pki::write_atomic(path, text.as_bytes(), pki::PRIVATE_MODE)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_private_and_reads_back() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/config.toml");
        assert_eq!(Config::load(&path).unwrap(), Config::default());
        let context = Context {
            api: vec!["a:1".into()],
            token: Some("fh_x".into()),
            token_file: None,
            ca_pem: Some("-----BEGIN\nx\n".into()),
            ca: None,
        };
        let contexts = BTreeMap::from([("one".to_owned(), context)]);
        let config = Config { current: Some("one".into()), contexts };
        config.save(&path).unwrap();
        assert_eq!(Config::load(&path).unwrap(), config);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{config:?}").contains("fh_x"));
        std::fs::write(&path, "current = 1\n").unwrap();
        assert!(Config::load(&path).is_err());
    }

    #[test]
    fn the_path_follows_the_environment() {
        let path = |pairs: &'static [(&str, &str)]| {
            let find = |name: &str| {
                pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
            };
            config_path(find).map(|path| path.display().to_string())
        };
        assert_eq!(path(&[("HOME", "/h")]).unwrap(), "/h/.config/freehold/config.toml");
        assert_eq!(
            path(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]).unwrap(),
            "/x/freehold/config.toml"
        );
        assert_eq!(path(&[("FREEHOLD_CONFIG", "/f")]).unwrap(), "/f");
        assert_eq!(path(&[]), None);
    }
}
