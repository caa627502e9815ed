//! `freehold up` with its real children: ready, refused twice, healed, ended without a trace.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::world::{World, ended, text};

/// How long anything may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(60);

/// Ports that nobody has now.
fn ports() -> [String; 3] {
    let held = [0; 3].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().to_string())
}

struct Up {
    child: Child,
    exports: Vec<(String, String)>,
}

impl Up {
    fn start(world: &World, data: &Path, subnet: &str) -> Self {
        let [api, http, https] = ports();
        let mut command = world.command(&["up", "--data", text(data), "--ephemeral"]);
        command.args(["--api", &api, "--http", &http, "--https", &https, "--subnet", subnet]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut exports = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines().take(3) {
            let line = line.unwrap();
            let (name, value) = line.strip_prefix("export ").unwrap().split_once('=').unwrap();
            exports.push((name.to_owned(), value.to_owned()));
        }
        if exports.len() < 3 {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            child.wait().unwrap();
            panic!("up was not ready: {said}");
        }
        Self { child, exports }
    }

    fn hosts(&self, world: &World) -> Option<serde_json::Value> {
        let mut command = world.command(&["host", "list", "-o", "json"]);
        let output = command.envs(self.exports.iter().cloned()).output().unwrap();
        let ended = ended(&output);
        (ended.code == 0).then(|| serde_json::from_str(&ended.stdout).unwrap())
    }

    fn stop(mut self) -> i32 {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

/// The process that runs a role on a data directory.
fn role_of(data: &Path, role: &str) -> Option<i32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let wanted = data.join(role);
    pids.into_iter().find(|pid| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = words.split(|byte| *byte == 0).collect();
        words.get(1) == Some(&role.as_bytes()) && words.contains(&text(&wanted).as_bytes())
    })
}

fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begin.elapsed() < WITHIN, "{what}: not within {WITHIN:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn one_machine_runs_heals_and_leaves_no_trace() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root for containers and networks");
        return;
    }
    let world = World::new();
    let data = world.path("data");
    let up = Up::start(&world, &data, "10.231.0.0/16");
    assert_eq!(up.hosts(&world).unwrap()[0]["connected"], true);

    let second = world.run(&["up", "--data", text(&data)]);
    assert_eq!(second.code, 13, "{}", second.stderr);
    let api = up.exports[0].1.clone();
    let other = world.run(&["up", "--data", text(&world.path("other")), "--api", &api]);
    assert_eq!(other.code, 14, "{}", other.stderr);
    assert!(other.stderr.contains("--api"), "{}", other.stderr);

    for role in ["server", "agent"] {
        let pid = role_of(&data, role).unwrap();
        let raw = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
        wait("another in its place", || role_of(&data, role).filter(|new| *new != pid));
        wait("the host is connected again", || {
            (up.hosts(&world)?[0]["connected"] == true).then_some(())
        });
    }
    assert_eq!(up.stop(), 0);
    assert_eq!((role_of(&data, "server"), role_of(&data, "agent")), (None, None));
    let links = std::fs::read_dir("/sys/class/net").unwrap().flatten();
    let hash = image::Digest::of(text(&data.canonicalize().unwrap()).as_bytes()).hex();
    let bridge = format!("fh{}", &hash[..6]);
    assert!(!links.into_iter().any(|link| link.file_name().to_string_lossy() == bridge));
}

#[test]
fn children_do_not_outlive_a_killed_supervisor() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root for containers and networks");
        return;
    }
    let world = World::new();
    let data = world.path("data");
    let mut up = Up::start(&world, &data, "10.232.0.0/16");
    up.child.kill().unwrap();
    up.child.wait().unwrap();
    // The next one waits for what is left, then takes over.
    let next = Up::start(&world, &data, "10.232.0.0/16");
    assert!(next.hosts(&world).is_some());
    assert_eq!(next.stop(), 0);
    assert_eq!((role_of(&data, "server"), role_of(&data, "agent")), (None, None));
}

#[test]
fn without_root_it_says_so() {
    let world = World::new();
    let mut command = world.command(&["up", "--data", text(&world.path("data"))]);
    if rustix::process::geteuid().is_root() {
        use std::os::unix::process::CommandExt;
        command.uid(65534).gid(65534).current_dir("/");
    }
    let output = command.output();
    let Ok(output) = output else {
        eprintln!("skipped: the binary lies where other users cannot run it");
        return;
    };
    let ended = ended(&output);
    assert_eq!(ended.code, 14, "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: sudo freehold up"), "{}", ended.stderr);
}
