//! Which entry of an index fits a machine.

use std::fmt;

use oci_spec::image::{Arch, Descriptor, ImageIndex, Os};

/// What a machine runs: an operating system and an architecture, in the names of the Go language
/// (OCI image specification, image-index.md).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform {
    /// The operating system, such as `linux`.
    pub os: String,
    /// The architecture, such as `amd64`.
    pub architecture: String,
}

impl Platform {
    /// This machine.
    #[must_use]
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self::linux(architecture)
    }

    /// Linux on `architecture`.
    #[must_use]
    pub fn linux(architecture: &str) -> Self {
        Self { os: "linux".to_owned(), architecture: architecture.to_owned() }
    }

    /// Whether code for this operating system and architecture runs here.
    #[must_use]
    pub fn runs(&self, os: &Os, architecture: &Arch) -> bool {
        os.to_string() == self.os && architecture.to_string() == self.architecture
    }

    /// The entry of `index` made for this platform, the one for the plainest processor first.
    /// Entries without a platform are taken only if the index has no other entry.
    #[must_use]
    pub fn choose<'a>(&self, index: &'a ImageIndex) -> Option<&'a Descriptor> {
        if let [only] = index.manifests().as_slice()
            && only.platform().is_none()
        {
            return Some(only);
        }
        let fits = |entry: &&Descriptor| {
            entry.platform().as_ref().is_some_and(|p| self.runs(p.os(), p.architecture()))
        };
        index.manifests().iter().filter(fits).min_by_key(|entry| {
            let variant = entry.platform().as_ref().and_then(|p| p.variant().as_deref());
            match (self.architecture.as_str(), variant) {
                (_, None | Some("")) | ("amd64", Some("v1")) | ("arm64", Some("v8")) => 0,
                ("amd64", Some("v2")) => 2,
                _ => 3,
            }
        })
    }

    /// The platforms of an index for people, such as `linux/amd64, linux/arm64/v8`.
    #[must_use]
    pub fn offered(index: &ImageIndex) -> String {
        let name = |entry: &Descriptor| {
            let platform = entry.platform().as_ref()?;
            let variant = platform.variant().iter().map(|v| format!("/{v}")).collect::<String>();
            Some(format!("{}/{}{variant}", platform.os(), platform.architecture()))
        };
        let mut names: Vec<_> =
            index.manifests().iter().filter_map(name).filter(|n| n != "unknown/unknown").collect();
        names.dedup();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}
