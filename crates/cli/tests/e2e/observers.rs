//! Servers apart from the hosts, as observers: of three hosts two die at once, and what is left of
//! them hears nobody. Then what operators do about it.

use std::fs;

use serde_json::Value;

use crate::lab::Lab;

fn ask(lab: &Lab, arguments: &[&str]) -> Result<Value, String> {
    let text = lab.outside(&[arguments, &["-o", "json"]].concat());
    serde_json::from_str(&text).map_err(|error| format!("{error} in {text}"))
}

/// The hosts that are taken for dead.
fn down(lab: &Lab) -> Result<Vec<String>, String> {
    let hosts = ask(lab, &["host", "list"])?;
    let dead = hosts.as_array().unwrap().iter().filter(|row| !row["down_since"].is_null());
    Ok(dead.map(|row| row["name"].as_str().unwrap().to_owned()).collect())
}

fn until_down(lab: &Lab, hosts: &[&str]) {
    lab.wait("hosts to be taken for dead", |lab| match down(lab)? {
        dead if dead == hosts => Ok(()),
        dead => Err(format!("{dead:?}")),
    });
}

#[test]
fn two_of_three_hosts_that_die_at_once_are_found_by_servers_apart() {
    let arguments = ["--servers", "3", "--servers-apart", "--hosts", "3"];
    let Some(lab) = Lab::up(&arguments) else { return };
    lab.wait("all servers to be whole and all pairs to hear each other", |lab| {
        let servers = ask(lab, &["server", "list"])?;
        let whole = |row: &Value| {
            let votes = ["leader", "follower"].iter().any(|vote| row["member"]["state"] == *vote);
            row["connected"] == true && row["store"] == true && votes
        };
        let report = ask(lab, &["net", "doctor"])?;
        // Six between hosts, nine from servers.
        if servers.as_array().unwrap().iter().all(whole) && report["pairs"] == 15 {
            return Ok(());
        }
        Err(format!("{servers} {report}"))
    });
    for host in ["host-2", "host-3"] {
        lab.must(&["lab", "kill", host]);
    }
    until_down(&lab, &["host-2", "host-3"]);
    let mode = ask(&lab, &["safe-mode"]).unwrap();
    assert_eq!(mode["lost"]["hosts"], serde_json::json!(["host-2", "host-3"]));
    let accepted = ask(&lab, &["safe-mode", "accept"]).unwrap();
    assert_eq!((&accepted["lost"], &accepted["accepted_by"]), (&Value::Null, &"admin".into()));

    lab.outside(&["host", "remove", "host-3"]);
    for host in ["host-2", "host-3"] {
        lab.must(&["lab", "restart", host]);
    }
    until_down(&lab, &[]);
    let log = lab.base().join("lab/machines/host-3/agent.log");
    lab.wait("the removed host's agent to be told", |_| {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let told = text.contains("host host-3 was removed from the cluster");
        if told { Ok(()) } else { Err(text) }
    });
    let hosts = ask(&lab, &["host", "list"]).unwrap();
    let names: Vec<&Value> = hosts.as_array().unwrap().iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["host-1", "host-2"]);
    lab.must(&["lab", "down"]);
}
