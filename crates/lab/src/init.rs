//! A machine's first process: makes the namespaces, is pid 1 in them, starts the machine's roles
//! and starts them again when they end. It reads the plan whenever it starts something, so that a
//! machine that moved tells its new place.
//!
//! Nothing talks to it. Killing it ends the machine; it ends by itself when the lab's directory is
//! gone.
#![expect(unsafe_code, reason = "unshare has no safe form: it changes what a thread may assume")]

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clock::{OFFSET_VARIABLE, Offset};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::WaitOptions;
use rustix::thread::UnshareFlags;

use crate::cgroup::{self, Group};
use crate::directory::Lab;
use crate::failure::LabError;
use crate::plan::{Machine, Member, Plan, Role};
use crate::process::Process;
use crate::role::Way;
use crate::{machine, network, role};

/// How often ended processes are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// From the start of a role to its next start at the earliest.
const PAUSE: Duration = Duration::from_millis(300);

/// How long the machine's link may take to appear.
const LINK_WITHIN: Duration = Duration::from_secs(30);

/// Makes a machine: enters its cgroup, leaves all namespaces, and starts its first process with
/// `first` (the arguments of this binary that lead to [`first`]). Ends when that runs. Must be
/// called by a process with one thread.
///
/// # Errors
/// A namespace or cgroup cannot be made.
pub fn outer(lab: &Lab, name: &str, first: &[String]) -> Result<(), LabError> {
    let plan = lab.plan()?;
    let group = Group::of_machine(lab, name)?;
    group.enter(&plan.limits)?;
    let all = UnshareFlags::NEWPID
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWCGROUP;
    // SAFETY: file descriptors stay shared (no FILES), and there is no other thread.
    unsafe { rustix::thread::unshare_unsafe(all) }
        .map_err(LabError::system(format!("make the namespaces of {name}")))?;
    group.settle()?;
    // The child, which shares our mounts, puts its own in that place as soon as it runs.
    let proc = fs::File::open("/proc").map_err(|source| not_started(name, source))?;
    let child = Command::new("/proc/self/exe")
        .arg0("freehold")
        .args(first)
        .stdin(Stdio::null())
        .spawn()
        .map_err(|source| not_started(name, source))?;
    let init = i32::try_from(child.id()).ok().and_then(|pid| Process::within(&proc, pid));
    let init = init.ok_or_else(|| not_started(name, io::ErrorKind::NotFound.into()))?;
    machine::started(lab, name, init)
}

fn not_started(machine: &str, source: io::Error) -> LabError {
    LabError::System { doing: format!("start the first process of {machine}"), source }
}

/// Runs a machine as its pid 1, until the lab's directory is gone.
///
/// # Errors
/// The machine cannot be set up.
pub fn first(lab: &Lab, name: &str) -> Result<(), LabError> {
    let plan = lab.plan()?;
    let Some(machine) = plan.machine(name) else {
        return Err(LabError::NotRunning(name.to_owned()));
    };
    rustix::process::setsid().map_err(LabError::system("leave the session"))?;
    rustix::system::sethostname(name.as_bytes()).map_err(LabError::system("name the machine"))?;
    mounts(lab)?;
    link()?;
    network::configure(&plan, machine)?;
    Init { lab, name, running: BTreeMap::new(), started: BTreeMap::new() }.run()
}

/// Gives the machine mounts of its own.
fn mounts(lab: &Lab) -> Result<(), LabError> {
    let failed = |what: &str| LabError::system(format!("mount {what}"));
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).map_err(failed("/ privately"))?;
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut foreign = foreign(&table, lab.directory());
    // What lies on another goes first.
    foreign.reverse();
    for at in foreign {
        // It may lie below one that has just gone.
        let _ = rustix::mount::unmount(&at, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    }
    let plain = MountFlags::NOSUID | MountFlags::NODEV;
    let mount = |kind: &str, at: &Path, flags, options: &str| {
        let options = CString::new(options).expect("options have no NUL");
        rustix::mount::mount(kind, at, kind, flags, Some(options.as_c_str()))
            .map_err(failed(&at.display().to_string()))
    };
    mount("proc", Path::new("/proc"), plain | MountFlags::NOEXEC, "")?;
    mount("tmpfs", Path::new("/run"), plain, "mode=755")?;
    if Path::new("/dev/shm").is_dir() {
        mount("tmpfs", Path::new("/dev/shm"), plain, "mode=1777")?;
    }
    for (at, (kind, options)) in cgroup::mounts(&table) {
        rustix::mount::unmount(&at, UnmountFlags::DETACH)
            .map_err(failed(&format!("{} anew", at.display())))?;
        mount(&kind, &at, plain | MountFlags::NOEXEC, &options)?;
    }
    Ok(())
}

/// Mounts that other programs made for themselves: namespaces, containers' roots, and everything
/// below `/run`. Holding them here would keep them alive after their owners let them go.
fn foreign(table: &str, directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for line in table.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [_, at, kind, ..] = fields[..] else { continue };
        let theirs = matches!(kind, "nsfs" | "overlay") || at.starts_with("/run/");
        if theirs && at != "/" && !directory.starts_with(at) {
            found.push(at.replace("\\040", " "));
        }
    }
    found
}

/// Waits for the link that `up` gives the machine.
fn link() -> Result<(), LabError> {
    let failed = LabError::system(format!("wait for {}", network::INSIDE));
    let begin = Instant::now();
    loop {
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::DGRAM,
            None,
        )
        .map_err(&failed)?;
        match rustix::net::netdevice::name_to_index(&socket, network::INSIDE) {
            Ok(_) => return Ok(()),
            Err(errno) if begin.elapsed() > LINK_WITHIN => return Err(failed(errno)),
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// The machine's roles.
struct Init<'a> {
    lab: &'a Lab,
    name: &'a str,
    /// What runs for which role, by process.
    running: BTreeMap<i32, (Role, Job)>,
    started: BTreeMap<Role, Instant>,
}

/// What a process does for its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    /// It is the role.
    Run,
    /// It makes the token with which the role joins.
    Invite,
}

impl Init<'_> {
    fn run(mut self) -> Result<(), LabError> {
        while self.lab.exists() {
            self.reap();
            self.start_missing();
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Takes leave of everything that has ended, its own children and orphans.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let Some((role, job)) = self.running.remove(&pid.as_raw_nonzero().get()) else {
                continue;
            };
            match job {
                Job::Run => eprintln!("{}: the {} ended: {status:?}", self.name, role.word()),
                Job::Invite if status.exit_status() == Some(0) => {
                    self.started.remove(&role);
                }
                // There is no server yet that could invite.
                Job::Invite => drop(fs::remove_file(role::token(self.lab, self.name, role))),
            }
        }
    }

    fn start_missing(&mut self) {
        // A plan that is being replaced is there in the next round.
        let Ok(plan) = self.lab.plan() else { return };
        let Some(machine) = plan.machine(self.name) else { return };
        // The server starts its etcd.
        for member in machine.members.iter().filter(|it| it.role != Role::Etcd) {
            let role = member.role;
            let running = self.running.values().any(|(other, _)| *other == role);
            let early = self.started.get(&role).is_some_and(|at| at.elapsed() < PAUSE);
            if running || early || machine::held(self.lab, self.name, role.word()).exists() {
                continue;
            }
            self.started.insert(role, Instant::now());
            match self.start(&plan, machine, member) {
                Ok((pid, job)) => drop(self.running.insert(pid, (role, job))),
                Err(error) => eprintln!("{}: start the {}: {error}", self.name, role.word()),
            }
        }
    }

    fn start(
        &self,
        plan: &Plan,
        machine: &Machine,
        member: &Member,
    ) -> Result<(i32, Job), io::Error> {
        let role = member.role;
        let way = Way::of(plan, machine, member, role::has_begun(self.lab, machine, role));
        let token = role::token(self.lab, self.name, role);
        let invited = fs::metadata(&token).is_ok_and(|it| it.len() > 0);
        let log = self.lab.machine(self.name).join(format!("{}.log", role.word()));
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("freehold").stdin(Stdio::null()).process_group(0);
        if way == Way::Join && !invited {
            let made = OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(true)
                .mode(0o600)
                .open(&token)?;
            command.args(["host", "token"]).args((role == Role::Server).then_some("--server"));
            command.envs(self.lab.environment(&plan.servers())).stdout(made).stderr(Stdio::null());
            return Ok((command.spawn()?.id().cast_signed(), Job::Invite));
        }
        command.args(role::arguments(self.lab, plan, machine, member, way));
        if machine.clock_ms != 0 {
            command.env(OFFSET_VARIABLE, Offset(machine.clock_ms).to_string());
        }
        let child = command.stdout(log.try_clone()?).stderr(log).spawn()?;
        Ok((child.id().cast_signed(), Job::Run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_mounted_for_themselves_is_let_go() {
        let table = "overlay / overlay rw 0 0\n\
                     /dev/x /data ext4 rw 0 0\n\
                     nsfs /var/lib/freehold-lab/b/net nsfs rw 0 0\n\
                     tmpfs /run tmpfs rw 0 0\n\
                     tmpfs /run/freehold/x tmpfs rw 0 0\n\
                     overlay /data overlay rw 0 0\n\
                     overlay /srv/a\\040b overlay rw 0 0\n";
        let found = foreign(table, Path::new("/data/lab"));
        assert_eq!(found, ["/var/lib/freehold-lab/b/net", "/run/freehold/x", "/srv/a b"]);
    }
}
