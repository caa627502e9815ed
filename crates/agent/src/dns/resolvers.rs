//! The host's own resolvers.

use std::net::{IpAddr, SocketAddr};

/// The most resolvers that are used, as in resolv.conf(5).
const MAX_RESOLVERS: usize = 3;

/// The resolvers that a `resolv.conf` names, without `own`, which would ask itself.
#[must_use]
pub fn parse_resolvers(text: &str, own: IpAddr) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next()? == "nameserver").then_some(())?;
            words.next()?.parse::<IpAddr>().ok()
        })
        .filter(|address| *address != own)
        .take(MAX_RESOLVERS)
        .map(|address| SocketAddr::new(address, 53))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameservers_are_found_and_we_are_not_one() {
        let text = "# c\nsearch a b\nnameserver 10.0.0.1\n nameserver  10.0.0.2 \n\
                    nameserver fe80::1%eth0\nnameserver ::1\nnameserver 10.0.0.4\n\
                    nameserver 10.0.0.5\n";
        let own = "10.0.0.1".parse().unwrap();
        let found: Vec<String> =
            parse_resolvers(text, own).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.2:53", "[::1]:53", "10.0.0.4:53"]);
        assert!(parse_resolvers("", own).is_empty());
    }
}
