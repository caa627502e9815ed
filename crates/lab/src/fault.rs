//! What is wrong with the lab's network now, and the packet filter that makes it so. Pure: the rule
//! set is rendered whole from the value, and loaded in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::plan::Plan;

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

/// Everything that is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// Machines that nothing comes from and nothing gets to.
    #[serde(default)]
    pub silent: BTreeSet<String>,
    /// Links where packets get lost; all of them where the link is cut.
    #[serde(default, with = "links")]
    pub lossy: BTreeMap<Link, Loss>,
}

/// JSON has no maps with keys that are objects.
mod links {
    use super::{BTreeMap, Deserialize, Link, Loss, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Row {
        #[serde(flatten)]
        link: Link,
        loss: Loss,
    }

    pub(super) fn serialize<S: serde::Serializer>(
        links: &BTreeMap<Link, Loss>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(links.iter().map(|(link, loss)| Row { link: link.clone(), loss: *loss }))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<Link, Loss>, D::Error> {
        let rows = Vec::<Row>::deserialize(from)?;
        Ok(rows.into_iter().map(|row| (row.link, row.loss)).collect())
    }
}

impl Loss {
    /// Nothing gets through.
    pub const ALL: Self = Self { percent: 100 };
}

impl Faults {
    /// Makes the ways from each of `from` to each of `to` lossy, and back unless `one_way`.
    pub fn lose(&mut self, from: &BTreeSet<End>, to: &BTreeSet<End>, loss: Loss, one_way: bool) {
        let mut put = |from: &End, to: &End| {
            if from != to {
                self.lossy.insert(Link { from: from.clone(), to: to.clone() }, loss);
            }
        };
        for from in from {
            for to in to {
                put(from, to);
                if !one_way {
                    put(to, from);
                }
            }
        }
    }

    /// Ends all cuts and losses; dead machines stay silent.
    pub fn heal(&mut self) {
        self.lossy.clear();
    }

    /// The nft script that replaces whatever was there.
    #[must_use]
    pub fn render(&self, plan: &Plan) -> String {
        let port = |name: &str| plan.machine(name).map(|machine| machine.port());
        let silent: Vec<String> =
            self.silent.iter().filter_map(|name| port(name)).map(|it| format!("{it:?}")).collect();
        let dead = |side: &str| match silent.is_empty() {
            true => String::new(),
            false => format!("    {side} {{ {} }} drop\n", silent.join(", ")),
        };
        let (mut forward, mut input, mut output) = (String::new(), String::new(), String::new());
        for (link, loss) in &self.lossy {
            let what = match loss.percent {
                100.. => "drop".to_owned(),
                percent => format!("numgen random mod 100 < {percent} drop"),
            };
            let name = |end: &End| match end {
                End::Machine(name) => port(name),
                End::Outside => None,
            };
            let written = match (name(&link.from), name(&link.to)) {
                (Some(from), Some(to)) => {
                    writeln!(forward, "    iifname {from:?} oifname {to:?} {what}")
                }
                (Some(from), None) if link.to == End::Outside => {
                    writeln!(input, "    iifname {from:?} {what}")
                }
                (None, Some(to)) if link.from == End::Outside => {
                    writeln!(output, "    oifname {to:?} {what}")
                }
                _ => Ok(()),
            };
            written.expect("a string takes all");
        }
        let (from, to) = (dead("iifname"), dead("oifname"));
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
            chain("output", &[&to, &output]),
        ];
        format!(
            "table bridge {TABLE} {{}}\ndelete table bridge {TABLE}\n\
             table bridge {TABLE} {{\n{}}}\n",
            chains.concat()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Limits, Shape};

    fn plan() -> Plan {
        Plan::of(&Shape {
            servers: 1,
            hosts: 3,
            hypervisors: 0,
            racks: 0,
            apart: false,
            limits: Limits::default(),
            range: "10.64.0.0/24".parse().unwrap(),
        })
        .unwrap()
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
        let text = serde_json::to_string(&faults).unwrap();
        assert_eq!(serde_json::from_str::<Faults>(&text).unwrap(), faults);
        faults.heal();
        assert_eq!(faults.render(&plan()), Faults::default().render(&plan()));
    }
}
