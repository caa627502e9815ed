//! Which endpoint a path means. Pure. Repository names have slashes, so paths are read from
//! their end.

use super::{NameError, RepositoryName};

/// An endpoint; what is in the path but the repository is not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/blobs/<digest>`
    Blob(RepositoryName, String),
    /// `/v2/<name>/blobs/uploads/`
    Uploads(RepositoryName),
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload(RepositoryName, String),
    /// `/v2/<name>/manifests/<reference>`
    Manifest(RepositoryName, String),
    /// `/v2/<name>/tags/list`
    Tags(RepositoryName),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(RepositoryName, String),
}

/// Why a path means none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoEndpoint {
    /// The registry has nothing of this form.
    Unknown,
    /// The repository's name breaks the grammar.
    Name(NameError),
}

impl Endpoint {
    /// Reads a request's path, undecoded. Only a digest's colon may be escaped: names, tags and
    /// upload ids have nothing that needs it, and one spelling each keeps rules on paths simple.
    pub(super) fn parse(path: &str) -> Result<Self, NoEndpoint> {
        let rest = path.strip_prefix("/v2").ok_or(NoEndpoint::Unknown)?;
        if rest.is_empty() || rest == "/" {
            return Ok(Self::Base);
        }
        let rest = rest.strip_prefix('/').ok_or(NoEndpoint::Unknown)?;
        if rest == "_catalog" {
            return Ok(Self::Catalog);
        }
        let (front, last) = rest.rsplit_once('/').ok_or(NoEndpoint::Unknown)?;
        let name = |name: &str| name.parse().map_err(NoEndpoint::Name);
        if last == "uploads"
            && let Some(front) = front.strip_suffix("/blobs")
        {
            return Ok(Self::Uploads(name(front)?));
        }
        if let Some(front) = front.strip_suffix("/blobs/uploads") {
            let repository = name(front)?;
            return Ok(match last {
                "" => Self::Uploads(repository),
                id => Self::Upload(repository, id.to_owned()),
            });
        }
        let (front, kind) = front.rsplit_once('/').ok_or(NoEndpoint::Unknown)?;
        let last = last.replace("%3A", ":").replace("%3a", ":");
        match kind {
            "blobs" => Ok(Self::Blob(name(front)?, last)),
            "manifests" => Ok(Self::Manifest(name(front)?, last)),
            "referrers" => Ok(Self::Referrers(name(front)?, last)),
            "tags" if last == "list" => Ok(Self::Tags(name(front)?)),
            _ => Err(NoEndpoint::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_their_end() {
        let name = |text: &str| text.parse::<RepositoryName>().unwrap();
        let check = |path: &str, expected: Endpoint| {
            assert_eq!(Endpoint::parse(path), Ok(expected), "{path}");
        };
        check("/v2", Endpoint::Base);
        check("/v2/", Endpoint::Base);
        check("/v2/_catalog", Endpoint::Catalog);
        check("/v2/a/b/blobs/sha256:0", Endpoint::Blob(name("a/b"), "sha256:0".into()));
        check("/v2/a/blobs/sha256%3A0", Endpoint::Blob(name("a"), "sha256:0".into()));
        check("/v2/a/blobs/uploads/", Endpoint::Uploads(name("a")));
        check("/v2/a/blobs/uploads", Endpoint::Uploads(name("a")));
        check("/v2/a/blobs/uploads/1", Endpoint::Upload(name("a"), "1".into()));
        check("/v2/a/manifests/v1", Endpoint::Manifest(name("a"), "v1".into()));
        check("/v2/a/tags/list", Endpoint::Tags(name("a")));
        check("/v2/a/referrers/x:y", Endpoint::Referrers(name("a"), "x:y".into()));
        // Words of the protocol are names too.
        check("/v2/blobs/manifests/blobs/d", Endpoint::Blob(name("blobs/manifests"), "d".into()));
        check("/v2/tags/list/tags/list", Endpoint::Tags(name("tags/list")));
        check(
            "/v2/a/blobs/uploads/manifests/b",
            Endpoint::Manifest(name("a/blobs/uploads"), "b".into()),
        );
    }

    #[test]
    fn other_paths_are_none() {
        for path in ["", "/", "/v1/", "/v22/", "/v2/a", "/v2/a/b/c", "/v2//", "/v2/tags/list"] {
            assert_eq!(Endpoint::parse(path), Err(NoEndpoint::Unknown), "{path}");
        }
        for path in [
            "/v2/../manifests/x",
            "/v2/a/../../etc/manifests/x",
            "/v2/a//b/manifests/x",
            "/v2/A/tags/list",
            "/v2/a%2Fb/blobs/uploads/",
            "/v2//manifests/x",
        ] {
            assert!(matches!(Endpoint::parse(path), Err(NoEndpoint::Name(_))), "{path}");
        }
    }
}
