//! Media types of documents and layers, OCI's and Docker's.

/// Docker's image manifest, schema 2.
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// OCI's image manifest.
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI's image index.
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI's image configuration.
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Docker's image configuration.
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// OCI's layer, compressed with gzip.
pub(crate) const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

const SCHEMA1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

/// Whether `media` names a document this crate parses: an image manifest or an index.
#[must_use]
pub fn known_document(media: &str) -> bool {
    [DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX].contains(&media)
}

pub(crate) fn is_schema1(media: &str) -> bool {
    SCHEMA1.contains(&media)
}

pub(crate) fn is_index(media: &str) -> bool {
    media == OCI_INDEX || media == DOCKER_LIST
}

pub(crate) fn is_config(media: &str) -> bool {
    media == OCI_CONFIG || media == DOCKER_CONFIG
}

/// How a layer's tar archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), possibly several members.
    Gzip,
    /// Zstandard (RFC 8878), possibly several frames.
    Zstd,
}

impl Compression {
    /// What the first bytes of a stream say; anything unknown is uncompressed.
    #[must_use]
    pub fn detect(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame may come first (RFC 8878 §3.1.2).
            [low, 0x2a, 0x4d, 0x18, ..] if low & 0xf0 == 0x50 => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// A layer's media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LayerMedia {
    /// What the media type says about compression. The stream's own magic number has the last
    /// word: several builders label gzip as plain and the reverse.
    pub compression: Compression,
    /// "Foreign" and "non-distributable" layers: registries may not hold them.
    pub distributable: bool,
}

impl LayerMedia {
    /// What the media type of a file system layer says; `None` if it is none.
    #[must_use]
    pub fn parse(media: &str) -> Option<Self> {
        use Compression::{Gzip, None as Plain, Zstd};
        let (compression, distributable) = match media {
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar" => (Plain, true),
            OCI_LAYER_GZIP | "application/vnd.docker.image.rootfs.diff.tar.gzip" => (Gzip, true),
            "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd" => (Zstd, true),
            "application/vnd.oci.image.layer.nondistributable.v1.tar" => (Plain, false),
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => (Gzip, false),
            "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd" => (Zstd, false),
            _ => return None,
        };
        Some(Self { compression, distributable })
    }

    /// The OCI media type that says the same.
    #[must_use]
    pub fn to_oci(self) -> &'static str {
        match (self.distributable, self.compression) {
            (true, Compression::None) => "application/vnd.oci.image.layer.v1.tar",
            (true, Compression::Gzip) => OCI_LAYER_GZIP,
            (true, Compression::Zstd) => "application/vnd.oci.image.layer.v1.tar+zstd",
            (false, Compression::None) => "application/vnd.oci.image.layer.nondistributable.v1.tar",
            (false, Compression::Gzip) => {
                "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            }
            (false, Compression::Zstd) => {
                "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_types_translate_to_oci_and_back() {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            for distributable in [true, false] {
                let media = LayerMedia { compression, distributable };
                assert_eq!(LayerMedia::parse(media.to_oci()), Some(media));
            }
        }
        assert_eq!(LayerMedia::parse("application/vnd.oci.empty.v1+json"), None);
    }

    #[test]
    fn magic_numbers() {
        assert_eq!(Compression::detect(&[0x1f, 0x8b, 8]), Compression::Gzip);
        assert_eq!(Compression::detect(&[0x28, 0xb5, 0x2f, 0xfd]), Compression::Zstd);
        assert_eq!(Compression::detect(&[0x5a, 0x2a, 0x4d, 0x18]), Compression::Zstd);
        assert_eq!(Compression::detect(b"etc/"), Compression::None);
        assert_eq!(Compression::detect(b""), Compression::None);
    }
}
