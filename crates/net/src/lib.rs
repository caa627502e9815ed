//! Links, bridges, routes, nftables and namespaces as idempotent calls.
