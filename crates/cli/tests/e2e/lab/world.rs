//! A lab as tests have it: brought up below a directory of its own, seen by the command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{can_run, command_line, hello, processes};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

const MANIFEST: &str = r#"
app = "hello"
team = "demo"
[process]
command = ["/hello"]
port = 8080
[resources]
cpu = "50m"
memory = "32MiB"
[scale]
instances = 4
[health]
http = "/healthz"
[routes]
hosts = ["hello.example.com"]
"#;

/// A lab of its own, taken down when a test fails.
pub(crate) struct Lab {
    base: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn up(arguments: &[&str]) -> Option<Self> {
        if !can_run() {
            return None;
        }
        let base = tempfile::Builder::new().prefix("freehold-lab-").tempdir().unwrap();
        let lab = Self { base };
        lab.must(&[&["lab", "up"], arguments].concat());
        Some(lab)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
        command
            .args(arguments)
            .env("FREEHOLD_LAB_BASE", self.base.path())
            .env("HOME", self.base.path())
            .env("NO_COLOR", "1")
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .current_dir(self.base.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary starts")
    }

    pub(crate) fn must(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let text = self.must(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// Runs `freehold` from the machine, through the door.
    pub(crate) fn outside_run(&self, arguments: &[&str]) -> Output {
        let exports = self.must(&["lab", "env"]);
        let script = format!("{exports}exec \"$0\" \"$@\"");
        Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_freehold")])
            .args(arguments)
            .env("HOME", self.base.path())
            .env_remove("XDG_DATA_HOME")
            .current_dir(self.base.path())
            .output()
            .unwrap()
    }

    /// The same for what succeeds; what it wrote.
    pub(crate) fn outside(&self, arguments: &[&str]) -> String {
        let output = self.outside_run(arguments);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn base(&self) -> &Path {
        self.base.path()
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.base.path().join("lab")
    }

    /// A machine's first process as this machine sees it.
    pub(crate) fn init(&self, machine: &str) -> u32 {
        let state = self.directory().join("machines").join(machine).join("state.json");
        let state: Value = serde_json::from_slice(&fs::read(state).unwrap()).unwrap();
        u32::try_from(state["init"]["pid"].as_u64().unwrap()).unwrap()
    }

    pub(crate) fn state(&self, machine: &str) -> Value {
        let all = self.json(&["lab", "status"]);
        let mut rows = all.as_array().unwrap().iter();
        rows.find(|row| row["machine"] == machine).unwrap().clone()
    }

    pub(crate) fn wait(&self, what: &str, mut check: impl FnMut(&Self) -> Result<(), String>) {
        let begin = Instant::now();
        while let Err(seen) = check(self) {
            assert!(begin.elapsed() < PATIENCE, "waited for {what}; last seen: {seen}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn processes(&self) -> Vec<u32> {
        let base = self.base.path().to_str().unwrap();
        let ours = |pid: &u32| command_line(*pid).iter().any(|word| word.contains(base));
        processes().into_iter().filter(ours).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.run(&["lab", "down"]);
        }
    }
}

/// The instances of the app as their hosts report them, sorted: instance, host, state, pid.
pub(crate) type Rows = Vec<(String, String, String, Option<u64>)>;

impl Lab {
    pub(crate) fn deploy(&self) {
        self.deploy_scaled(4);
    }

    pub(crate) fn deploy_scaled(&self, instances: u32) {
        let add = format!("{}:/hello", hello().display());
        let base = ["image", "build", "--base", "scratch", "--add", &add, "--command", "/hello"];
        self.must(&[&base[..], &["--tag", "hello:1"]].concat());
        self.outside(&["image", "push", "hello:1"]);
        let manifest = MANIFEST.replace("instances = 4", &format!("instances = {instances}"));
        fs::write(self.base.path().join("hello.toml"), manifest).unwrap();
        self.outside(&["team", "create", "demo"]);
        self.outside(&["deploy", "-f", "hello.toml", "--image", "hello:1", "--wait"]);
    }

    pub(crate) fn rows(&self) -> Rows {
        let text = self.outside(&["ps", "hello", "--env", "staging", "-o", "json"]);
        let rows: Value = serde_json::from_str(&text).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let row = |row: &Value| {
            (text(&row["instance"]), text(&row["host"]), text(&row["state"]), row["pid"].as_u64())
        };
        rows.as_array().unwrap().iter().map(row).collect()
    }
}

pub(crate) fn healthy(rows: &Rows) -> Rows {
    rows.iter().filter(|row| row.2 == "healthy").cloned().collect()
}

/// Asks hosts of a lab in turn for the app, on a connection of its own each time, until it is
/// dropped; prints when each request began, how long it took and what came.
const LOADER: &str = r"
import socket, sys, time
n, hosts = 0, sys.argv[1].split(',')
while True:
    to, begin = hosts[n % len(hosts)], time.time_ns()
    n += 1
    try:
        s = socket.create_connection((to, 80), timeout=10)
        s.sendall(b'GET / HTTP/1.1\r\nhost: hello.example.com\r\nconnection: close\r\n\r\n')
        said = b''
        while chunk := s.recv(65536):
            said += chunk
        what = said[9:12].decode() or 'nothing'
    except OSError as error:
        what = type(error).__name__
    print(begin, time.time_ns() - begin, to, what, flush=True)
    time.sleep(0.01)
";

/// Requests to the app from outside the lab's machines.
pub(crate) struct Load {
    child: Child,
    out: PathBuf,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// When it began, in nanoseconds of the wall clock.
    pub(crate) begin: u64,
    pub(crate) took: Duration,
    /// The status, or what went wrong.
    pub(crate) what: String,
}

impl Load {
    /// Sends requests to the ingress of some hosts.
    pub(crate) fn start(lab: &Lab, hosts: &[&str]) -> Self {
        let address = |host: &&str| lab.state(host)["address"].as_str().unwrap().to_owned();
        let hosts: Vec<String> = hosts.iter().map(address).collect();
        let out = lab.base().join("load");
        let run = ["lab", "run", "--", "python3", "-c", LOADER, &hosts.join(",")];
        let mut command = lab.command(&run);
        let child = command.stdout(fs::File::create(&out).unwrap()).spawn().unwrap();
        let load = Self { child, out };
        lab.wait("the app to answer", |_| match load.seen().last() {
            Some(request) if request.what == "200" => Ok(()),
            other => Err(format!("{other:?}")),
        });
        load
    }

    pub(crate) fn seen(&self) -> Vec<Request> {
        let text = fs::read_to_string(&self.out).unwrap_or_default();
        let line = |line: &str| {
            let mut fields = line.split(' ');
            let begin = fields.next()?.parse().ok()?;
            let took = Duration::from_nanos(fields.next()?.parse().ok()?);
            Some(Request { begin, took, what: fields.nth(1)?.to_owned() })
        };
        text.lines().filter_map(line).collect()
    }

    /// How many were not answered well, of those that began from then on.
    pub(crate) fn bad_since(&self, since: u64) -> Vec<Request> {
        let all = self.seen().into_iter();
        all.filter(|request| request.begin >= since && request.what != "200").collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The moment, as `lab kill` tells it, in nanoseconds.
pub(crate) fn wall_ns(silence: &Value) -> u64 {
    let wall: jiff::Timestamp = silence["wall"].as_str().unwrap().parse().unwrap();
    u64::try_from(wall.as_nanosecond()).unwrap()
}
