//! Can this host carry instances? A list of findings for `freehold net doctor` and for refusing to
//! start.
//!
//! Looks only; whatever it finds it changes nothing, least of all other programs' rules.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::nft::{NftError, render_removal};
use crate::overlay::Mode;
use crate::{Slug, nft, sysctl};

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub subject: &'static str,
    /// How it stands.
    pub level: Level,
    /// What was found.
    pub detail: String,
    /// What to type, where something can be done.
    pub hint: Option<String>,
}

/// How a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Fine,
    /// Works, or will be set when the agent starts, but the operator should know.
    Note,
    /// Some or all traffic of instances will not pass.
    Broken,
}

/// A chain of another program that drops forwarded packets by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropper {
    /// Table family and name, such as `ip filter`.
    pub table: String,
    /// The chain.
    pub chain: String,
}

/// Looks at everything in the calling thread's network namespace.
#[must_use]
pub fn doctor(slug: &Slug) -> Vec<Finding> {
    let mut findings = vec![packet_filter(slug), forwarding(), bridge_filter()];
    findings.extend(["bridge", "veth"].map(kernel_part));
    findings.extend(others(slug));
    findings
}

/// Looks at what the network between hosts needs: the tunnel's driver, and that no other packet
/// filter drops its datagrams (`port`) as they arrive.
#[must_use]
pub fn between_hosts(port: u16, mode: Mode) -> Vec<Finding> {
    if mode == Mode::Direct {
        return Vec::new();
    }
    let subject = "tunnel to other hosts";
    let mut findings = vec![kernel_part("vxlan")];
    let found = match nft::run(&["-j", "list", "ruleset"], "") {
        Ok(listing) => tunnel_droppers(&listing, port),
        Err(error) => return vec![broken(subject, format!("rules cannot be listed: {error}"))],
    };
    if found.is_empty() {
        findings.push(fine(subject, format!("no packet filter drops UDP port {port}")));
    }
    findings.extend(found.into_iter().map(|Dropper { table, chain }| Finding {
        subject,
        level: Level::Broken,
        detail: format!(
            "chain {chain} of table {table} drops UDP port {port}, by which other hosts' \
             instances are reached"
        ),
        hint: Some(format!("nft insert rule {table} {chain} udp dport {port} accept")),
    }));
    findings
}

fn packet_filter(slug: &Slug) -> Finding {
    let subject = "packet filter";
    let refused = |complaint: String| Finding {
        subject,
        level: Level::Broken,
        detail: format!("nft refuses a table of ours: {complaint}"),
        hint: None,
    };
    // Checks the script with all privileges it needs, but loads nothing.
    match nft::check_script(&render_removal(slug)) {
        Ok(()) => fine(subject, "nft works"),
        Err(NftError::Run(error)) => Finding {
            subject,
            level: Level::Broken,
            detail: format!("nft cannot be run: {error}"),
            hint: Some("apt-get install nftables".into()),
        },
        Err(NftError::Refused { complaint }) => refused(complaint),
        Err(NftError::Elements(error)) => refused(error.to_string()),
    }
}

fn forwarding() -> Finding {
    let subject = "forwarding";
    match sysctl::read("net/ipv4/ip_forward").as_deref() {
        Ok("1") => fine(subject, "net.ipv4.ip_forward is on"),
        Ok(_) => Finding {
            subject,
            level: Level::Note,
            detail: "net.ipv4.ip_forward is off; the agent turns it on".into(),
            hint: Some("sysctl -w net.ipv4.ip_forward=1".into()),
        },
        Err(error) => broken(subject, error.to_string()),
    }
}

fn bridge_filter() -> Finding {
    let subject = "br_netfilter";
    let detail = match sysctl::read("net/bridge/bridge-nf-call-iptables").as_deref() {
        Ok("1") => "on; instances are routed, so it does not touch them",
        Ok(_) => "off",
        Err(_) => "not loaded",
    };
    fine(subject, detail)
}

fn kernel_part(name: &'static str) -> Finding {
    let loaded = Path::new("/sys/module").join(name).exists();
    let available = || {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let folder = Path::new("/lib/modules").join(release.trim());
        ["modules.builtin", "modules.dep"].into_iter().any(|list| {
            fs::read_to_string(folder.join(list))
                .is_ok_and(|text| text.contains(&format!("/{name}.ko")))
        })
    };
    if loaded || available() {
        return fine(name, "in the kernel");
    }
    // A kernel without module lists may still have it built in: only making a link tells.
    Finding {
        subject: name,
        level: Level::Note,
        detail: format!("no sign of the kernel's {name} driver; it may be built in"),
        hint: Some(format!("modprobe {name}")),
    }
}

/// Other programs that drop what instances send.
fn others(slug: &Slug) -> Vec<Finding> {
    let subject = "other packet filters";
    let mut found = match nft::run(&["-j", "list", "chains"], "") {
        Ok(listing) => forward_droppers(&listing, &slug.table()),
        Err(error) => return vec![broken(subject, format!("chains cannot be listed: {error}"))],
    };
    if legacy_drops() {
        found.push(Dropper { table: "legacy ip filter".into(), chain: "FORWARD".into() });
    }
    if found.is_empty() {
        return vec![fine(subject, "none drops forwarded packets by default")];
    }
    let finding = |dropper: Dropper| Finding {
        subject,
        level: Level::Broken,
        detail: format!(
            "chain {} of table {} drops forwarded packets by default; \
             what instances send passes only where its rules accept it",
            dropper.chain, dropper.table
        ),
        hint: Some(accepting(&dropper)),
    };
    found.into_iter().map(finding).collect()
}

/// The commands that let instances through another program's chain. Their ports begin with `fv`.
fn accepting(dropper: &Dropper) -> String {
    let Dropper { table, chain } = dropper;
    if table.ends_with("ip filter") {
        let program = if table.starts_with("legacy") { "iptables-legacy" } else { "iptables" };
        return format!(
            "{program} -I {chain} -i fv+ -j ACCEPT && {program} -I {chain} -o fv+ -j ACCEPT"
        );
    }
    format!(
        "nft insert rule {table} {chain} iifname 'fv*' accept && \
         nft insert rule {table} {chain} oifname 'fv*' accept"
    )
}

/// The base chains at the forward hook, outside the table `own`, whose policy is to drop, read from
/// `nft -j list chains`. Unreadable text has none.
#[must_use]
pub fn forward_droppers(listing: &[u8], own: &str) -> Vec<Dropper> {
    let Ok(listing) = serde_json::from_slice::<Value>(listing) else { return Vec::new() };
    let objects = listing.get("nftables").and_then(Value::as_array);
    let drops = |chain: &Value| -> Option<Dropper> {
        let text = |key: &str| chain.get(key).and_then(Value::as_str);
        let (family, table) = (text("family")?, text("table")?);
        let concerns = matches!(family, "ip" | "inet") && table != own;
        (concerns && text("hook")? == "forward" && text("policy")? == "drop").then_some(())?;
        Some(Dropper { table: format!("{family} {table}"), chain: text("name")?.to_owned() })
    };
    objects.into_iter().flatten().filter_map(|object| drops(object.get("chain")?)).collect()
}

/// The chains through which UDP datagrams to `port` do not arrive, read from `nft -j list ruleset`:
/// those at the input hook that drop by default and whose table accepts the port nowhere, and those
/// with a rule that drops it. Rules that look at more than the port count as well, and what only
/// runs of them decide (sets, sources) is not followed: a hint, not a proof.
#[must_use]
pub fn tunnel_droppers(listing: &[u8], port: u16) -> Vec<Dropper> {
    let Ok(listing) = serde_json::from_slice::<Value>(listing) else { return Vec::new() };
    let objects: Vec<&Value> =
        listing.get("nftables").and_then(Value::as_array).into_iter().flatten().collect();
    let text = |object: &Value, key: &str| object.get(key)?.as_str().map(str::to_owned);
    let table = |object: &Value, key: &str| {
        let family = text(object, "family").filter(|family| family == "ip" || family == "inet")?;
        Some(Dropper {
            table: format!("{family} {}", text(object, "table")?),
            chain: text(object, key)?,
        })
    };
    let mut found = Vec::new();
    let mut accepting = Vec::new();
    for rule in objects.iter().filter_map(|object| object.get("rule")) {
        let Some(place) = table(rule, "chain") else { continue };
        let parts = rule.get("expr").and_then(Value::as_array).map(Vec::as_slice);
        let parts = parts.unwrap_or_default();
        let has = |verdict: &str| parts.iter().any(|part| part.get(verdict).is_some());
        if !parts.iter().any(|part| is_to_port(part, port)) {
            continue;
        }
        if has("accept") {
            accepting.push(place.table);
        } else if has("drop") || has("reject") {
            found.push(place);
        }
    }
    let chains = objects.iter().filter_map(|object| object.get("chain"));
    found.extend(chains.filter_map(|chain| {
        let arriving = text(chain, "hook")? == "input" && text(chain, "policy")? == "drop";
        table(chain, "name").filter(|place| arriving && !accepting.contains(&place.table))
    }));
    found
}

/// Whether an expression of a rule matches UDP datagrams to a port.
fn is_to_port(part: &Value, port: u16) -> bool {
    let Some(matching) = part.get("match") else { return false };
    let payload = matching.pointer("/left/payload");
    let at = |key: &str| payload.and_then(|payload| payload.get(key)).and_then(Value::as_str);
    let about = matches!(at("protocol"), Some("udp" | "th")) && at("field") == Some("dport");
    about && matching.get("right").is_some_and(|right| covers(right, port))
}

/// Whether a number, range or set of nft's JSON has a port in it.
fn covers(right: &Value, port: u16) -> bool {
    let number = |value: &Value| value.as_u64();
    if let Some(exact) = number(right) {
        return exact == u64::from(port);
    }
    if let Some([low, high]) = right.get("range").and_then(Value::as_array).map(Vec::as_slice) {
        let inside = |low, high| (low..=high).contains(&u64::from(port));
        return number(low).zip(number(high)).is_some_and(|(low, high)| inside(low, high));
    }
    let members = right.get("set").and_then(Value::as_array);
    members.into_iter().flatten().any(|member| covers(member, port))
}

/// Whether iptables' old engine, which nft does not show, drops forwarded packets. It is asked only
/// when its table exists, since asking would make it.
fn legacy_drops() -> bool {
    let tables = fs::read_to_string("/proc/thread-self/net/ip_tables_names").unwrap_or_default();
    tables.lines().any(|table| table == "filter")
        && Command::new("iptables-legacy")
            .args(["-S", "FORWARD"])
            .env("PATH", nft::search_path())
            .output()
            .is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("-P FORWARD DROP"))
}

fn fine(subject: &'static str, detail: impl Into<String>) -> Finding {
    Finding { subject, level: Level::Fine, detail: detail.into(), hint: None }
}

fn broken(subject: &'static str, detail: String) -> Finding {
    Finding { subject, level: Level::Broken, detail, hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_foreign_chains_that_drop_forwarded_packets_are_named() {
        let chain = |family: &str, table: &str, hook: &str, policy: &str| {
            format!(
                r#"{{"chain": {{"family": "{family}", "table": "{table}", "name": "FORWARD",
                    "handle": 1, "type": "filter", "hook": "{hook}", "prio": 0,
                    "policy": "{policy}"}}}}"#
            )
        };
        let listing = format!(
            r#"{{"nftables": [{{"metainfo": {{"version": "1.0.6"}}}}, {}, {}, {}, {}, {},
                {{"chain": {{"family": "ip", "table": "filter", "name": "DOCKER"}}}}]}}"#,
            chain("ip", "filter", "forward", "drop"),
            chain("ip", "filter", "input", "drop"),
            chain("ip6", "filter", "forward", "drop"),
            chain("inet", "firewalld", "forward", "accept"),
            chain("inet", "freehold_aa", "forward", "drop"),
        );
        let found = forward_droppers(listing.as_bytes(), "freehold_aa");
        assert_eq!(found, [Dropper { table: "ip filter".into(), chain: "FORWARD".into() }]);
        assert!(accepting(&found[0]).starts_with("iptables -I FORWARD -i fv+"));
        assert!(forward_droppers(b"not json", "x").is_empty());
    }

    #[test]
    fn who_drops_the_tunnel_is_named() {
        let chain = |name: &str, policy: &str| {
            format!(
                r#"{{"chain":{{"family":"inet","table":"fw","name":"{name}","hook":"input",
                   "policy":"{policy}"}}}}"#
            )
        };
        let rule = |right: &str, verdict: &str| {
            format!(
                r#"{{"rule":{{"family":"inet","table":"fw","chain":"in","expr":[
                   {{"match":{{"op":"==","left":{{"payload":{{"protocol":"udp","field":"dport"}}}},
                   "right":{right}}}}},{{"{verdict}":null}}]}}}}"#
            )
        };
        let named = |objects: &[String]| {
            let listing = format!(r#"{{"nftables":[{}]}}"#, objects.join(","));
            let found = tunnel_droppers(listing.as_bytes(), 4789);
            found.into_iter().map(|dropper| dropper.chain).collect::<Vec<_>>()
        };
        assert_eq!(named(&[chain("in", "drop")]), ["in"]);
        assert_eq!(named(&[chain("in", "accept")]), [""; 0]);
        for right in ["4789", r#"{"set":[53,4789]}"#, r#"{"range":[4000,5000]}"#] {
            assert_eq!(named(&[chain("in", "drop"), rule(right, "accept")]), [""; 0], "{right}");
            assert_eq!(named(&[chain("in", "accept"), rule(right, "drop")]), ["in"], "{right}");
        }
        for right in ["53", r#"{"set":[53,{"range":[1,9]}]}"#] {
            assert_eq!(named(&[chain("in", "drop"), rule(right, "accept")]), ["in"], "{right}");
        }
        assert_eq!(named(&["garbage".to_owned()]), [""; 0]);
    }
}
