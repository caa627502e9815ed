//! The command lines of what runs on a machine. Pure.
//!
//! A lone server keeps its state in SQLite and has a certificate made for it; several begin and
//! join as they do on machines of their own, and so does every agent.

use std::path::{Path, PathBuf};

use crate::certificates::CLUSTER;
use crate::directory::Lab;
use crate::plan::{API_PORT, Machine, Member, Plan, Role};

/// Names the installation inside each machine, which has namespaces of its own.
const SLUG: &str = "lab";

/// How a role comes to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// What it needs is in its directory.
    Plain,
    /// The first server makes the cluster.
    Init,
    /// It joins with a token.
    Join,
}

impl Way {
    /// How a member comes to run; `begun` when it has run before.
    pub(crate) fn of(plan: &Plan, machine: &Machine, member: &Member, begun: bool) -> Self {
        let first = plan.with_role(Role::Server).next().is_some_and(|it| it.name == machine.name);
        match member.role {
            _ if begun => Self::Plain,
            Role::Server if plan.lone_server() => Self::Plain,
            Role::Server if first => Self::Init,
            _ => Self::Join,
        }
    }
}

/// A role's directory.
pub(crate) fn data(lab: &Lab, machine: &Machine, role: Role) -> PathBuf {
    lab.machine(&machine.name).join("disk").join(role.word())
}

/// Whether a role has begun: what it knows from then is there.
pub(crate) fn has_begun(lab: &Lab, machine: &Machine, role: Role) -> bool {
    data(lab, machine, role).join(format!("{}.toml", role.word())).exists()
}

/// The file that a member's join token is in.
pub(crate) fn token(lab: &Lab, machine: &str, role: Role) -> PathBuf {
    lab.machine(machine).join(format!("{}.token", role.word()))
}

/// The program that a server runs as its etcd.
pub(crate) fn etcd(lab: &Lab, machine: &str) -> PathBuf {
    lab.machine(machine).join("etcd")
}

/// That program: etcd, which does not start while it is held.
pub(crate) fn etcd_script(program: &Path, held: &Path) -> String {
    let (program, held) = (quoted(program), quoted(held));
    format!("#!/bin/sh\nwhile [ -e {held} ]; do sleep 0.05; done\nexec {program} \"$@\"\n")
}

fn quoted(path: &Path) -> String {
    format!("'{}'", text(path).replace('\'', "'\\''"))
}

/// Arguments of `freehold` for a member of a machine.
pub(crate) fn arguments(
    lab: &Lab,
    plan: &Plan,
    machine: &Machine,
    member: &Member,
    way: Way,
) -> Vec<String> {
    let mut all = vec![member.role.word().to_owned()];
    let mut add = |name: &str, value: String| all.extend([name.to_owned(), value]);
    add("--data", text(&data(lab, machine, member.role)));
    if way == Way::Join {
        add("--join", others(plan, machine, member).join(","));
        add("--token-file", text(&token(lab, &machine.name, member.role)));
    }
    match (member.role, way) {
        (Role::Server, Way::Plain) if plan.lone_server() => lone(lab, plan, machine, &mut add),
        (Role::Server, Way::Plain) => {}
        (Role::Server, _) => {
            add("--name", member.name.clone());
            add("--api", format!("{}:{API_PORT}", machine.address));
            add("--etcd-binary", text(&etcd(lab, &machine.name)));
            if way == Way::Init {
                add("--cluster", CLUSTER.to_owned());
                add("--instance-range", plan.instances.to_string());
                add("--service-range", plan.services.to_string());
            }
        }
        (Role::Agent, _) => {
            add("--run-dir", format!("/run/freehold/{SLUG}"));
            add("--slug", SLUG.to_owned());
            add("--domain", machine.domain().to_string());
            add("--address", machine.address.to_string());
            if way == Way::Join {
                add("--name", member.name.clone());
                add("--label", "ingress=true".to_owned());
                // It is kept with what it learns when it joins.
                plan.overlay.iter().for_each(|mode| add("--overlay", mode.clone()));
            }
        }
        (Role::Etcd, _) => {}
    }
    if way == Way::Init {
        all.push("--init".to_owned());
    }
    all
}

/// What a server without others is given.
fn lone(lab: &Lab, plan: &Plan, machine: &Machine, add: &mut impl FnMut(&str, String)) {
    let own = lab.machine(&machine.name);
    let name = machine.member(Role::Server).map(|member| member.name.clone());
    add("--certificate", text(&own.join("server.pem")));
    add("--key", text(&own.join("server.key")));
    add("--authorities", text(&lab.authorities()));
    add("--authority", text(&lab.path("pki")));
    add("--instance-range", plan.instances.to_string());
    add("--service-range", plan.services.to_string());
    add("--cluster", CLUSTER.to_owned());
    add("--name", name.unwrap_or_default());
    add("--api", format!("{}:{API_PORT}", machine.address));
    add("--admin-token", text(&lab.admin_token()));
}

/// The servers that a member joins; it is none yet itself.
fn others(plan: &Plan, machine: &Machine, member: &Member) -> Vec<String> {
    let own = format!("{}:{API_PORT}", machine.address);
    plan.servers().into_iter().filter(|it| member.role != Role::Server || *it != own).collect()
}

/// A lab's directory is checked to be text.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use net::overlay::Mode;

    use super::*;
    use crate::plan::Shape;

    #[test]
    fn hosts_join_with_the_way_that_all_agree_on() {
        let lab = Lab::at(Path::new("/var/lib/labs"), "lab").unwrap();
        for overlay in [None, Some(Mode::Vxlan)] {
            let plan = Plan::of(&Shape { overlay, ..Shape::default() }).unwrap();
            let machine = plan.machine("host-2").unwrap();
            let member = machine.member(Role::Agent).unwrap();
            let told = |way| {
                let all = arguments(&lab, &plan, machine, member, way);
                let at = all.iter().position(|word| word == "--overlay")?;
                all.get(at + 1).cloned()
            };
            assert_eq!(told(Way::Join), overlay.map(|mode| mode.to_string()));
            assert_eq!(told(Way::Plain), None);
        }
    }
}
