//! The swarm itself: made, filled, hurt and taken down.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ::lab::Silence;
use anyhow::{Context, Result};

use super::super::client::Targets;
use super::super::lab::Lab;
use super::super::patiently;
use super::super::platform::{APP, Follow, Instances, Platform, after, is_even};
use super::api::{Node, Task, get};
use super::engines::{Engines, IMAGE, socket};
use super::follow::Follower;
use crate::setting::Setting;

/// How a swarm is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settings {
    /// As it comes.
    Default,
    /// For fast recovery, by its documented settings: heartbeats every second, no delay before a
    /// replacement, ten at once in an update, new before old.
    Fast,
}

impl Settings {
    /// The peer's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Default => "swarm",
            Self::Fast => "swarm-fast",
        }
    }
}

/// A swarm.
#[derive(Debug)]
pub(crate) struct Swarm {
    lab: Lab,
    engines: Engines,
    settings: Settings,
}

impl Swarm {
    /// Brings a swarm up that knows the app's image.
    pub(crate) fn start(
        setting: &Setting,
        settings: Settings,
        hosts: usize,
        hypervisors: usize,
    ) -> Result<Self> {
        let (count, on) = (hosts.to_string(), hypervisors.to_string());
        let lab = Lab::up(setting, &["--bare", "--hosts", &count, "--hypervisors", &on])?;
        let engines = Engines::start(setting, &lab)?;
        let swarm = Self { lab, engines, settings };
        if settings == Settings::Fast {
            swarm.docker(&["swarm", "update", "--dispatcher-heartbeat", "1s"])?;
        }
        Ok(swarm)
    }

    /// Sockets of managers, in order.
    fn managers(&self) -> Result<Vec<PathBuf>> {
        let machines = self.lab.plan().machines.iter().take(3);
        machines.map(|machine| socket(&self.lab, &machine.name)).collect()
    }

    fn nodes(&self) -> Result<Vec<Node>> {
        ask_any(&self.managers()?, "/nodes")
    }

    fn tasks(&self) -> Result<Vec<Task>> {
        ask_any(&self.managers()?, "/tasks")
    }

    /// Runs Docker's command on a manager that answers.
    fn docker(&self, words: &[&str]) -> Result<String> {
        let mut last = None;
        for machine in self.lab.plan().machines.iter().take(3) {
            match self.engines.docker(&self.lab, &machine.name, words) {
                Ok(text) => return Ok(text),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("no managers")?)
    }

    fn names(&self) -> Result<BTreeMap<String, String>> {
        let nodes = self.nodes()?.into_iter();
        Ok(nodes.map(|node| (node.id, node.description.hostname)).collect())
    }
}

/// The answer of the first engine that has one.
pub(super) fn ask_any<T: serde::de::DeserializeOwned>(
    sockets: &[PathBuf],
    path: &str,
) -> Result<T> {
    let mut last = None;
    for socket in sockets {
        match get(socket, path) {
            Ok(answer) => return Ok(answer),
            Err(error) => last = Some(error),
        }
    }
    Err(last.context("no managers")?)
}

/// `docker service create` with the limits that instances have on all platforms.
fn create(count: usize, version: usize, settings: Settings) -> Vec<String> {
    let (count, version) = (count.to_string(), format!("VERSION={version}"));
    let mut words = vec!["service", "create", "--detach", "--name", APP, "--replicas", &count];
    words.extend(["--env", "FREEHOLD_INSTANCE={{.Task.ID}}", "--env", &version]);
    words.extend(["--env", "HELLO_START_DELAY_MS=50", "--publish", "mode=host,target=8080"]);
    words.extend(["--reserve-cpu", "0.02", "--reserve-memory", "32M", "--limit-memory", "32M"]);
    words.extend(["--limit-pids", "32", "--read-only", "--cap-drop", "ALL", "--user", "1000"]);
    if settings == Settings::Fast {
        words.extend(["--restart-delay", "0s", "--update-parallelism", "10"]);
        words.extend(["--update-order", "start-first"]);
    }
    words.push(IMAGE);
    words.into_iter().map(str::to_owned).collect()
}

impl Platform for Swarm {
    fn name(&self) -> &'static str {
        self.settings.name()
    }

    fn lab(&self) -> &Lab {
        &self.lab
    }

    fn deploy(&mut self, count: usize, version: usize) -> Result<()> {
        let there = self.docker(&["service", "ls", "--quiet"])?;
        if there.trim().is_empty() {
            let words = create(count, version, self.settings);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            return self.docker(&words).map(drop);
        }
        let version = format!("VERSION={version}");
        let words = ["service", "update", "--detach", "--env-add", &version, APP];
        self.docker(&words).map(drop)
    }

    fn remove(&mut self) -> Result<()> {
        self.docker(&["service", "rm", APP])?;
        patiently("the service's end", || {
            let left = self.lab.plan().machines.iter().map(|machine| -> Result<usize> {
                let containers: Vec<super::api::Container> =
                    get(&socket(&self.lab, &machine.name)?, "/containers/json")?;
                Ok(containers.len())
            });
            Ok((left.sum::<Result<usize>>()? == 0).then_some(()))
        })
    }

    fn instances(&self) -> Result<Instances> {
        let names = self.names()?;
        let running = self.tasks()?.into_iter().filter(Task::runs);
        let place = |task: Task| Some((task.id, names.get(&task.node)?.clone()));
        Ok(running.filter_map(place).collect())
    }

    fn leader(&self) -> Result<(String, String)> {
        let leads = |node: &Node| node.manager_status.as_ref().is_some_and(|it| it.leader);
        let leader = self.nodes()?.into_iter().find(leads).context("no manager leads")?;
        Ok((leader.description.hostname, "the leading manager".to_owned()))
    }

    fn follow(&self, targets: Targets, _: &BTreeSet<String>) -> Result<Box<dyn Follow>> {
        let engines = self.lab.plan().machines.iter();
        let engines = engines
            .map(|machine| Ok((machine.address, socket(&self.lab, &machine.name)?)))
            .collect::<Result<Vec<_>>>()?;
        Ok(Box::new(Follower::start(engines, self.managers()?, targets)))
    }

    fn returned(&mut self, machines: &BTreeSet<String>) -> Result<()> {
        for machine in machines {
            self.engines.run_on(&self.lab, machine)?;
        }
        for machine in machines {
            self.engines.wait(&self.lab, machine)?;
        }
        Ok(())
    }

    fn unsettled(&mut self, count: usize) -> Result<Option<String>> {
        let Ok(nodes) = self.nodes() else { return Ok(Some("no manager answers".to_owned())) };
        if let Some(node) = nodes.iter().find(|node| node.status.state != "ready") {
            return Ok(Some(format!("{} is {}", node.description.hostname, node.status.state)));
        }
        let managers = nodes.iter().filter_map(|node| node.manager_status.as_ref());
        if managers.filter(|it| it.reachability == "reachable").count() < 3 {
            return Ok(Some("a manager is not reachable".to_owned()));
        }
        let Ok(instances) = self.instances() else {
            return Ok(Some("no manager answers".to_owned()));
        };
        if instances.len() != count {
            return Ok(Some(format!("{} tasks run", instances.len())));
        }
        if !is_even(&instances, nodes.len()) {
            // It does not do this by itself.
            self.docker(&["service", "update", "--detach", "--force", APP])?;
            return Ok(Some("spread anew".to_owned()));
        }
        Ok(None)
    }

    fn said(&self, silence: &Silence) -> Result<Vec<(f64, String)>> {
        let names = self.names()?;
        let mut all = Vec::new();
        for task in self.tasks()?.into_iter().filter(Task::runs) {
            let at = after(silence, &task.status.timestamp)?;
            if at >= 0.0 {
                let on = names.get(&task.node).cloned().unwrap_or_default();
                all.push((at, format!("{} runs on {on}", task.id)));
            }
        }
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_fast_one_is_tuned() {
        let plain = create(12, 1, Settings::Default);
        let fast = create(12, 1, Settings::Fast);
        assert!(!plain.iter().any(|word| word.contains("restart") || word.contains("update")));
        assert!(fast.contains(&"--restart-delay".to_owned()));
        assert_eq!((plain.last().unwrap(), fast.last().unwrap()), (&IMAGE.into(), &IMAGE.into()));
    }
}
