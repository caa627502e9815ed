//! The text of the table: its fixed structure, and the script that loads everything.
//!
//! Pure. Values that reach the text are addresses, numbers and names derived from a checked slug,
//! so nothing can be injected.

use std::fmt::Write;

use super::diff::Changes;
use super::element::spread;
use super::ruleset::{Base, Ruleset, SPREADS_READY, Tunnel};
use crate::Slug;

/// The script that replaces the table by what `rules` wants, in one transaction. Connections that
/// are established stay so.
#[must_use]
pub fn render_full(rules: &Ruleset) -> String {
    let mut script = render_removal(&rules.base.slug);
    structure(&mut script, &rules.base);
    Changes::between(&rules.bare(), rules).render(&mut script, &rules.base.slug);
    script
}

/// The script that removes the table, whether it exists or not.
#[must_use]
pub fn render_removal(slug: &Slug) -> String {
    let table = slug.table();
    format!("add table inet {table}\ndelete table inet {table}\n")
}

/// The table without elements. Chains and sets are as the module's documentation names them.
fn structure(script: &mut String, base: &Base) {
    let table = base.slug.table();
    let spreads = (1..=SPREADS_READY).map(spread_chain).collect();
    let parts = [SETS.to_owned(), spreads, translation(base), forwarding(base), host(base)];
    // Writing to a string cannot fail.
    let _ = write!(script, "table inet {table} {{\n{}}}\n", parts.concat());
}

const SETS: &str = "\
    map services { type ipv4_addr . inet_proto . inet_service : verdict; }
    map endpoints {
        type ipv4_addr . inet_proto . inet_service . mark : ipv4_addr . inet_service;
    }
    map groups { type ipv4_addr : mark; }
    set pairs { type mark . mark; }
    set own { type ipv4_addr . ipv4_addr; }
    set confined { type ipv4_addr; }
    set host_ports { type inet_proto . inet_service; }
    set ports { type ifname . ipv4_addr; }
    set beyond { type ipv4_addr; flags interval; }
    set peers { typeof ip saddr . @th,336,24; }
";

/// The chain that chooses one of so many endpoints.
pub(super) fn spread_chain(count: usize) -> String {
    format!(
        "    chain {} {{
        meta mark set numgen random mod {count}
        dnat ip to ip daddr . meta l4proto . th dport . meta mark map @endpoints
    }}
",
        spread(count)
    )
}

/// What comes by the tunnel while it is still a datagram: VXLAN's identifier stands 12 bytes after
/// the UDP header's begin, the inner packet's type 28, its sender 42 (RFC 7348 §5). A host may send
/// from its own subnet only, and nobody else at all.
fn tunnelled(base: &Base) -> String {
    let Some(Tunnel { port, identifier }) = base.tunnel else { return String::new() };
    format!("        udp dport {port} @th,96,24 {identifier:#08x} goto from_tunnel\n")
}

/// False senders out, service addresses into endpoints, senders' addresses where they must not
/// show.
fn translation(base: &Base) -> String {
    let Base { slug, subnet, cluster, .. } = base;
    let group = slug.link_group();
    let tunnelled = tunnelled(base);
    format!(
        r#"    chain from_tunnel {{
        @th,224,16 0x0800 ip saddr . @th,336,24 @peers accept
        drop
    }}
    chain from_host {{
        ip saddr @beyond fib saddr . iif oif exists accept
        drop
    }}
    chain from_port {{
        iifname . ip saddr @ports accept
        drop
    }}
    chain senders {{
        type filter hook prerouting priority raw; policy accept;
        iifgroup {group} goto from_port
        iifname "lo" accept
{tunnelled}        ip saddr {cluster} goto from_host
    }}
    chain translate {{
        type nat hook prerouting priority dstnat; policy accept;
        iifgroup {group} meta l4proto {{ tcp, udp }} \
            ip daddr . meta l4proto . th dport vmap @services
    }}
    chain translated {{
        type filter hook prerouting priority dstnat + 1; policy accept;
        iifgroup {group} ct state new ct status dnat meta mark set 0
    }}
    chain masquerading {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr . ip daddr @own masquerade
        ip saddr {subnet} ip daddr != {cluster} masquerade
    }}
"#
    )
}

/// Who may send through the host to whom.
fn forwarding(base: &Base) -> String {
    let Base { slug, cluster, services, .. } = base;
    let (bridge, group) = (slug.bridge(), slug.link_group());
    // An instance that speaks VXLAN would leave with this host's address, which others believe.
    let posing =
        base.tunnel.map(|tunnel| format!("        udp dport {} goto denied\n", tunnel.port));
    let posing = posing.unwrap_or_default();
    format!(
        r#"    chain forwarding {{
        type filter hook forward priority filter; policy accept;
        iifgroup {group} goto from_instance
        oifgroup {group} goto to_instance
        oifname "{bridge}" drop
        ip daddr {cluster} drop
    }}
    chain from_instance {{
        ct state established,related accept
        ct state invalid drop
        ip daddr {services} goto refused
        ip daddr {cluster} goto between
        oifgroup {group} goto between
        oifname {{ "fh*", "fv*", "fx*" }} goto denied
{posing}        ip saddr @confined goto denied
        accept
    }}
    chain between {{
        meta mark set 0 ct mark set 0
        ct mark set ip saddr map @groups
        meta mark set ip daddr map @groups
        ct mark . meta mark @pairs meta mark set 0 ct mark set 0 accept
        meta mark set 0 goto denied
    }}
    chain to_instance {{
        ct state established,related accept
        iifname "fv*" goto denied
        ip saddr @beyond accept
        drop
    }}
"#
    )
}

/// What of the host is open, and how a refusal sounds.
fn host(base: &Base) -> String {
    let (gateway, group) = (base.gateway(), base.slug.link_group());
    format!(
        r#"    chain arriving {{
        type filter hook input priority filter; policy accept;
        iifgroup {group} goto to_host
        ct state established,related accept
        iifname != "lo" ip daddr {gateway} drop
    }}
    chain to_host {{
        ct state established,related accept
        ip daddr {gateway} meta l4proto . th dport @host_ports accept
        goto denied
    }}
    chain denied {{
        tcp flags & (syn | rst) == 0x0 reject with tcp reset
        reject with icmpx admin-prohibited
    }}
    chain refused {{
        meta l4proto tcp reject with tcp reset
        reject
    }}
"#
    )
}
