//! What the kernel counts in a machine's or an instance's network: pieces of packets, complaints
//! about their size, repetitions; and packets by size, as a packet filter of our own sees them.

use anyhow::{Context, Result};
use serde_json::Value;

use super::super::freehold::InstanceRow;
use super::super::lab::Lab;

/// The packet filter's table.
const TABLE: &str = "bench_sizes";

/// The link of machines and instances alike.
const LINK: &str = "eth0";

/// A network that packets begin or end in.
#[derive(Debug, Clone)]
pub(super) struct Place {
    host: String,
    /// A process of the instance; none for the machine's own network.
    pid: Option<String>,
}

/// What is counted from the start of a network on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Packets that were cut in pieces, could not be, or came in pieces.
    pub(super) fragments: u64,
    /// Messages that something did not arrive, those for its size among them.
    pub(super) too_big: u64,
    /// Pieces of connections that were sent again.
    pub(super) resent: u64,
    /// Those that had arrived before, as who got them twice told.
    pub(super) needless: u64,
    /// All that were sent.
    pub(super) sent: u64,
}

impl Counters {
    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            fragments: self.fragments + other.fragments,
            too_big: self.too_big + other.too_big,
            resent: self.resent + other.resent,
            needless: self.needless + other.needless,
            sent: self.sent + other.sent,
        }
    }

    /// What came since.
    pub(super) fn minus(self, before: &Self) -> Self {
        Self {
            fragments: self.fragments.saturating_sub(before.fragments),
            too_big: self.too_big.saturating_sub(before.too_big),
            resent: self.resent.saturating_sub(before.resent),
            needless: self.needless.saturating_sub(before.needless),
            sent: self.sent.saturating_sub(before.sent),
        }
    }

    /// Reads `/proc/net/snmp` with `/proc/net/netstat`.
    fn read(text: &str) -> Result<Self> {
        let of = |group, name| counter(text, group, name).with_context(|| format!("no {name}"));
        let mut fragments = 0;
        for name in ["FragOKs", "FragFails", "FragCreates", "ReasmReqds", "ReasmFails"] {
            fragments += of("Ip", name)?;
        }
        let too_big = of("Icmp", "InDestUnreachs")? + of("Icmp", "OutDestUnreachs")?;
        let (resent, sent) = (of("Tcp", "RetransSegs")?, of("Tcp", "OutSegs")?);
        let needless = of("TcpExt", "TCPDSACKRecv")? + of("TcpExt", "TCPDSACKOfoRecv")?;
        Ok(Self { fragments, too_big, resent, needless, sent })
    }
}

/// One counter: a line of names, then a line of values, both after the group's name.
fn counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(": "));
    let mut of_group = lines.by_ref().filter(|(head, _)| *head == group).map(|(_, rest)| rest);
    let at = of_group.next()?.split(' ').position(|word| word == name)?;
    of_group.next()?.split(' ').nth(at)?.parse().ok()
}

/// Packets that this machine's receive queues had no room for, of all networks together: the
/// second word of each processor's line.
pub(super) fn dropped() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/net/softnet_stat").context("read receive queues")?;
    sum_of_dropped(&text).context("understand receive queues")
}

fn sum_of_dropped(text: &str) -> Option<u64> {
    text.lines().map(|line| u64::from_str_radix(line.split(' ').nth(1)?, 16).ok()).sum()
}

/// Packets that came, by size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Those as large as the link takes.
    pub(super) full: u64,
    /// Larger ones: several that were not cut yet.
    pub(super) larger: u64,
}

impl Sizes {
    /// Reads what `nft -j list counters` says.
    fn read(text: &str) -> Result<Self> {
        let all: Value = serde_json::from_str(text).context("read packet counters")?;
        let of = |name: &str| {
            let mut all = all["nftables"].as_array().into_iter().flatten();
            let found = all.find(|it| it["counter"]["name"] == name);
            let packets = found.and_then(|it| it["counter"]["packets"].as_u64());
            packets.with_context(|| format!("no packet counter {name}"))
        };
        Ok(Self { full: of("full")?, larger: of("larger")? })
    }
}

impl Place {
    /// A machine's own network.
    pub(super) fn machine(host: &str) -> Self {
        Self { host: host.to_owned(), pid: None }
    }

    /// An instance's network.
    pub(super) fn instance(row: &InstanceRow) -> Result<Self> {
        let pid = row.pid.context("an instance has no process")?;
        Ok(Self { host: row.host.clone(), pid: Some(pid.to_string()) })
    }

    /// The machine it is on.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    fn ask(&self, lab: &Lab, words: &[&str]) -> Result<String> {
        match &self.pid {
            None => lab.ask_on(&self.host, words),
            Some(pid) => {
                let enter = ["nsenter", "--target", pid, "--net"];
                lab.ask_on(&self.host, &[&enter, words].concat())
            }
        }
    }

    /// Has connections from here cut what they send into packets, as a network card would at the
    /// latest: between namespaces many travel as one else.
    pub(super) fn cut(&self, lab: &Lab) -> Result<()> {
        self.ask(lab, &["ip", "link", "set", LINK, "gso_max_segs", "1"]).map(drop)
    }

    /// The largest packet.
    pub(super) fn mtu(&self, lab: &Lab) -> Result<u32> {
        let text = self.ask(lab, &["ip", "-json", "link", "show", LINK])?;
        let links: Value = serde_json::from_str(&text).context("read links")?;
        let mtu = links[0]["mtu"].as_u64().and_then(|mtu| u32::try_from(mtu).ok());
        mtu.context("a link without a largest packet")
    }

    /// The kernel's counters.
    pub(super) fn counters(&self, lab: &Lab) -> Result<Counters> {
        Counters::read(&self.ask(lab, &["cat", "/proc/net/snmp", "/proc/net/netstat"])?)
    }

    /// Begins to count packets by size, from nothing: those that match one of `kinds`, which
    /// exclude each other.
    pub(super) fn watch_sizes(&self, lab: &Lab, kinds: &[String]) -> Result<()> {
        self.ask(lab, &["nft", &script(self.mtu(lab)?, kinds)]).map(drop)
    }

    /// Packets by size since then.
    pub(super) fn sizes(&self, lab: &Lab) -> Result<Sizes> {
        let text = self.ask(lab, &["nft", "-j", "list", "counters", "table", "ip", TABLE])?;
        Sizes::read(&text)
    }
}

/// The table that counts what comes in by the link.
fn script(mtu: u32, kinds: &[String]) -> String {
    let mut text = format!(
        "add table ip {TABLE}\ndelete table ip {TABLE}\ntable ip {TABLE} {{\n\
         counter full {{ }}\ncounter larger {{ }}\nchain come {{\n\
         type filter hook prerouting priority raw; policy accept;\n"
    );
    for kind in kinds {
        let come = format!("iifname \"{LINK}\" {kind} ip length");
        text.push_str(&format!("{come} {mtu} counter name \"full\"\n"));
        text.push_str(&format!("{come} > {mtu} counter name \"larger\"\n"));
    }
    text + "}\n}\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_counted_by_size() {
        let kinds = ["tcp sport 7".to_owned(), "tcp dport 7".to_owned()];
        let text = script(1450, &kinds);
        let rules: Vec<&str> = text.lines().filter(|line| line.contains("counter name")).collect();
        assert_eq!(rules.len(), 4);
        assert_eq!(rules[0], r#"iifname "eth0" tcp sport 7 ip length 1450 counter name "full""#);
        assert!(rules[3].contains("dport 7 ip length > 1450"), "{text}");
    }

    const SNMP: &str = "Ip: Forwarding FragOKs FragFails FragCreates ReasmReqds ReasmFails\n\
        Ip: 1 1 20 300 4000 50000\n\
        Icmp: InMsgs InDestUnreachs OutDestUnreachs\nIcmp: 9 3 4\n\
        IcmpMsg: InType3\nIcmpMsg: 7\nTcp: RetransSegs OutSegs\nTcp: 6 80\n\
        TcpExt: TCPDSACKRecv TCPDSACKOfoRecv\nTcpExt: 4 1\n";

    #[test]
    fn counters_are_found_by_their_names() {
        let read = Counters::read(SNMP).unwrap();
        assert_eq!(
            read,
            Counters { fragments: 54_321, too_big: 7, resent: 6, needless: 5, sent: 80 }
        );
        assert_eq!(read.minus(&read), Counters::default());
        assert_eq!(read.plus(Counters::default()), read);
        assert!(Counters::read("Ip: FragOKs\nIp: 1\n").is_err());
        let own = ["snmp", "netstat"]
            .map(|name| std::fs::read_to_string(format!("/proc/net/{name}")).unwrap());
        assert!(Counters::read(&own.concat()).is_ok());
    }

    #[test]
    fn drops_of_all_processors_are_added() {
        assert_eq!(sum_of_dropped("00ff 00000010 0\n0001 0000000a 0\n"), Some(26));
        assert_eq!(sum_of_dropped("00ff\n"), None);
        assert!(dropped().is_ok());
    }

    #[test]
    fn sizes_are_read_as_nft_writes_them() {
        let text = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
            {"counter": {"family": "ip", "name": "full", "table": "t", "packets": 5, "bytes": 9}},
            {"counter": {"family": "ip", "name": "larger", "table": "t", "packets": 0}}]}"#;
        assert_eq!(Sizes::read(text).unwrap(), Sizes { full: 5, larger: 0 });
        assert!(Sizes::read("{}").is_err());
    }
}
