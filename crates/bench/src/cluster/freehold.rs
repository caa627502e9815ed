//! Our cluster: three servers with their own etcd on the first three hosts, default settings.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;

use ::lab::Silence;
use anyhow::{Context, Result};
use serde::Deserialize;

use super::client::Targets;
use super::lab::Lab;
use super::platform::{APP, Follow, HOST, Instances, Platform, after};
use crate::machine::Running;
use crate::setting::Setting;

/// The environment that the app is deployed in.
const ENVIRONMENT: &str = "staging";

/// The ingress's port on every host.
pub(super) const INGRESS: u16 = 80;

/// How the app is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settings {
    /// As it comes.
    Default,
    /// For fast updates: ten at once.
    Fast,
}

impl Settings {
    /// The contestant's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Default => crate::contest::OURS,
            Self::Fast => "freehold-fast",
        }
    }
}

/// A cluster of ours.
#[derive(Debug)]
pub(crate) struct Freehold {
    lab: Lab,
    manifest: PathBuf,
    hosts: usize,
    settings: Settings,
    /// Where clients ask, where that is a virtual address.
    address: Option<SocketAddrV4>,
}

/// A row of `freehold ps`.
#[derive(Debug, Deserialize)]
pub(crate) struct InstanceRow {
    /// Its name.
    pub(crate) instance: String,
    /// Where it is.
    pub(crate) host: String,
    /// `healthy`, or another word.
    pub(crate) state: String,
    /// Its first process, as its machine sees it.
    pub(crate) pid: Option<u32>,
}

/// A row of `freehold host list`.
#[derive(Debug, Deserialize)]
struct HostRow {
    name: String,
    connected: bool,
}

/// A row of `freehold route vip list`.
#[derive(Debug, Deserialize)]
struct VipRow {
    holders: Vec<HolderRow>,
}

#[derive(Debug, Deserialize)]
struct HolderRow {
    host: String,
}

impl Freehold {
    /// Brings a cluster up and gives it the app's image.
    pub(crate) fn start(setting: &Setting, hosts: usize, hypervisors: usize) -> Result<Self> {
        let on = hypervisors.to_string();
        Self::start_with(setting, hosts, &["--hypervisors", &on], Settings::Default)
    }

    /// The same with further arguments of `lab up`, and with settings.
    pub(crate) fn start_with(
        setting: &Setting,
        hosts: usize,
        arguments: &[&str],
        settings: Settings,
    ) -> Result<Self> {
        let count = hosts.to_string();
        let shape = ["--servers", "3", "--hosts", &count];
        let lab = Lab::up(setting, &[&shape[..], arguments].concat())?;
        let image = format!("{}:/hello", setting.hello()?.display());
        let build = ["image", "build", "--base", "scratch", "--command", "/hello", "--tag"];
        lab.freehold(&[&build[..], &["hello:1", "--add", &image]].concat())?;
        lab.freehold(&["image", "push", "hello:1"])?;
        lab.freehold(&["team", "create", "bench"])?;
        let manifest = setting.scratch.join("freehold.toml");
        Ok(Self { lab, manifest, hosts, settings, address: None })
    }

    fn rows(&self) -> Result<Vec<InstanceRow>> {
        self.rows_of(APP)
    }

    /// The instances of any app.
    pub(crate) fn rows_of(&self, app: &str) -> Result<Vec<InstanceRow>> {
        let text = self.lab.freehold(&["ps", app, "--env", ENVIRONMENT, "-o", "json"])?;
        serde_json::from_str(&text).context("read instances")
    }

    /// Deploys any manifest and waits for its end.
    pub(crate) fn deploy_manifest(&self, manifest: &str) -> Result<()> {
        fs::write(&self.manifest, manifest).context("write a manifest")?;
        let path = self.manifest.to_string_lossy().into_owned();
        let words = ["deploy", "-f", &path, "--image", "hello:1", "--wait"];
        self.lab.freehold(&words).map(drop)
    }

    /// The address of an app as a service.
    pub(crate) fn service_address(&self, app: &str) -> Result<String> {
        let status = ["status", app, "-o", "json"];
        let status: serde_json::Value = serde_json::from_str(&self.lab.freehold(&status)?)?;
        let address = find(&status, "service_address").context("the app has no service address")?;
        Ok(address.to_owned())
    }

    /// Starts this program as a client in an instance's network.
    pub(crate) fn start_inside(&self, row: &InstanceRow, words: &[&str]) -> Result<Running> {
        let pid = row.pid.context("an instance has no process")?.to_string();
        let own = std::env::current_exe().context("find this program")?;
        let own = own.to_string_lossy();
        let enter = ["nsenter", "--target", &pid, "--net", &own];
        self.lab.start_on(&row.host, "held", &[&enter, words].concat())
    }
}

/// The first text of that name in a document.
fn find<'a>(value: &'a serde_json::Value, name: &str) -> Option<&'a str> {
    match value {
        serde_json::Value::Object(fields) => {
            let own = fields.get(name).and_then(serde_json::Value::as_str);
            own.or_else(|| fields.values().find_map(|value| find(value, name)))
        }
        serde_json::Value::Array(values) => values.iter().find_map(|value| find(value, name)),
        _ => None,
    }
}

/// The limits that instances have on all platforms.
fn manifest(count: usize, version: usize, settings: Settings) -> String {
    let rollout = if settings == Settings::Fast { "[rollout]\nsurge = 10\n" } else { "" };
    format!(
        "app = \"{APP}\"\nteam = \"bench\"\n[process]\ncommand = [\"/hello\"]\nport = 8080\n\
         [environment]\nVERSION = \"{version}\"\nHELLO_START_DELAY_MS = \"50\"\n\
         [resources]\ncpu = \"20m\"\nmemory = \"32MiB\"\npids = 32\n\
         [scale]\ninstances = {count}\n[health]\nhttp = \"/healthz\"\n\
         [routes]\nhosts = [\"{HOST}\"]\n{rollout}"
    )
}

impl Platform for Freehold {
    fn name(&self) -> &'static str {
        self.settings.name()
    }

    fn lab(&self) -> &Lab {
        &self.lab
    }

    fn deploy(&mut self, count: usize, version: usize) -> Result<()> {
        fs::write(&self.manifest, manifest(count, version, self.settings))
            .context("write a manifest")?;
        let manifest = self.manifest.to_string_lossy().into_owned();
        self.lab.freehold(&["deploy", "-f", &manifest, "--image", "hello:1"]).map(drop)
    }

    fn remove(&mut self) -> Result<()> {
        self.lab.freehold(&["app", "delete", APP])?;
        super::patiently("the app's end", || {
            Ok(self.rows().map_or(true, |rows| rows.is_empty()).then_some(()))
        })
    }

    fn instances(&self) -> Result<Instances> {
        let rows = self.rows()?.into_iter().filter(|row| row.state == "healthy");
        Ok(rows.map(|row| (row.instance, row.host)).collect())
    }

    fn leader(&self) -> Result<(String, String)> {
        let machines = self.lab.status()?;
        let mut leading = machines
            .into_iter()
            .filter(|machine| machine.leads.iter().any(|member| member.starts_with("server-")));
        let machine = leading.next().context("no server leads")?;
        Ok((machine.machine, machine.leads.join(" and ")))
    }

    fn follow(&self, targets: Targets, lost: &BTreeSet<String>) -> Result<Box<dyn Follow>> {
        if let Some(address) = self.address {
            *targets.lock() = Arc::new(vec![address]);
            return Ok(Box::new(()));
        }
        let stays = |machine: &&::lab::Machine| !lost.contains(&machine.name);
        // One ingress, as behind one name or address that stays.
        let entry = self.lab.plan().machines.iter().rev().find(stays);
        let entry = entry.context("all machines will be killed")?;
        *targets.lock() = Arc::new(vec![self.lab.address(&entry.name, INGRESS)?]);
        Ok(Box::new(()))
    }

    fn add_address(&mut self) -> Result<()> {
        let range = self.lab.plan().range;
        // Far above the machines' own.
        let address = Ipv4Addr::from(u32::from(range.network()) + 250);
        let with_prefix = format!("{address}/{}", range.prefix_len());
        self.lab.freehold(&["route", "vip", "add", &with_prefix])?;
        self.address = Some(SocketAddrV4::new(address, INGRESS));
        super::patiently("a holder", || Ok(self.holder().ok())).map(drop)
    }

    fn holder(&self) -> Result<String> {
        let text = self.lab.freehold(&["route", "vip", "list", "-o", "json"])?;
        let rows: Vec<VipRow> = serde_json::from_str(&text).context("read virtual addresses")?;
        let holders = rows.into_iter().next().map(|row| row.holders).unwrap_or_default();
        match <[HolderRow; 1]>::try_from(holders) {
            Ok([holder]) => Ok(holder.host),
            Err(holders) => anyhow::bail!("{} hosts hold the address", holders.len()),
        }
    }

    fn has_entry(&self) -> bool {
        true
    }

    fn hold(&self, before: &Instances, lost: &BTreeSet<String>) -> Result<Option<Running>> {
        let rows = self.rows()?;
        let stays = |row: &&InstanceRow| {
            row.pid.is_some() && before.contains_key(&row.instance) && !lost.contains(&row.host)
        };
        let row = rows.iter().find(stays).context("no instance stays")?;
        let address = self.service_address(APP)?;
        self.start_inside(row, &["--hold", &address]).map(Some)
    }

    fn returned(&mut self, _: &BTreeSet<String>) -> Result<()> {
        Ok(())
    }

    fn unsettled(&mut self, count: usize) -> Result<Option<String>> {
        // While a server leaves or comes a question may go wrong.
        let asked = self.lab.freehold(&["host", "list", "-o", "json"]);
        let Ok(text) = asked else { return Ok(Some("no server answers".to_owned())) };
        let hosts: Vec<HostRow> = serde_json::from_str(&text).context("read hosts")?;
        if let Some(missing) = hosts.iter().find(|host| !host.connected) {
            return Ok(Some(format!("{} is not connected", missing.name)));
        }
        let Ok(rows) = self.rows() else { return Ok(Some("no server answers".to_owned())) };
        let instances = self.instances().unwrap_or_default();
        let settled = rows.len() == count
            && instances.len() == count
            && super::platform::is_even(&instances, self.hosts);
        if settled && self.address.is_some() {
            return Ok(self.holder().err().map(|error| format!("{error:#}")));
        }
        Ok((!settled).then(|| format!("{} instances, {} healthy", rows.len(), instances.len())))
    }

    fn said(&self, silence: &Silence) -> Result<Vec<(f64, String)>> {
        let mut all = Vec::new();
        for machine in self.lab.plan().with_role(::lab::Role::Server) {
            let log = fs::read(self.lab.log(&machine.name, "server")).unwrap_or_default();
            for line in String::from_utf8_lossy(&log).lines() {
                if let Some((at, what)) = word(line)
                    && let at = after(silence, at)?
                    && at >= 0.0
                {
                    all.push((at, what));
                }
            }
        }
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(all)
    }
}

/// The time and the meaning of a line of a server's log, when it belongs to the timeline.
fn word(line: &str) -> Option<(&str, String)> {
    let (at, rest) = line.trim_start().split_once(' ')?;
    let field = |name: &str| {
        let (_, value) = rest.split_once(&format!(" {name}="))?;
        let value = value.strip_prefix('"').map_or_else(
            || value.split(' ').next(),
            |quoted| quoted.split_once('"').map(|(value, _)| value),
        );
        value.map(str::to_owned)
    };
    let what = if let Some(believed) = field("believed") {
        format!("{} is {}", field("host")?, believed.to_lowercase())
    } else if let (Some(hosts), Some(placed)) = (field("hosts"), field("placed")) {
        format!("planned: {placed} instances, {hosts} hosts to write")
    } else if let Some(kind) = field("kind") {
        // What happened stands after the kind.
        let (_, message) = rest.split_once(&format!("kind=\"{kind}\" "))?;
        match kind.as_str() {
            "host.down" => "written: down".to_owned(),
            "instance.placed" => format!("written: {message}"),
            "instance.healthy" => message.to_owned(),
            _ => return None,
        }
    } else if rest.contains("this server leads") {
        "a server leads".to_owned()
    } else {
        return None;
    };
    Some((at, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_log_become_a_timeline() {
        let at = "2026-11-22T23:45:31.123456Z";
        let of = |rest: &str| word(&format!("{at}  INFO server::x: {rest}")).map(|(_, what)| what);
        let believed = of("a host host=host-4 believed=Suspect").unwrap();
        assert_eq!(believed, "host-4 is suspect");
        let planned = of("planned hosts=3 placed=3").unwrap();
        assert_eq!(planned, "planned: 3 instances, 3 hosts to write");
        let healthy = of("event kind=\"instance.healthy\" a is healthy").unwrap();
        assert_eq!(healthy, "a is healthy");
        let placed = of("event kind=\"instance.placed\" a on b").unwrap();
        assert_eq!(placed, "written: a on b");
        assert_eq!(of("event kind=\"instance.died\" a"), None);
        assert_eq!(of("this server leads term=4").unwrap(), "a server leads");
        assert_eq!(word("").map(drop), None);
    }

    #[test]
    fn the_manifest_is_one() {
        for (settings, surge) in [(Settings::Default, 1), (Settings::Fast, 10)] {
            let text = manifest(12, 3, settings);
            let manifest = api::manifest::Manifest::parse("freehold.toml", &text).unwrap();
            let staging = api::id::EnvironmentName::new(ENVIRONMENT).unwrap();
            assert_eq!(manifest.resolve(&staging).unwrap().rollout.surge, surge);
        }
    }
}
