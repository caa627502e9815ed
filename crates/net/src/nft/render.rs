//! The text of the tables: their fixed structure, and the script that loads everything.
//!
//! Pure. Values that reach the text are addresses, numbers and names derived from a checked slug, so
//! nothing can be injected.

use std::fmt::Write;

use super::diff::Changes;
use super::ruleset::{Base, Ruleset};
use crate::Slug;

/// Runs before anything of other tables that looks at frames.
const BRIDGE_PRIORITY: i32 = -300;

/// The script that replaces both tables by what `rules` wants, in one transaction. Connections that
/// are established stay so.
#[must_use]
pub fn render_full(rules: &Ruleset) -> String {
    let mut script = render_removal(&rules.base.slug);
    structure(&mut script, &rules.base);
    Changes::between(&rules.bare(), rules).render(&mut script, &rules.base.slug);
    script
}

/// The script that removes both tables, whether they exist or not.
#[must_use]
pub fn render_removal(slug: &Slug) -> String {
    let table = slug.table();
    ["inet", "bridge"]
        .map(|family| format!("add table {family} {table}\ndelete table {family} {table}\n"))
        .concat()
}

fn structure(script: &mut String, base: &Base) {
    let Base { slug, subnet, cluster, services } = base;
    let (table, bridge) = (slug.table(), slug.bridge());
    let (gateway, group) = (base.gateway(), slug.link_group());
    let text = format!(
        r#"table inet {table} {{
    map services {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
    map endpoints {{
        type ipv4_addr . inet_proto . inet_service . mark : ipv4_addr . inet_service;
    }}
    map groups {{ type ipv4_addr : mark; }}
    set pairs {{ type mark . mark; }}
    set own {{ type ipv4_addr . ipv4_addr; }}
    set confined {{ type ipv4_addr; }}
    set host_ports {{ type inet_proto . inet_service; }}

    chain translate {{
        type nat hook prerouting priority dstnat; policy accept;
        iifname "{bridge}" meta l4proto {{ tcp, udp }} \
            ip daddr . meta l4proto . th dport vmap @services
    }}
    chain translated {{
        type filter hook prerouting priority dstnat + 1; policy accept;
        iifname "{bridge}" ct state new ct status dnat meta mark set 0
    }}
    chain masquerading {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr . ip daddr @own masquerade
        ip saddr {subnet} ip daddr != {cluster} oifname != "{bridge}" masquerade
    }}
    chain forwarding {{
        type filter hook forward priority filter; policy accept;
        iifname "{bridge}" goto from_instance
        oifname "{bridge}" goto to_instance
    }}
    chain from_instance {{
        ip saddr != {subnet} drop
        meta nfproto != ipv4 drop
        ct state established,related accept
        ct state invalid drop
        ip daddr {services} goto refused
        ip daddr {cluster} goto between
        oifname "{bridge}" goto between
        oifname "fh*" goto denied
        ip saddr @confined goto denied
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
        drop
    }}
    chain arriving {{
        type filter hook input priority filter; policy accept;
        iifname "{bridge}" goto to_host
        iifname != "lo" ip daddr {gateway} drop
    }}
    chain to_host {{
        ct state established,related accept
        ip daddr {gateway} meta l4proto . th dport @host_ports accept
        goto denied
    }}
    chain denied {{
        reject with icmpx admin-prohibited
    }}
    chain refused {{
        meta l4proto tcp reject with tcp reset
        reject
    }}
}}
table bridge {table} {{
    set ports {{ type ifname . ipv4_addr; }}

    chain frames {{
        type filter hook prerouting priority {BRIDGE_PRIORITY}; policy accept;
        iifgroup {group} goto from_port
    }}
    chain from_port {{
        ether type ip iifname . ip saddr @ports accept
        ether type arp iifname . arp saddr ip @ports accept
        drop
    }}
    chain switching {{
        type filter hook forward priority {BRIDGE_PRIORITY}; policy accept;
        iifgroup {group} drop
    }}
}}
"#
    );
    // Writing to a string cannot fail.
    let _ = script.write_str(&text);
}
