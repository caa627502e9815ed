//! The command lines of what runs on a machine. Pure.

use std::path::Path;

use crate::certificates::CLUSTER;
use crate::directory::Lab;
use crate::plan::{API_PORT, Machine, Member, Plan, Role};

/// Names the installation inside each machine, which has namespaces of its own.
const SLUG: &str = "lab";

/// Arguments of `freehold` for a member of a machine.
pub(crate) fn arguments(lab: &Lab, plan: &Plan, machine: &Machine, member: &Member) -> Vec<String> {
    let mut all = vec![member.role.word().to_owned()];
    let mut add = |name: &str, value: String| all.extend([name.to_owned(), value]);
    let own = lab.machine(&machine.name);
    let file = |name: &str| path(&own.join(format!("{}.{name}", member.role.word())));
    add("--data", path(&own.join("disk").join(member.role.word())));
    add("--certificate", file("pem"));
    add("--key", file("key"));
    add("--authorities", path(&lab.authorities()));
    add("--instance-range", plan.instances.to_string());
    add("--service-range", plan.services.to_string());
    match member.role {
        Role::Server => {
            add("--cluster", CLUSTER.to_owned());
            add("--name", member.name.clone());
            add("--api", format!("{}:{API_PORT}", machine.address));
            add("--admin-token", path(&lab.admin_token()));
        }
        Role::Agent => {
            add("--run-dir", format!("/run/freehold/{SLUG}"));
            add("--slug", SLUG.to_owned());
            add("--host", member.name.clone());
            for server in plan.servers() {
                add("--server", server);
            }
            if let Some(subnet) = plan.subnet(machine) {
                add("--subnet", subnet.to_string());
            }
            add("--domain", machine.domain().to_string());
            add("--address", machine.address.to_string());
            add("--http", "0.0.0.0:80".to_owned());
            add("--https", "0.0.0.0:443".to_owned());
        }
    }
    all
}

/// A lab's directory is checked to be text.
fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
