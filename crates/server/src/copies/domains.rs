//! Where servers stand, and which other is as far away as can be.

use std::cmp::Reverse;
use std::hash::{DefaultHasher, Hash, Hasher};

use api::host::DomainPath;
use api::id::ServerId;
use api::server::Server;

use crate::core::View;

/// The failure domain of a server: its own word, or that of the host on the same machine.
pub(super) fn domain_of(view: &View, server: &Server) -> DomainPath {
    if !server.domain.levels().is_empty() {
        return server.domain.clone();
    }
    let host = view.hosts.values().find(|row| server.runs_on(row));
    host.map(|row| row.domain.clone()).unwrap_or_default()
}

/// The same by the server's name.
pub(super) fn domain_by_name(view: &View, server: &ServerId) -> DomainPath {
    let row = view.servers.get(server.as_str());
    row.map(|row| domain_of(view, row)).unwrap_or_default()
}

/// Whether two servers count as standing apart: nothing is known of one, or their innermost
/// domains differ.
pub(super) fn apart(a: &DomainPath, b: &DomainPath) -> bool {
    a.levels().is_empty() || b.levels().is_empty() || a != b
}

/// How many levels two paths share, from the outermost.
fn shared(a: &DomainPath, b: &DomainPath) -> usize {
    a.levels().iter().zip(b.levels()).take_while(|(a, b)| a == b).count()
}

/// Orders servers to copy to: those farthest from `from` first, and among them each image another
/// one first.
pub(super) fn farthest(
    view: &View,
    from: &DomainPath,
    servers: Vec<ServerId>,
    image: &str,
) -> Vec<ServerId> {
    let rank = |server: &ServerId| {
        let domain = domain_by_name(view, server);
        let mut hash = DefaultHasher::new();
        (image, server).hash(&mut hash);
        (!apart(from, &domain), shared(from, &domain), Reverse(hash.finish()))
    };
    let mut ranked: Vec<_> = servers.into_iter().map(|server| (rank(&server), server)).collect();
    ranked.sort();
    ranked.into_iter().map(|(_, server)| server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> DomainPath {
        text.parse().unwrap()
    }

    #[test]
    fn servers_stand_apart_when_their_paths_differ_or_are_unknown() {
        assert!(apart(&path(""), &path("")));
        assert!(apart(&path("z/r/h1"), &path("z/r/h2")));
        assert!(!apart(&path("z/r/h1"), &path("z/r/h1")));
        assert_eq!(shared(&path("z/r/h1"), &path("z/r/h2")), 2);
        assert_eq!(shared(&path("z/r/h1"), &path("y/r/h1")), 0);
    }
}
