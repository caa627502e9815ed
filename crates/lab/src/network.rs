//! The lab's network: a namespace without a way out, a bridge in it, and a port for each machine.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use net::namespace::Namespace;

use crate::directory::{Lab, Lock};
use crate::failure::LabError;
use crate::fault::Faults;
use crate::plan::{Machine, Plan};
use crate::{delay, machine};

/// The bridge in the lab's namespace.
pub(crate) const BRIDGE: &str = "lab0";

/// A machine's only link, as it sees it.
pub(crate) const INSIDE: &str = "eth0";

/// Makes namespace and bridge.
pub(crate) fn ensure(lab: &Lab, plan: &Plan) -> Result<Namespace, LabError> {
    let (namespace, new) = Namespace::ensure(&lab.namespace(), &[])?;
    if new {
        // No time for spanning trees: there is one bridge.
        let script = format!(
            "link set lo up\nlink add {BRIDGE} type bridge stp_state 0 forward_delay 0\n\
             address add {} dev {BRIDGE}\nlink set {BRIDGE} up\n",
            plan.outside()
        );
        namespace.run(|| batch(&script))??;
    }
    Ok(namespace)
}

/// Gives a machine its link; `pid` is its first process.
pub(crate) fn connect(namespace: &Namespace, machine: &Machine, pid: i32) -> Result<(), LabError> {
    let port = machine.port();
    let mac = machine.mac().map(|byte| format!("{byte:02x}")).join(":");
    let script = format!(
        "link add {port} type veth peer name {INSIDE} address {mac} netns {pid}\n\
         link set {port} master {BRIDGE} up\n"
    );
    namespace.run(|| {
        // A machine that has just died takes its link along, a moment later.
        let _ = batch(&format!("link delete {port}\n"));
        batch(&script)
    })?
}

/// Gives a machine its address; runs inside it.
pub(crate) fn configure(plan: &Plan, machine: &Machine) -> Result<(), LabError> {
    let (address, prefix) = (machine.address, plan.range.prefix_len());
    batch(&format!(
        "link set lo up\naddress add {address}/{prefix} dev {INSIDE}\nlink set {INSIDE} up\n"
    ))
}

/// Changes what is wrong with the network and makes it so, in one transaction.
///
/// # Errors
/// The rules cannot be loaded; then nothing is changed.
pub fn break_links(
    lab: &Lab,
    _lock: &Lock,
    change: impl FnOnce(&mut Faults),
) -> Result<Faults, LabError> {
    let plan = lab.plan()?;
    let mut faults = lab.faults()?;
    let was_slow = !faults.slow.is_empty();
    change(&mut faults);
    apply(lab, &plan, &faults)?;
    if faults.slow.is_empty() && was_slow {
        delay::stop(lab);
        segment(lab, &plan, false);
    }
    lab.save_faults(&faults)?;
    Ok(faults)
}

/// Loads the rules.
pub(crate) fn apply(lab: &Lab, plan: &Plan, faults: &Faults) -> Result<(), LabError> {
    let script = faults.render(plan);
    Ok(Namespace::open(&lab.namespace())?.run(|| net::nft::apply(&script))??)
}

/// Lets all machines that run cut up what they send, or no more.
pub(crate) fn segment(lab: &Lab, plan: &Plan, cut: bool) {
    for machine in &plan.machines {
        if let Some(init) = machine::init(lab, &machine.name) {
            slow(init.pid, cut);
        }
    }
}

/// The same for one machine, by its first process. Frames that the network card would have cut up
/// are not taken from a port as they are when they are another tunnel's. A machine that ends
/// meanwhile sends nothing at all.
pub(crate) fn slow(pid: i32, cut: bool) {
    let segments = if cut { 1 } else { 65_535 };
    let script = format!("link set {INSIDE} gso_max_segs {segments}\n");
    if let Ok(namespace) = Namespace::open(Path::new(&format!("/proc/{pid}/ns/net"))) {
        let _ = namespace.run(|| batch(&script));
    }
}

/// Runs commands of `ip` in the calling thread's namespace.
fn batch(script: &str) -> Result<(), LabError> {
    let failed = |source| LabError::System { doing: "run ip -batch".to_owned(), source };
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        // When it ended early, what it wrote says why.
        let _ = input.write_all(script.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).chars().take(400).collect();
    Err(LabError::Program { program: "ip", complaint })
}
