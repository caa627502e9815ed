//! A cluster of one machine under test: `freehold up` in a directory, on ports and a subnet of its
//! own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything that is awaited may take; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Cluster {
    up: Child,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) api: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    subnet: Subnet,
}

/// A part of 10.192.0.0/12 that no other test uses now, held by a lock on a file.
struct Subnet {
    number: u32,
    _lock: File,
}

impl Subnet {
    fn take() -> Self {
        let dir = std::env::temp_dir().join("freehold-test-subnets");
        fs::create_dir_all(&dir).expect("the temporary directory is writable");
        for number in 0..256 {
            let lock = File::create(dir.join(number.to_string())).expect("a lock file");
            if lock.try_lock().is_ok() {
                return Self { number, _lock: lock };
            }
        }
        panic!("256 clusters are under test at once");
    }

    fn cidr(&self) -> String {
        let base = (10u32 << 24 | 192 << 16) + self.number * 4096;
        format!("{}/20", std::net::Ipv4Addr::from(base))
    }
}

/// Says why and gives false where containers can't be run.
pub(crate) fn can_run() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root to run containers");
    }
    let hello = hello().exists();
    if root && !hello {
        eprintln!("skipped: the example app is not built; `make test` builds it");
        assert!(std::env::var_os("CI").is_none(), "CI must build the example app");
    }
    root && hello
}

/// The static example app.
pub(crate) fn hello() -> PathBuf {
    std::env::var_os("FREEHOLD_TEST_HELLO").map_or_else(
        || {
            let target = Path::new(env!("CARGO_BIN_EXE_freehold")).ancestors().nth(2);
            target.expect("target/debug").join("x86_64-unknown-linux-gnu/release/hello")
        },
        PathBuf::from,
    )
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

impl Cluster {
    /// Starts one; none where that can't be done here.
    pub(crate) fn start() -> Option<Self> {
        if !can_run() {
            return None;
        }
        let dir = tempfile::Builder::new().prefix("freehold-e2e-").tempdir().expect("a directory");
        let subnet = Subnet::take();
        let (api, http, https) = (free_port(), free_port(), free_port());
        let up = spawn_up(dir.path(), (api, http, https), &subnet.cidr(), true);
        let mut cluster = Self { up, dir, api, http, https, subnet };
        cluster.wait_ready();
        Some(cluster)
    }

    /// Ends `up`, or kills it, and starts it again. One that is not ephemeral leaves everything
    /// running when it ends; the last start of a test must be ephemeral.
    pub(crate) fn start_again(&mut self, end: rustix::process::Signal, ephemeral: bool) {
        let pid = rustix::process::Pid::from_child(&self.up);
        rustix::process::kill_process(pid, end).expect("up runs");
        self.up.wait().expect("up ends");
        let addresses = (self.api, self.http, self.https);
        self.up = spawn_up(self.dir.path(), addresses, &self.subnet.cidr(), ephemeral);
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        let stdout = self.up.stdout.take().expect("piped");
        let mut lines = BufReader::new(stdout).lines();
        let mut exports = 0;
        while exports < 3 {
            match lines.next() {
                Some(Ok(line)) => exports += usize::from(line.starts_with("export FREEHOLD_")),
                _ => panic!("freehold up ended:\n{}", self.up_log()),
            }
        }
        // The rest of what it prints must not block it.
        std::thread::spawn(move || lines.for_each(drop));
    }

    fn up_log(&self) -> String {
        fs::read_to_string(self.dir.path().join("up.stderr")).unwrap_or_default()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The process that runs a role of this cluster, e.g. `agent`.
    pub(crate) fn role_pid(&self, role: &str) -> Option<u32> {
        let data = self.data();
        let data = data.to_str().expect("a path of ours is text");
        processes().into_iter().find(|pid| {
            let command = command_line(*pid);
            let is_role = command.get(1).is_some_and(|word| word == role);
            is_role && (command.iter().any(|word| word.contains(data)) || self.is_ours(*pid))
        })
    }

    /// Whether a process descends from `up`, or holds a file of this cluster's directory open.
    fn is_ours(&self, pid: u32) -> bool {
        let mut at = pid;
        while at > 1 {
            if at == self.up.id() {
                return true;
            }
            at = parent(at).unwrap_or(0);
        }
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        files.flatten().any(|file| {
            fs::read_link(file.path()).is_ok_and(|target| target.starts_with(self.dir.path()))
        })
    }

    /// The binary with the environment to reach this cluster.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
        command
            .args(args)
            .env("FREEHOLD_API", format!("https://{}", self.api))
            .env("FREEHOLD_TOKEN_FILE", self.data().join("admin.token"))
            .env("FREEHOLD_CA", self.data().join("ca.pem"))
            .env("HOME", self.dir.path())
            .env("NO_COLOR", "1")
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command whatever comes of it.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the binary starts")
    }

    /// Runs a command that must succeed; gives what it printed.
    pub(crate) fn freehold(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "freehold {args:?}: {}\n{}\n{}\nup:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            tail(&self.up_log(), 40),
        );
        String::from_utf8(output.stdout).expect("text")
    }

    /// Runs a command that must succeed and print JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.extend(["-o", "json"]);
        let text = self.freehold(&all);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// The instances of an app in an environment.
    pub(crate) fn instances(&self, app: &str, environment: &str) -> Vec<Value> {
        let rows = self.json(&["ps", app, "--env", environment]);
        rows.as_array().expect("a list").clone()
    }

    /// Waits until `check` gives something; says what it last saw otherwise.
    pub(crate) fn wait<T>(&self, what: &str, mut check: impl FnMut() -> Result<T, String>) -> T {
        let started = Instant::now();
        loop {
            match check() {
                Ok(found) => return found,
                Err(seen) if started.elapsed() > PATIENCE => {
                    panic!(
                        "waited for {what}; last seen: {seen}\nup:\n{}",
                        tail(&self.up_log(), 60)
                    )
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Waits until an app has so many healthy instances and no others.
    pub(crate) fn wait_healthy(&self, app: &str, environment: &str, count: usize) -> Vec<Value> {
        self.wait(&format!("{count} healthy instances of {app}"), || {
            let rows = self.instances(app, environment);
            let healthy = rows.iter().filter(|row| row["state"] == "healthy").count();
            if healthy == count && rows.len() == count {
                Ok(rows)
            } else {
                Err(format!("{rows:?}"))
            }
        })
    }

    /// Builds an image of the example app and pushes it.
    pub(crate) fn push_hello(&self, tag: &str) {
        let add = format!("{}:/hello", hello().display());
        self.freehold(&[
            "image",
            "build",
            "--base",
            "scratch",
            "--add",
            &add,
            "--command",
            "/hello",
            "--label",
            &format!("tag={tag}"),
            "--tag",
            tag,
        ]);
        self.freehold(&["image", "push", tag]);
    }

    /// Writes a manifest; gives its path.
    pub(crate) fn manifest(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(format!("{name}.toml"));
        fs::write(&path, text).expect("the directory is writable");
        path.to_str().expect("a path of ours is text").to_owned()
    }

    /// A GET through the ingress: status and body.
    pub(crate) fn get(&self, host: &str, path: &str) -> std::io::Result<(u16, String)> {
        get(self.http, host, path)
    }
}

/// A GET on a connection of its own.
pub(crate) fn get(to: SocketAddr, host: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}

fn spawn_up(
    dir: &Path,
    (api, http, https): (SocketAddr, SocketAddr, SocketAddr),
    subnet: &str,
    ephemeral: bool,
) -> Child {
    let log = File::create(dir.join("up.stderr")).expect("the directory is writable");
    Command::new(env!("CARGO_BIN_EXE_freehold"))
        .arg("up")
        .arg("--data")
        .arg(dir.join("data"))
        .args(["--api", &api.to_string(), "--http", &http.to_string()])
        .args(["--https", &https.to_string(), "--subnet", subnet])
        .args(ephemeral.then_some("--ephemeral"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .expect("the binary starts")
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.up);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Ok(Some(status)) = self.up.try_wait() {
                if !std::thread::panicking() {
                    assert!(status.success(), "up ended with {status}:\n{}", self.up_log());
                    self.check_clean();
                }
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.up.kill();
        let _ = self.up.wait();
        if !std::thread::panicking() {
            panic!("up did not end in time:\n{}", self.up_log());
        }
    }
}

impl Cluster {
    /// Nothing of an ephemeral cluster may be left.
    fn check_clean(&self) {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("readable");
        let dir = self.dir.path().to_str().expect("text");
        assert!(!mounts.contains(dir), "mounts are left:\n{mounts}");
        let base = self.subnet.cidr();
        let base = base.split('.').take(2).collect::<Vec<_>>().join(".");
        let third: u32 = self.subnet.number * 16 % 256;
        let links = Command::new("ip").args(["-4", "-o", "address"]).output().expect("ip runs");
        let links = String::from_utf8_lossy(&links.stdout).into_owned();
        assert!(!links.contains(&format!("{base}.{third}.1/")), "links are left:\n{links}");
        let left: Vec<u32> = processes().into_iter().filter(|pid| self.is_ours(*pid)).collect();
        assert!(left.is_empty(), "processes are left: {left:?}");
    }
}

pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// All process ids.
pub(crate) fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("proc is mounted");
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

pub(crate) fn command_line(pid: u32) -> Vec<String> {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    raw.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

/// The processes inside an instance: those in the pid namespace of its first one.
pub(crate) fn inside(first: u32) -> Vec<u32> {
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let of = namespace(first);
    processes().into_iter().filter(|pid| of.is_some() && namespace(*pid) == of).collect()
}

pub(crate) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("not 0");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it lives");
}
