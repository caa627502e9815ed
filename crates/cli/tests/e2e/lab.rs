//! A lab: four hosts in namespaces run an app, one dies as by power loss, and nothing is left.

mod servers;
mod warm;
mod world;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Child;

use serde_json::Value;

use crate::cluster::{command_line, kill, processes};
use world::healthy;
pub(crate) use world::{Lab, wall_ns};

/// Prints, for each frame from a hardware address, the kernel's time of its arrival (nanoseconds of
/// the wall clock) and the flags of TCP, 0 for others. `ready` comes first.
const WITNESS: &str = r"
import socket, struct, sys
mac = bytes.fromhex(sys.argv[1].replace(':', ''))
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.setsockopt(socket.SOL_SOCKET, 35, 1)
print('ready', flush=True)
while True:
    data, extra, _, _ = s.recvmsg(2048, 256)
    if data[6:12] != mac:
        continue
    stamp = [struct.unpack('qq', d[:16]) for l, t, d in extra if t == 35][0]
    tcp = data[12:14] == b'\x08\x00' and data[23] == 6
    flags = data[14 + (data[14] & 15) * 4 + 13] if tcp else 0
    print(stamp[0] * 10**9 + stamp[1], flags, flush=True)
";

/// FIN and RST (RFC 9293, section 3.1).
const ENDS: u64 = 0b101;

/// The frames of one machine that arrive at another.
struct Witness(Child);

impl Witness {
    fn of(lab: &Lab, at: &str, machine: &str) -> Self {
        let address = lab.state(machine)["address"].as_str().unwrap().to_owned();
        let bytes = address.split('.').map(|part| format!("{:02x}", part.parse::<u8>().unwrap()));
        let mac = format!("0af4{}", bytes.collect::<String>());
        let out = lab.base().join("witness");
        let mut command = lab.command(&["lab", "shell", at, "--", "python3", "-c", WITNESS, &mac]);
        let child = command.stdout(fs::File::create(&out).unwrap()).spawn().unwrap();
        lab.wait("the witness", |lab| lab.seen().map(drop));
        Self(child)
    }
}

impl Lab {
    /// What the witness saw: time and flags of each frame.
    fn seen(&self) -> Result<Vec<(u64, u64)>, String> {
        let text = fs::read_to_string(self.base().join("witness")).unwrap_or_default();
        let mut lines = text.lines();
        lines.next().filter(|line| *line == "ready").ok_or("nothing")?;
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
        let frame = |line: &str| {
            let mut fields = line.split(' ');
            Some((number(fields.next())?, number(fields.next())?))
        };
        Ok(lines.filter_map(frame).collect())
    }
}

/// All namespaces of a process.
fn namespaces(pid: u32) -> BTreeSet<u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/ns")).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(fs::metadata(entry.path()).ok()?.ino())).collect()
}

/// Cgroups of a lab in any hierarchy.
fn cgroups(of: &Path) -> Vec<PathBuf> {
    let roots = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let name = of.file_name().unwrap();
    let mut found = vec![Path::new("/sys/fs/cgroup").join(name)];
    found.extend(roots.map(|root| root.path().join(name)));
    found.retain(|path| path.exists());
    found
}

/// The lab's cgroup, as a process of it says: the first of the path, in the hierarchy of memory.
fn cgroup_of(pid: u32) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let path = text.lines().find_map(|line| line.split_once("/freehold-lab-"));
    let name = path.expect("it is in a group of the lab").1;
    let id = name.split('/').next().unwrap();
    PathBuf::from(format!("/freehold-lab-{id}"))
}

#[test]
fn a_host_dies_as_by_power_loss_and_down_leaves_nothing() {
    let arguments = ["--hosts", "4", "--hypervisors", "2", "--racks", "1"];
    let Some(lab) = Lab::up(&arguments) else { return };
    lab.deploy();
    let rows: Value =
        serde_json::from_str(&lab.outside(&["ps", "hello", "--env", "staging", "-o", "json"]))
            .unwrap();
    let hosts: BTreeSet<&str> =
        rows.as_array().unwrap().iter().map(|row| row["host"].as_str().unwrap()).collect();
    assert_eq!(hosts.len(), 4, "{rows}");
    let domains: BTreeSet<&str> =
        rows.as_array().unwrap().iter().map(|row| row["domain"].as_str().unwrap()).collect();
    assert_eq!(domains, ["rack-1/hv-1", "rack-1/hv-2"].into());

    // The agent of host-4 holds a connection to the server on host-1 and sends heartbeats on it.
    let mut witness = Witness::of(&lab, "host-1", "host-4");
    lab.wait("frames of host-4", |lab| match lab.seen()?.len() {
        0..5 => Err("fewer than five".into()),
        _ => Ok(()),
    });
    let silence = lab.json(&["lab", "kill", "host-4"]);
    assert_eq!(lab.state("host-4")["state"], "dead");
    // A cut at random is in force at once; the other links go on.
    lab.must(&["lab", "cut", "host-2", "host-3"]);
    let reach = |to: &str| {
        let check = format!("exec 3<>/dev/tcp/{to}/80");
        let run = ["lab", "shell", "host-2", "--", "timeout", "1", "bash", "-c", &check];
        lab.run(&run).status.success()
    };
    assert!(reach("10.64.0.11"), "host-1 is reached");
    assert!(!reach("10.64.0.13"), "host-3 is cut off");
    lab.must(&["lab", "heal"]);
    assert!(reach("10.64.0.13"), "host-3 is reached again");
    assert!(!reach("10.64.0.14"), "dead machines stay dead");
    witness.0.kill().unwrap();
    witness.0.wait().unwrap();
    let seen = lab.seen().unwrap();
    let after: Vec<_> = seen.iter().filter(|(at, _)| *at > wall_ns(&silence)).collect();
    assert!(after.is_empty(), "after {}: {after:?}", wall_ns(&silence));
    assert!(seen.iter().all(|(_, flags)| flags & ENDS == 0), "a dead machine ends no connection");

    lab.must(&["lab", "restart", "host-4"]);
    lab.wait("host-4 to be back", |lab| {
        let rows: Value = serde_json::from_str(&lab.outside(&["host", "list", "-o", "json"]))
            .map_err(|error| error.to_string())?;
        let mut rows = rows.as_array().unwrap().iter();
        let back = rows.any(|row| row["name"] == "host-4" && row["connected"] == true);
        if back { Ok(()) } else { Err("not connected".into()) }
    });
    check_down(&lab);
}

#[test]
fn a_dead_hosts_work_goes_elsewhere_and_a_host_that_is_cut_off_keeps_its_own() {
    let Some(lab) = Lab::up(&["--hosts", "5", "--hypervisors", "5"]) else { return };
    lab.deploy();
    let before = lab.rows();
    assert_eq!(healthy(&before).len(), 4, "{before:?}");

    // The server hears it no more, other hosts do.
    let apart: Vec<&String> =
        before.iter().map(|row| &row.1).filter(|host| *host != "host-1").collect();
    let (cut, dead) = (apart[0].clone(), apart[1].clone());
    lab.must(&["lab", "cut", &cut, "host-1"]);
    lab.wait("the server to miss it", |lab| {
        let hosts: Value = serde_json::from_str(&lab.outside(&["host", "list", "-o", "json"]))
            .map_err(|error| error.to_string())?;
        let mut rows = hosts.as_array().unwrap().iter();
        let gone = rows.any(|row| row["name"] == cut.as_str() && row["connected"] == false);
        if gone { Ok(()) } else { Err("still connected".into()) }
    });
    assert_eq!(lab.rows(), before, "what is cut off is left alone");
    lab.must(&["lab", "heal"]);

    lab.must(&["lab", "kill", &dead]);
    lab.wait("the dead host's work to run elsewhere", |lab| {
        let rows = lab.rows();
        let moved = healthy(&rows).len() == 4 && healthy(&rows).iter().all(|row| row.1 != dead);
        if moved { Ok(()) } else { Err(format!("{rows:?}")) }
    });
    let after = lab.rows();
    for row in before.iter().filter(|row| row.1 != dead) {
        assert!(after.contains(row), "{row:?} was touched: {after:?}");
    }

    lab.must(&["lab", "restart", &dead]);
    lab.wait("the surplus to be weighed", |lab| {
        let rows = lab.rows();
        assert!(healthy(&rows).len() >= 4, "fewer than wanted: {rows:?}");
        if rows.len() == 4 { Ok(()) } else { Err(format!("{rows:?}")) }
    });
    lab.must(&["lab", "down"]);
}

/// Kills parts of the lab from outside, takes it down, and looks for anything of it.
fn check_down(lab: &Lab) {
    let mut known = BTreeSet::new();
    for machine in ["host-1", "host-2", "host-3", "host-4"] {
        known.extend(namespaces(lab.init(machine)));
    }
    let net = fs::metadata(lab.directory().join("net")).unwrap().ino();
    known.insert(net);
    let shared = namespaces(std::process::id());
    let known: BTreeSet<u64> = known.difference(&shared).copied().collect();
    assert_eq!(known.len(), 4 * 6 + 1, "each machine has six namespaces of its own");
    let cgroup = cgroup_of(lab.init("host-1"));
    assert!(!cgroups(&cgroup).is_empty());
    lab.must(&["lab", "freeze", "host-2"]);
    let door = |pid: &&u32| command_line(**pid).iter().any(|word| word == "lab-door");
    kill(*lab.processes().iter().find(door).expect("there is a door"));
    kill(lab.init("host-3"));
    lab.must(&["lab", "down"]);
    lab.must(&["lab", "down"]);
    lab.wait("the last of the lab to go", |lab| {
        let left = lab.processes();
        if left.is_empty() { Ok(()) } else { Err(format!("processes {left:?}")) }
    });
    // Who has ended and was not waited for yet keeps a namespace a moment longer.
    lab.wait("the lab's namespaces to go", |_| {
        for pid in processes() {
            let held: Vec<u64> = namespaces(pid).intersection(&known).copied().collect();
            if !held.is_empty() {
                return Err(format!("process {pid} {:?} holds {held:?}", command_line(pid)));
            }
        }
        Ok(())
    });
    assert_eq!(cgroups(&cgroup), [] as [PathBuf; 0]);
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(lab.base().to_str().unwrap()), "{mounts}");
    let left = fs::read_dir(lab.base()).unwrap().flatten();
    let names = left.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let names: Vec<String> =
        names.filter(|name| name == "lab" || name.ends_with(".lock")).collect();
    assert_eq!(names, [] as [String; 0]);
}

/// What is run inside a lab ends with `lab run` itself, even when that is killed.
#[test]
fn what_runs_as_a_client_ends_with_who_ran_it() {
    let Some(lab) = Lab::up(&["--bare", "--hosts", "1"]) else { return };
    let ways = [("run", vec!["lab", "run"]), ("shell", vec!["lab", "shell", "host-1"])];
    for (how, arguments) in ways {
        let out = lab.base().join(how);
        // Known by a number that no other command line has.
        let mark = format!("{}.{}", 100_000 + std::process::id(), how.len());
        let script = format!("trap '' TERM INT HUP; echo ready; exec sleep {mark}");
        let line = [arguments.as_slice(), &["--", "sh", "-c", &script]].concat();
        let mut command = lab.command(&line);
        let mut child = command.stdout(fs::File::create(&out).unwrap()).spawn().unwrap();
        let is = |pid: &u32| command_line(*pid) == ["sleep", &mark, ""];
        let running = || processes().into_iter().filter(is).collect::<Vec<u32>>();
        lab.wait("the command", |_| match running().len() {
            0 => Err("it does not run".to_owned()),
            _ => Ok(()),
        });
        child.kill().unwrap();
        child.wait().unwrap();
        lab.wait("its end", |_| match running() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{how}: {left:?}")),
        });
    }
    let ended = lab.run(&["lab", "run", "--", "sh", "-c", "exit 7"]);
    assert_eq!(ended.status.code(), Some(7));
    lab.must(&["lab", "down"]);
}
