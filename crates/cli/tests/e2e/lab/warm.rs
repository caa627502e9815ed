//! Standby hosts: an app's image is on hosts that would take its work before anything dies, and
//! when its host dies nothing is fetched any more.

use std::fs;

use serde_json::Value;

use super::world::{Lab, healthy};

impl Lab {
    /// How often agents of a lab have fetched a layer, or begun to.
    fn fetches(&self, hosts: &[&str]) -> Vec<String> {
        let read = |host: &&str| {
            let log = self.directory().join("machines").join(host).join("agent.log");
            fs::read_to_string(log).unwrap_or_default()
        };
        let text: String = hosts.iter().map(read).collect();
        text.lines().filter(|line| line.contains("fetched a layer")).map(str::to_owned).collect()
    }
}

#[test]
fn recovery_fetches_nothing_because_standby_hosts_are_warm() {
    let arguments = ["--hosts", "4", "--hypervisors", "2", "--servers-apart"];
    let Some(lab) = Lab::up(&arguments) else { return };
    lab.deploy_scaled(1);
    let mut warm = Vec::new();
    lab.wait("hosts to stand by", |lab| {
        let all: Value =
            serde_json::from_str(&lab.outside(&["status", "hello", "-o", "json"])).unwrap();
        let names = |field: &str| -> Vec<String> {
            let list = all[0][field].as_array().into_iter().flatten();
            list.map(|name| name.as_str().unwrap().to_owned()).collect()
        };
        warm = names("warm");
        match names("warming").is_empty() && !warm.is_empty() {
            true => Ok(()),
            false => Err(format!("warm {warm:?}, warming {:?}", names("warming"))),
        }
    });
    assert!(lab.outside(&["status", "hello", "--why"]).contains("warm on"));
    let hosts = ["host-1", "host-2", "host-3", "host-4"];
    let fetched = lab.fetches(&hosts);
    assert!(fetched.len() > warm.len(), "the agents say what they fetch: {fetched:?}");
    println!("{fetched:#?}");

    let before = lab.rows();
    let dead = before[0].1.clone();
    lab.must(&["lab", "kill", &dead]);
    lab.wait("the app to run elsewhere", |lab| {
        let rows = lab.rows();
        match healthy(&rows).iter().any(|row| row.1 != dead) {
            true => Ok(()),
            false => Err(format!("{rows:?}")),
        }
    });
    let now = healthy(&lab.rows());
    let home = &now.iter().find(|row| row.1 != dead).unwrap().1;
    assert!(warm.contains(home), "{home} is not one of {warm:?}");
    // Others may begin to stand by now, but where it runs nothing had to come first.
    assert!(lab.fetches(&[home.as_str()]).len() <= 1, "{:?}", lab.fetches(&[home.as_str()]));
    lab.must(&["lab", "down"]);
}
