//! A lab of three servers with their etcd on three hypervisors: the leader's host dies, members of
//! etcd die, all servers are frozen while a host dies.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::world::{Lab, Load, Rows, healthy, wall_ns};

const UP: [&str; 6] = ["--servers", "3", "--hosts", "6", "--hypervisors", "3"];

/// Everything of the control plane.
const CONTROL: [&str; 6] = ["server-1", "server-2", "server-3", "etcd-1", "etcd-2", "etcd-3"];

impl Lab {
    /// The machine whose member of that kind leads.
    fn leads(&self, kind: &str) -> Option<String> {
        let all = self.json(&["lab", "status"]);
        let row = all.as_array().unwrap().iter().find(|row| {
            let leads = row["leads"].as_array().unwrap();
            leads.iter().any(|name| name.as_str().unwrap().starts_with(kind))
        });
        Some(row?["machine"].as_str().unwrap().to_owned())
    }

    fn leader(&self, kind: &str) -> String {
        let mut found = None;
        self.wait("one to lead", |lab| {
            found = lab.leads(kind);
            found.as_ref().map(drop).ok_or_else(|| "none".to_owned())
        });
        found.unwrap()
    }

    /// Waits until the work of a dead host runs elsewhere, and tells when what happened. Whatever
    /// ran on other hosts is as it was.
    fn replaced(&self, what: &str, dead: &str, before: &Rows, since: u64) {
        self.wait("the dead host's work to run elsewhere", |lab| {
            let rows = lab.rows();
            let good = healthy(&rows).iter().filter(|row| row.1 != dead).count();
            if good >= before.len() { Ok(()) } else { Err(format!("{rows:?}")) }
        });
        let rows = self.rows();
        for row in before.iter().filter(|row| row.1 != dead) {
            assert!(rows.contains(row), "{row:?} was touched: {rows:?}");
        }
        let logs = self.logged();
        let first = |word: &str| {
            let at = logs.iter().find(|(at, line)| *at >= since && line.contains(word));
            at.map(|(at, _)| Duration::from_nanos(at - since))
        };
        println!(
            "{what}: down {:?}, placed {:?}, healthy {:?} after the silence",
            first("host.down"),
            first("instance.placed"),
            first("instance.healthy"),
        );
    }

    /// What servers wrote, by time.
    fn logged(&self) -> Vec<(u64, String)> {
        let mut all = Vec::new();
        for machine in ["host-1", "host-2", "host-3"] {
            let log = self.directory().join("machines").join(machine).join("server.log");
            for line in std::fs::read_to_string(log).unwrap_or_default().lines() {
                let at = line.split(' ').next().unwrap_or_default();
                if let Ok(at) = at.parse::<jiff::Timestamp>() {
                    let at = u64::try_from(at.as_nanosecond()).unwrap();
                    all.push((at, line.to_owned()));
                }
            }
        }
        all.sort();
        all
    }

    /// Writes, and says under which names and what the longest pause was.
    fn write(
        &self,
        prefix: &str,
        mut until: impl FnMut(usize) -> bool,
    ) -> (BTreeSet<String>, Duration) {
        let (mut written, mut last, mut pause) = (BTreeSet::new(), Instant::now(), Duration::ZERO);
        while !until(written.len()) {
            let name = format!("{prefix}-{}", written.len());
            // Said to be there only when it was acknowledged; it may be there all the same.
            if self.outside_run(&["team", "create", &name]).status.success() {
                written.insert(name);
                pause = pause.max(last.elapsed());
                last = Instant::now();
            }
        }
        (written, pause)
    }

    fn teams(&self) -> BTreeSet<String> {
        let rows: Value =
            serde_json::from_str(&self.outside(&["team", "list", "-o", "json"])).unwrap();
        let name = |row: &Value| row["name"].as_str().unwrap().to_owned();
        rows.as_array().unwrap().iter().map(name).collect()
    }
}

#[test]
fn the_leaders_host_dies_with_its_server_and_etcd() {
    let begun = Instant::now();
    let Some(lab) = Lab::up(&UP) else { return };
    println!("three servers and six hosts are up after {:?}", begun.elapsed());
    lab.deploy();

    let leading = lab.leader("etcd");
    let member = format!("{leading}/etcd");
    let mut killed = false;
    let (written, pause) = lab.write("w", |count| {
        if count == 5 && !killed {
            killed = true;
            lab.must(&["lab", "kill", &member]);
        }
        count == 15
    });
    println!("the leading member of etcd killed under writes: longest pause {pause:?}");
    let status = lab.state(&leading);
    assert!(status["stopped"].as_array().unwrap().iter().any(|it| *it == member.as_str()));
    assert!(lab.teams().is_superset(&written), "an acknowledged write is lost");
    lab.must(&["lab", "restart", &member]);

    let before = lab.rows();
    assert_eq!(healthy(&before).len(), 4, "{before:?}");
    let dead = lab.leader("server");
    let silence = lab.json(&["lab", "kill", &dead]);
    lab.replaced("the leader's host", &dead, &before, wall_ns(&silence));
    assert_ne!(lab.leader("server"), dead);
    lab.must(&["lab", "restart", &dead]);
    lab.wait("all to be back", |lab| {
        let stopped = |row: &Value| !row["stopped"].as_array().unwrap().is_empty();
        let all = lab.json(&["lab", "status"]);
        match all.as_array().unwrap().iter().find(|row| stopped(row)) {
            None => Ok(()),
            Some(row) => Err(row.to_string()),
        }
    });
    assert!(lab.teams().is_superset(&written), "an acknowledged write is lost");
    lab.must(&["lab", "down"]);
}

#[test]
fn hosts_go_on_while_all_servers_are_frozen_and_one_of_them_dies() {
    let Some(lab) = Lab::up(&UP) else { return };
    lab.deploy();
    let before = lab.rows();
    let dead = before.iter().map(|row| row.1.clone()).find(|host| host.as_str() > "host-3");
    let dead = dead.expect("four instances are on more than three hosts");
    let entries: Vec<&str> =
        ["host-4", "host-5", "host-6"].into_iter().filter(|it| *it != dead).collect();
    let load = Load::start(&lab, &entries);
    let count = |load: &Load| load.seen().len();

    lab.must(&[["lab", "freeze"].as_slice(), &CONTROL].concat());
    let frozen = count(&load);
    lab.wait("many requests", |_| match count(&load) - frozen {
        300.. => Ok(()),
        few => Err(few.to_string()),
    });
    assert!(load.bad_since(0).is_empty(), "{:?}", load.bad_since(0));

    let silence = lab.json(&["lab", "kill", &dead]);
    let since = wall_ns(&silence);
    let killed = count(&load);
    lab.wait("requests after the death", |_| match count(&load) - killed {
        400.. => Ok(()),
        few => Err(few.to_string()),
    });
    let last = load.bad_since(since).last().map(|bad| Duration::from_nanos(bad.begin - since));
    let slow = load.seen().into_iter().filter(|it| it.begin >= since);
    let slow = slow.max_by_key(|request| request.took).unwrap();
    println!(
        "killed while servers are frozen: {} bad requests, the last began after {last:?}; the \
         slowest took {:?} and began after {:?}",
        load.bad_since(since).len(),
        slow.took,
        Duration::from_nanos(slow.begin - since),
    );

    let thawed = u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap();
    lab.must(&[["lab", "thaw"].as_slice(), &CONTROL].concat());
    lab.replaced("after the thaw", &dead, &before, thawed);
    let late = load.bad_since(since + 5_000_000_000);
    assert!(late.is_empty(), "traffic to a dead host: {late:?}");
    drop(load);
    lab.must(&["lab", "down"]);
}
