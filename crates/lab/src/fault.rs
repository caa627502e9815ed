//! What is wrong with the lab's network now, and the packet filter that makes it so. Pure: the rule
//! set is rendered whole from the value, and loaded in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::plan::{Machine, Plan};

/// The table in the lab's own namespace.
const TABLE: &str = "lab";

/// One end of a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// A machine.
    Machine(String),
    /// The outside client.
    Outside,
}

/// The way from one end to another, in that direction only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// Where a packet is sent.
    pub from: End,
    /// Where it would arrive.
    pub to: End,
}

/// How much gets lost on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Loss {
    /// Of a hundred packets, independently of each other; 1 to 100.
    pub percent: u8,
}

/// How long a link takes, at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Delay {
    /// Milliseconds; none when 0.
    pub millis: u16,
}

/// Everything that is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// Machines that nothing comes from and nothing gets to.
    #[serde(default)]
    pub silent: BTreeSet<String>,
    /// Links where packets get lost; all of them where the link is cut.
    #[serde(default, with = "links")]
    pub lossy: BTreeMap<Link, Loss>,
    /// Links between machines where packets are late.
    #[serde(default, with = "links")]
    pub slow: BTreeMap<Link, Delay>,
}

/// JSON has no maps with keys that are objects.
mod links {
    use super::{BTreeMap, Deserialize, Link, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Row<T> {
        #[serde(flatten)]
        link: Link,
        by: T,
    }

    pub(super) fn serialize<T: Serialize + Copy, S: serde::Serializer>(
        links: &BTreeMap<Link, T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(links.iter().map(|(link, by)| Row { link: link.clone(), by: *by }))
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<Link, T>, D::Error> {
        let rows = Vec::<Row<T>>::deserialize(from)?;
        Ok(rows.into_iter().map(|row| (row.link, row.by)).collect())
    }
}

impl Loss {
    /// Nothing gets through.
    pub const ALL: Self = Self { percent: 100 };
}

impl Faults {
    /// Makes the ways from each of `from` to each of `to` lossy, and back unless `one_way`.
    pub fn lose(&mut self, from: &BTreeSet<End>, to: &BTreeSet<End>, loss: Loss, one_way: bool) {
        self.lossy.extend(pairs(from, to, one_way).map(|link| (link, loss)));
    }

    /// Makes the ways from each of `from` to each of `to` slow, and back unless `one_way`. The
    /// outside client's are never slow.
    pub fn delay(&mut self, from: &BTreeSet<End>, to: &BTreeSet<End>, late: Delay, one_way: bool) {
        for link in pairs(from, to, one_way) {
            if late.millis == 0 {
                self.slow.remove(&link);
            } else if link.from != End::Outside && link.to != End::Outside {
                self.slow.insert(link, late);
            }
        }
    }

    /// Ends all cuts, losses and delays; dead machines stay silent.
    pub fn heal(&mut self) {
        self.lossy.clear();
        self.slow.clear();
    }

    /// The nft script that replaces whatever was there.
    ///
    /// On a slow link nothing passes by itself. What was held back comes from the bridge's own
    /// side, with the sender's hardware address, and meets the same rules there.
    #[must_use]
    pub fn render(&self, plan: &Plan) -> String {
        let (mut forward, mut input, mut output) = (String::new(), String::new(), String::new());
        for link in self.slow.keys() {
            let (Some(from), Some(to)) = (machine(plan, &link.from), machine(plan, &link.to))
            else {
                continue;
            };
            line(&mut forward, &format!("iifname {:?} oifname {:?} drop", from.port(), to.port()));
        }
        for (link, loss) in &self.lossy {
            let what = match loss.percent {
                100.. => "drop".to_owned(),
                percent => format!("numgen random mod 100 < {percent} drop"),
            };
            match (machine(plan, &link.from), machine(plan, &link.to)) {
                (Some(from), Some(to)) if self.slow.contains_key(link) => {
                    let (from, to) = (hardware(from), to.port());
                    line(&mut output, &format!("ether saddr {from} oifname {to:?} {what}"));
                }
                (Some(from), Some(to)) => {
                    let (from, to) = (from.port(), to.port());
                    line(&mut forward, &format!("iifname {from:?} oifname {to:?} {what}"));
                }
                (Some(from), None) if link.to == End::Outside => {
                    line(&mut input, &format!("iifname {:?} {what}", from.port()));
                }
                (None, Some(to)) if link.from == End::Outside => {
                    // Not what was held back on its way between machines.
                    let own = "ether saddr & ff:ff:00:00:00:00 != 0a:f4:00:00:00:00";
                    line(&mut output, &format!("{own} oifname {:?} {what}", to.port()));
                }
                _ => {}
            }
        }
        let silent: Vec<&Machine> =
            self.silent.iter().filter_map(|name| plan.machine(name)).collect();
        let dead = |side: &str, name: &dyn Fn(&Machine) -> String| match silent.is_empty() {
            true => String::new(),
            false => {
                let names = silent.iter().map(|it| name(it)).collect::<Vec<_>>().join(", ");
                format!("    {side} {{ {names} }} drop\n")
            }
        };
        let port = |it: &Machine| format!("{:?}", it.port());
        let (from, to) = (dead("iifname", &port), dead("oifname", &port));
        let held = dead("ether saddr", &|it| hardware(it));
        let chain = |hook: &str, rules: &[&str]| {
            format!(
                "  chain {hook} {{\n    type filter hook {hook} priority 0; policy accept;\n{}  \
                 }}\n",
                rules.concat()
            )
        };
        let chains = [
            chain("prerouting", &[&from]),
            chain("forward", &[&to, &forward]),
            chain("input", &[&input]),
            chain("output", &[&to, &held, &output]),
        ];
        format!(
            "table bridge {TABLE} {{}}\ndelete table bridge {TABLE}\n\
             table bridge {TABLE} {{\n{}}}\n",
            chains.concat()
        )
    }
}

fn machine<'a>(plan: &'a Plan, end: &End) -> Option<&'a Machine> {
    match end {
        End::Machine(name) => plan.machine(name),
        End::Outside => None,
    }
}

fn hardware(machine: &Machine) -> String {
    machine.mac().map(|byte| format!("{byte:02x}")).join(":")
}

fn line(to: &mut String, rule: &str) {
    writeln!(to, "    {rule}").expect("a string takes all");
}

/// The ways from each to each, and back unless `one_way`.
fn pairs<'a>(
    from: &'a BTreeSet<End>,
    to: &'a BTreeSet<End>,
    one_way: bool,
) -> impl Iterator<Item = Link> + 'a {
    let way = |from: &End, to: &End| Link { from: from.clone(), to: to.clone() };
    let both = from.iter().flat_map(move |from| {
        to.iter().flat_map(move |to| {
            let back = (!one_way).then(|| way(to, from));
            std::iter::once(way(from, to)).chain(back)
        })
    });
    both.filter(|link| link.from != link.to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Shape;

    fn plan() -> Plan {
        Plan::of(&Shape::default()).unwrap()
    }

    fn ends(names: &[&str]) -> BTreeSet<End> {
        names.iter().map(|name| End::Machine((*name).to_owned())).collect()
    }

    #[test]
    fn silence_is_both_ways_and_towards_the_outside() {
        let mut faults = Faults::default();
        faults.silent.insert("host-2".into());
        let script = faults.render(&plan());
        assert_eq!(script.matches("iifname { \"port12\" } drop").count(), 1, "{script}");
        assert_eq!(script.matches("oifname { \"port12\" } drop").count(), 2, "{script}");
        // What was held back before it died does not come after.
        let held = "ether saddr { 0a:f4:0a:40:00:0c } drop";
        assert_eq!(script.matches(held).count(), 1, "{script}");
    }

    #[test]
    fn cuts_and_losses_have_a_direction_and_heal() {
        let mut faults = Faults::default();
        faults.lose(&ends(&["host-1"]), &ends(&["host-1", "host-2"]), Loss::ALL, true);
        faults.lose(&ends(&["host-3"]), &[End::Outside].into(), Loss { percent: 30 }, false);
        let script = faults.render(&plan());
        for rule in [
            "iifname \"port11\" oifname \"port12\" drop",
            "iifname \"port13\" numgen random mod 100 < 30 drop",
            "oifname \"port13\" numgen random mod 100 < 30 drop",
        ] {
            assert_eq!(script.matches(rule).count(), 1, "{rule} in {script}");
        }
        assert!(!script.contains("iifname \"port12\" oifname"), "{script}");
        faults.delay(&ends(&["host-1"]), &ends(&["host-2"]), Delay { millis: 20 }, false);
        let script = faults.render(&plan());
        for rule in [
            "iifname \"port12\" oifname \"port11\" drop",
            "ether saddr 0a:f4:0a:40:00:0b oifname \"port12\" drop",
        ] {
            assert_eq!(script.matches(rule).count(), 1, "{rule} in {script}");
        }
        let text = serde_json::to_string(&faults).unwrap();
        assert_eq!(serde_json::from_str::<Faults>(&text).unwrap(), faults);
        faults.heal();
        assert_eq!(faults.render(&plan()), Faults::default().render(&plan()));
    }
}
