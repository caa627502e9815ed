//! Which references mean the cluster's own registry.

use client::Client;
use image::Reference;

use crate::failure::Failure;

/// A reference into the cluster's own registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InCluster {
    /// The repository.
    pub repository: String,
    /// A digest or tag.
    pub wanted: String,
    /// The reference without a host: its name on this machine.
    pub reference: Reference,
}

impl InCluster {
    /// Takes a reference without a host, or with the address of a server as its host.
    pub(crate) fn of(reference: &Reference, client: &Client) -> Result<Self, Failure> {
        let servers: Vec<String> =
            client.addresses().iter().map(client::Address::authority).collect();
        Self::among(reference, &servers)
    }

    fn among(reference: &Reference, servers: &[String]) -> Result<Self, Failure> {
        if let Some(host) = reference.host()
            && !servers.iter().any(|server| server == host)
        {
            let message = format!("reach {reference}: {host} is not the cluster's own registry");
            return Err(Failure::invalid(message).hint(
                "leave the host out; for other registries: skopeo copy, then freehold image import",
            ));
        }
        let reference = reference.on(None)?;
        let (repository, wanted) = (reference.path().to_owned(), reference.wanted());
        Ok(Self { repository, wanted, reference })
    }
}

/// The same digest as the image crate writes it.
pub(crate) fn image_digest(digest: &api::digest::Digest) -> image::Digest {
    digest.as_str().parse().expect("both are sha256 and 64 lower-case hex digits")
}

/// The same digest as the API writes it.
pub(crate) fn api_digest(digest: &image::Digest) -> api::digest::Digest {
    digest.to_string().parse().expect("both are sha256 and 64 lower-case hex digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_clusters_own_registry_is_meant() {
        let servers = ["127.0.0.1:7443".to_owned()];
        let of = |text: &str| InCluster::among(&text.parse().unwrap(), &servers);
        let plain = of("team/app:1").unwrap();
        assert_eq!((plain.repository.as_str(), plain.wanted.as_str()), ("team/app", "1"));
        assert_eq!(of("127.0.0.1:7443/team/app:1").unwrap(), plain);
        assert_eq!(of("team/app").unwrap().wanted, "latest");
        assert!(of("docker.io/library/nginx").unwrap_err().hint.unwrap().contains("skopeo"));
    }

    #[test]
    fn digests_are_the_same_in_both_crates() {
        let digest = image::Digest::of(b"x");
        assert_eq!(image_digest(&api_digest(&digest)), digest);
    }
}
