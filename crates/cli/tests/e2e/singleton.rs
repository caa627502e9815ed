//! A singleton in a lab of three servers and three hosts. The app bears witness of itself every
//! 5 ms in a file of its own, with its epoch; read together, these files show whether two ever ran
//! at once, and for how long none did.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::cluster::{hello, processes};
use crate::lab::Lab;

const UP: [&str; 7] = ["--servers", "3", "--servers-apart", "--hosts", "3", "--hypervisors", "3"];

/// Everything of the control plane.
const CONTROL: [&str; 6] = ["server-1", "server-2", "server-3", "etcd-1", "etcd-2", "etcd-3"];

const MANIFEST: &str = r#"
app = "only"
team = "demo"
singleton = true
[process]
command = ["/hello"]
port = 8080
[process.scratch]
"/data" = "64MiB"
[environment]
HELLO_WITNESS = "FILE"
[resources]
cpu = "50m"
memory = "32MiB"
[health]
http = "/healthz"
"#;

/// A line of the witness: when, which epoch, which instance.
type Line = (u64, u32, String);

/// Holds every file of witness that ever appears, so that none is lost with its instance.
struct Witness {
    ending: Arc<AtomicBool>,
    finder: Option<JoinHandle<()>>,
    files: Arc<Mutex<BTreeMap<(u64, u64), File>>>,
}

impl Witness {
    fn start() -> Self {
        let (ending, files) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (end, kept) = (ending.clone(), Arc::clone(&files));
        let finder = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                find(&kept);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { ending, finder: Some(finder), files }
    }

    /// All lines so far, by time.
    fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for file in self.files.lock().unwrap().values_mut() {
            let mut text = String::new();
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            lines.extend(text.lines().filter_map(line));
        }
        lines.sort();
        lines
    }

    /// Whether two ever ran at once: a line of an earlier epoch after one of a later.
    fn check(&self) {
        let lines = self.lines();
        let mut highest = 0;
        for (number, (at, epoch, instance)) in lines.iter().enumerate() {
            let around = &lines[number.saturating_sub(3)..(number + 3).min(lines.len())];
            assert!(*epoch >= highest, "{instance} ran on at {at}: {around:?}");
            highest = *epoch;
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(finder) = self.finder.take() {
            let _ = finder.join();
        }
    }
}

/// The file that instances of this test write.
fn file() -> String {
    format!("/data/witness-{}", std::process::id())
}

/// Opens the files of those who write now. An open one outlives its container and its host.
fn find(kept: &Mutex<BTreeMap<(u64, u64), File>>) {
    let variable = format!("HELLO_WITNESS={}", file());
    for pid in processes() {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let name = fs::read_to_string(proc.join("comm")).unwrap_or_default();
        if name.trim() != "hello" {
            continue;
        }
        let environment = fs::read(proc.join("environ")).unwrap_or_default();
        if !environment.split(|byte| *byte == 0).any(|one| one == variable.as_bytes()) {
            continue;
        }
        let Ok(file) = File::open(proc.join("root").join(&file()[1..])) else { continue };
        let Ok(metadata) = file.metadata() else { continue };
        kept.lock().unwrap().entry((metadata.dev(), metadata.ino())).or_insert(file);
    }
}

fn line(text: &str) -> Option<Line> {
    let mut fields = text.split(' ');
    let (at, epoch) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((at, epoch, fields.next()?.to_owned()))
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_nanos()).unwrap()
}

fn deploy(lab: &Lab) {
    let add = format!("{}:/hello", hello().display());
    let base = ["image", "build", "--base", "scratch", "--add", &add, "--command", "/hello"];
    lab.must(&[&base[..], &["--tag", "hello:1"]].concat());
    lab.outside(&["image", "push", "hello:1"]);
    fs::write(lab.base().join("only.toml"), MANIFEST.replace("FILE", &file())).unwrap();
    lab.outside(&["team", "create", "demo"]);
    lab.outside(&["deploy", "-f", "only.toml", "--image", "hello:1", "--wait"]);
}

/// The app's instances: instance, host, state.
fn rows(lab: &Lab) -> Vec<(String, String, String)> {
    let output = lab.outside_run(&["ps", "only", "--env", "staging", "-o", "json"]);
    let Ok(rows) = serde_json::from_slice::<Value>(&output.stdout) else { return Vec::new() };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |row: &Value| (text(&row["instance"]), text(&row["host"]), text(&row["state"]));
    rows.as_array().into_iter().flatten().map(row).collect()
}

/// Waits until exactly one instance is there and healthy; gives its host.
fn settled(lab: &Lab) -> String {
    let mut host = String::new();
    lab.wait("one healthy instance", |lab| match rows(lab).as_slice() {
        [row] if row.2 == "healthy" => {
            host.clone_from(&row.1);
            Ok(())
        }
        other => Err(format!("{other:?}")),
    });
    host
}

fn leader(lab: &Lab) -> String {
    let mut found = String::new();
    lab.wait("a server to lead", |lab| {
        let all = lab.json(&["lab", "status"]);
        let leads = all.as_array().into_iter().flatten().flat_map(|row| row["leads"].as_array());
        let mut names = leads.flatten().filter_map(Value::as_str);
        let server = names.find(|name| name.starts_with("server")).ok_or("none")?;
        server.clone_into(&mut found);
        Ok(())
    });
    found
}

/// Does something to who holds the singleton, and says how long until its successor ran and for how
/// long none did.
fn replaced(lab: &Lab, witness: &Witness, what: &str, act: impl FnOnce()) {
    let before = witness.lines().last().unwrap().1;
    let since = now();
    act();
    let acted = now();
    lab.wait(what, |_| match witness.lines().last() {
        Some((_, epoch, _)) if *epoch > before => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let lines = witness.lines();
    let first = lines.iter().find(|(_, epoch, _)| *epoch > before).unwrap().0;
    let last = lines.iter().rev().find(|(_, epoch, _)| *epoch == before).unwrap().0;
    let span = |from: u64, to: u64| Duration::from_nanos(to.saturating_sub(from));
    println!(
        "{what} (done within {:?}): the last line after {:?}, the successor's first after {:?}",
        span(since, acted),
        span(since, last),
        span(since, first),
    );
    witness.check();
}

#[test]
fn never_two_whatever_stands_still() {
    let Some(lab) = Lab::up(&UP) else { return };
    let witness = Witness::start();
    deploy(&lab);
    lab.wait("the witness", |_| match witness.lines().len() {
        0..100 => Err("fewer than 100 lines".to_owned()),
        _ => Ok(()),
    });

    for freeze in ["/agent", ""] {
        let home = settled(&lab);
        let target = format!("{home}{freeze}");
        let what = if freeze.is_empty() { "the host frozen" } else { "the agent frozen" };
        replaced(&lab, &witness, what, || _ = lab.must(&["lab", "freeze", &target]));
        lab.must(&["lab", "thaw", &target]);
        assert_ne!(settled(&lab), home);
        witness.check();
    }
    let home = settled(&lab);
    replaced(&lab, &witness, "the host killed", || _ = lab.must(&["lab", "kill", &home]));
    lab.must(&["lab", "restart", &home]);
    settled(&lab);

    // Another server leads before the lease is over: it goes on as if nothing was.
    let (server, before) = (leader(&lab), witness.lines().last().unwrap().clone());
    lab.must(&["lab", "freeze", &server]);
    lab.wait("another leader", |lab| match leader(lab) {
        new if new != server => Ok(()),
        old => Err(old),
    });
    longest_pause(&lab, &witness, "the leading server frozen", before.0);
    lab.must(&["lab", "thaw", &server]);
    settled(&lab);
    assert_eq!(witness.lines().last().unwrap().2, before.2, "it was not replaced");

    // Nobody grants: it ends, and it runs again when somebody does.
    let home = settled(&lab);
    lab.must(&[["lab", "freeze"].as_slice(), &CONTROL].concat());
    lab.wait("the singleton to end", |_| {
        match now().saturating_sub(witness.lines().last().unwrap().0) {
            1_000_000_000.. => Ok(()),
            _ => Err("it runs".to_owned()),
        }
    });
    let (ended, thawed) = (witness.lines().last().unwrap().0, now());
    lab.must(&[["lab", "thaw"].as_slice(), &CONTROL].concat());
    lab.wait("it to run again", |_| match witness.lines().last() {
        Some(line) if line.0 > ended => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let lines = witness.lines();
    let again = lines.iter().find(|line| line.0 > ended).unwrap();
    println!(
        "all servers frozen: ran again {:?} after the thaw",
        Duration::from_nanos(again.0.saturating_sub(thawed))
    );
    assert_eq!(again.2, before.2, "the same instance");
    assert_eq!(settled(&lab), home);
    witness.check();
    drop(witness);
    lab.must(&["lab", "down"]);
}

/// Lets as much time pass as a lease has, and says for how long none ran.
fn longest_pause(lab: &Lab, witness: &Witness, what: &str, since: u64) {
    lab.wait("a lease to pass", |_| match now().saturating_sub(since) {
        6_000_000_000.. => Ok(()),
        _ => Err("not yet".to_owned()),
    });
    let lines: Vec<u64> = witness.lines().into_iter().map(|line| line.0).collect();
    let late: Vec<u64> = lines.into_iter().filter(|at| *at >= since).collect();
    let pauses = late.windows(2).map(|pair| pair[1] - pair[0]);
    let longest = pauses.max().expect("it runs on");
    println!("{what}: the longest pause was {:?}", Duration::from_nanos(longest));
    witness.check();
}
