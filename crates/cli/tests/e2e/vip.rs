//! A virtual address in a lab: its holder dies, its holder freezes, and who asks from outside sees
//! how long nobody and how long two answered. API, image registry and an app are on it.

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::cluster::hello;
use crate::lab::{Lab, wall_ns};

const VIP: &str = "10.64.0.100";

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
instances = 3
[health]
http = "/healthz"
[routes]
hosts = ["hello.example"]
"#;

/// Asks every 20 ms who has the address, and prints who says so and when (nanoseconds of the wall
/// clock): `arp TIME MAC`. Asks for the app every 50 ms on a new connection: `http TIME STATUS`, by
/// the time at which it asked. Ends with its input.
const OBSERVER: &str = r"
import os, socket, struct, sys, threading, time
def say(*words):
    os.write(1, (' '.join(map(str, words)) + '\n').encode())
def end():
    sys.stdin.read()
    os._exit(0)
vip = socket.inet_aton(sys.argv[1])
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x806))
s.bind(('lab0', 0x806))
own = s.getsockname()[4]
def ask():
    arp = struct.pack('!HHBBH', 1, 0x800, 6, 4, 1) + own + socket.inet_aton(sys.argv[2])
    while True:
        s.send(b'\xff' * 6 + own + b'\x08\x06' + arp + b'\0' * 6 + vip)
        time.sleep(0.02)
def http():
    while True:
        at, status = time.time_ns(), 0
        try:
            with socket.create_connection((sys.argv[1], 80), 0.25) as c:
                c.settimeout(1)
                c.sendall(b'GET / HTTP/1.1\r\nHost: hello.example\r\nConnection: close\r\n\r\n')
                status = int(c.recv(64).split()[1])
        except Exception:
            pass
        say('http', at, status)
        time.sleep(0.05)
for task in (ask, http, end):
    threading.Thread(target=task, daemon=True).start()
while True:
    frame = s.recv(64)
    if frame[20:22] == b'\0\x02' and frame[28:32] == vip:
        say('arp', time.time_ns(), frame[22:28].hex())
";

/// What is seen from outside.
struct Observer {
    child: Child,
    out: std::path::PathBuf,
}

impl Observer {
    fn start(lab: &Lab) -> Self {
        let out = lab.base().join("observer");
        let run = ["lab", "run", "--", "python3", "-c", OBSERVER, VIP, "10.64.0.1"];
        let mut command = lab.command(&run);
        command.stdin(Stdio::piped()).stdout(fs::File::create(&out).unwrap());
        let child = command.spawn().unwrap();
        let observer = Self { child, out };
        lab.wait("the app to answer on the address", |_| {
            let served = observer.http().iter().any(|(_, status)| *status == 200);
            if served { Ok(()) } else { Err(format!("{:?}", observer.http().last())) }
        });
        observer
    }

    fn lines(&self, kind: &str) -> Vec<(u64, String)> {
        let text = fs::read_to_string(&self.out).unwrap_or_default();
        // The last one may be half written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let of_kind = whole.lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' '));
        let each = of_kind.filter_map(|line| line.split_once(' '));
        each.filter_map(|(at, what)| Some((at.parse().ok()?, what.to_owned()))).collect()
    }

    fn http(&self) -> Vec<(u64, u32)> {
        let lines = self.lines("http");
        lines.into_iter().filter_map(|(at, status)| Some((at, status.parse().ok()?))).collect()
    }

    /// When each host said that it has the address.
    fn claims(&self, mac: &str) -> Vec<u64> {
        self.lines("arp").into_iter().filter(|(_, by)| by == mac).map(|(at, _)| at).collect()
    }

    /// Who says so after a time.
    fn after(&self, at: u64) -> std::collections::BTreeSet<String> {
        self.lines("arp").into_iter().filter(|(when, _)| *when > at).map(|(_, mac)| mac).collect()
    }

    /// From the first request that failed after a time to the first that was served again.
    fn outage_ms(&self, from: u64) -> Option<u64> {
        let after: Vec<_> =
            self.http().into_iter().filter(|(at, _)| *at + 1_000_000 > from).collect();
        let failed = after.iter().position(|(_, status)| *status != 200)?;
        let again = after.get(failed..)?.iter().find(|(_, status)| *status == 200)?;
        Some((again.0 - after[failed].0) / 1_000_000)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Runs `freehold` as an outside client that knows only the virtual address.
fn through_vip(lab: &Lab, arguments: &[&str]) -> Output {
    let exports = lab.must(&["lab", "env"]);
    let script = format!(
        "{exports}export FREEHOLD_API=https://{VIP}:7443; exec \"$0\" lab run -- \"$0\" \"$@\""
    );
    Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_freehold")])
        .args(arguments)
        .env("FREEHOLD_LAB_BASE", lab.base())
        .env("HOME", lab.base())
        .env_remove("XDG_DATA_HOME")
        .current_dir(lab.base())
        .output()
        .unwrap()
}

fn must_through_vip(lab: &Lab, arguments: &[&str]) {
    let output = through_vip(lab, arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
}

fn wait_through_vip(lab: &Lab) {
    lab.wait("the API to answer on the address", |lab| {
        let output = through_vip(lab, &["team", "list"]);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(complaint) }
    });
}

fn holders(lab: &Lab) -> Vec<String> {
    let text = lab.outside(&["route", "vip", "show", VIP, "-o", "json"]);
    let shown: Value = serde_json::from_str(&text).unwrap();
    let holders = shown["holders"].as_array().unwrap().iter();
    holders.map(|holder| holder["host"].as_str().unwrap().to_owned()).collect()
}

fn wait_holder(lab: &Lab, not: &[&str]) -> String {
    let mut found = String::new();
    lab.wait("one holder", |lab| match holders(lab).as_slice() {
        [one] if !not.contains(&one.as_str()) => {
            found.clone_from(one);
            Ok(())
        }
        other => Err(format!("{other:?}")),
    });
    found
}

fn mac(lab: &Lab, machine: &str) -> String {
    let address = lab.state(machine)["address"].as_str().unwrap().to_owned();
    let bytes = address.split('.').map(|part| format!("{:02x}", part.parse::<u8>().unwrap()));
    format!("0af4{}", bytes.collect::<String>())
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

fn deploy(lab: &Lab) {
    let add = format!("{}:/hello", hello().display());
    let base = ["image", "build", "--base", "scratch", "--add", &add, "--command", "/hello"];
    lab.must(&[&base[..], &["--tag", "hello:1"]].concat());
    fs::write(lab.base().join("hello.toml"), MANIFEST).unwrap();
    must_through_vip(lab, &["team", "create", "demo"]);
    must_through_vip(lab, &["image", "push", "hello:1"]);
    let image = format!("{VIP}:7443/hello:1");
    must_through_vip(lab, &["deploy", "-f", "hello.toml", "--image", &image, "--wait"]);
}

#[test]
fn a_virtual_address_outlives_its_holders_with_api_registry_and_apps() {
    let Some(lab) = Lab::up(&["--hosts", "4", "--hypervisors", "4"]) else { return };
    // The server is on host-1, which is to live.
    let hosts = ["--hosts", "host-2,host-3,host-4", "--prefer", "host-2"];
    lab.outside(&[&["route", "vip", "add", "10.64.0.100/24"], &hosts[..]].concat());
    assert_eq!(wait_holder(&lab, &[]), "host-2");
    wait_through_vip(&lab);
    deploy(&lab);
    let routes: Value =
        serde_json::from_str(&lab.outside(&["route", "list", "-o", "json"])).unwrap();
    assert_eq!(routes[0]["addresses"], serde_json::json!([VIP]));

    let observer = Observer::start(&lab);
    let silence = wall_ns(&lab.json(&["lab", "kill", "host-2"]));
    let second = wait_holder(&lab, &["host-2"]);
    lab.wait("the app to answer again", |_| {
        observer.outage_ms(silence).map(drop).ok_or_else(|| "it does not".into())
    });
    let taken = observer.claims(&mac(&lab, &second))[0];
    let all = observer.after(silence);
    assert_eq!(all, [mac(&lab, &second)].into(), "nobody else claims it after its holder died");
    eprintln!(
        "killed holder: {second} answers after {} ms; requests failed for {} ms",
        (taken - silence) / 1_000_000,
        observer.outage_ms(silence).unwrap()
    );
    must_through_vip(&lab, &["team", "list"]);

    let frozen = now_ns();
    lab.must(&["lab", "freeze", &second]);
    let third = wait_holder(&lab, &["host-2", &second]);
    // The kernel takes the address from the frozen host.
    lab.wait("the frozen host to lose the address", |_| {
        let last = observer.claims(&mac(&lab, &second)).pop().unwrap();
        let quiet = now_ns().saturating_sub(last) / 1_000_000;
        if quiet > 1000 { Ok(()) } else { Err(format!("it answered {quiet} ms ago")) }
    });
    let taken = observer.claims(&mac(&lab, &third))[0];
    let last = observer.claims(&mac(&lab, &second)).pop().unwrap();
    eprintln!(
        "frozen holder: {third} answers after {} ms, {second} until {} ms, two for {} ms; requests \
         failed for {:?} ms",
        (taken - frozen) / 1_000_000,
        (last - frozen) / 1_000_000,
        last.saturating_sub(taken) / 1_000_000,
        observer.outage_ms(frozen),
    );
    must_through_vip(&lab, &["team", "list"]);
    lab.must(&["lab", "thaw", &second]);
    lab.wait("the host that was frozen to be back", |lab| {
        let hosts: Value = serde_json::from_str(&lab.outside(&["host", "list", "-o", "json"]))
            .map_err(|error| error.to_string())?;
        let mut rows = hosts.as_array().unwrap().iter();
        let back = rows.any(|row| row["name"] == second.as_str() && row["connected"] == true);
        if back { Ok(()) } else { Err("not connected".into()) }
    });
    assert_eq!(holders(&lab), std::slice::from_ref(&third), "it does not take the address back");

    // Deleted, it is nobody's.
    let deleted = now_ns();
    lab.outside(&["route", "vip", "delete", VIP]);
    lab.wait("nobody to answer", |_| {
        let last = observer.claims(&mac(&lab, &third)).pop().unwrap();
        if last < deleted || now_ns() - last > 500_000_000 { Ok(()) } else { Err("still".into()) }
    });
    drop(observer);
    lab.must(&["lab", "down"]);
}
