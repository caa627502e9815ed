//! Why a plan is what it is, as data: the command line and the console show it, nothing is
//! explained in logs only.

use std::fmt;

use api::id::{AppName, EnvironmentName, HostId, InstanceId, ReleaseNumber};
use api::unit::{Bytes, MilliCpu, Millis};

/// Why an app in an environment is as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppReport {
    /// The environment.
    pub environment: EnvironmentName,
    /// The app.
    pub app: AppName,
    /// The release that is wanted now.
    pub release: Option<ReleaseNumber>,
    /// How many instances of it are wanted.
    pub wanted: u32,
    /// How many of them are in service.
    pub in_service: u32,
    /// What keeps it from its goal; empty when it is there.
    pub blockers: Vec<Blocker>,
}

/// One thing that keeps an app from its goal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocker {
    /// No host could take another instance.
    NoHost(NoHost),
    /// An instance is not healthy yet, or not in every table yet.
    Starting {
        /// Which.
        instance: InstanceId,
        /// What it is doing, for people.
        detail: String,
    },
    /// An instance is being drained or stopped.
    Leaving {
        /// Which.
        instance: InstanceId,
        /// What it waits for, for people.
        detail: String,
    },
    /// The release's manifest can't be resolved for the environment.
    NoSpec(ReleaseNumber),
    /// Lost instances wait for their replacement because much was lost at once.
    SafeMode {
        /// How many wait.
        waiting: u32,
    },
    /// Two instances stand for one while its place changes: one in a less crowded place was started
    /// beside it, or its host came back after it was replaced.
    Moving {
        /// The one that was there before, and its host.
        before: (InstanceId, HostId),
        /// The one that was started for it, and its host.
        beside: (InstanceId, HostId),
    },
    /// A failure domain holds more than its even share, and no other can take one.
    Uneven {
        /// Its path; a host's name where hosts have no failure domain.
        domain: String,
        /// What it holds.
        holds: u32,
        /// Its share.
        share: u32,
    },
    /// A singleton's successor waits until nothing of the one before can run any more.
    Lease {
        /// The one before.
        instance: InstanceId,
        /// Its host, which is taken for dead; none when that is no member any more.
        host: Option<HostId>,
        /// For how long.
        wait: Millis,
    },
    /// All addresses of a host's subnet or of the service range are taken or cooling off.
    NoAddress(String),
}

/// Why no host could take an instance: of all hosts, how many fail by what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoHost {
    /// How many hosts there are.
    pub hosts: u32,
    /// Draining, down or not reporting.
    pub not_ready: u32,
    /// Without the labels that the environment asks for.
    pub labels: u32,
    /// Short of processor time, and the most that one of them has free.
    pub cpu: Shortage<MilliCpu>,
    /// Short of memory.
    pub memory: Shortage<Bytes>,
    /// Short of process ids.
    pub pids: Shortage<u32>,
    /// Short of scratch space.
    pub disk: Shortage<Bytes>,
    /// Without a free address.
    pub addresses: u32,
    /// At the ceiling that `spread.max_skew` sets.
    pub spread: u32,
}

/// Hosts that are short of something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shortage<T> {
    /// How many hosts.
    pub hosts: u32,
    /// What one instance asks for.
    pub asked: T,
    /// The most that one of these hosts has free.
    pub most_free: T,
}

impl<T: Ord + Copy + fmt::Display> Shortage<T> {
    /// Counts a host when it has less than is asked for.
    pub fn count(&mut self, asked: T, free: T) -> bool {
        self.asked = asked;
        let short = free < asked;
        if short {
            self.hosts += 1;
            self.most_free = self.most_free.max(free);
        }
        short
    }

    fn describe(&self, what: &str, hosts: u32, parts: &mut Vec<String>) {
        if self.hosts > 0 {
            parts.push(format!(
                "{} of {hosts} lack {what} ({} asked, {} free at most)",
                self.hosts, self.asked, self.most_free
            ));
        }
    }
}

impl fmt::Display for NoHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.hosts == 0 {
            return f.write_str("there is no host");
        }
        let mut parts = Vec::new();
        let hosts = self.hosts;
        let mut count = |n: u32, what: &str| {
            if n > 0 {
                parts.push(format!("{n} of {hosts} {what}"));
            }
        };
        count(self.not_ready, "are not ready");
        count(self.labels, "lack the environment's labels");
        count(self.addresses, "have no free address");
        count(self.spread, "stand in a failure domain that holds its share");
        self.cpu.describe("cpu", hosts, &mut parts);
        self.memory.describe("memory", hosts, &mut parts);
        self.pids.describe("process ids", hosts, &mut parts);
        self.disk.describe("disk", hosts, &mut parts);
        write!(f, "no host can take another instance: {}", parts.join(", "))
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHost(why) => why.fmt(f),
            Self::Starting { instance, detail } | Self::Leaving { instance, detail } => {
                write!(f, "{instance}: {detail}")
            }
            Self::NoSpec(release) => {
                write!(f, "release {release} can't be resolved for this environment")
            }
            Self::SafeMode { waiting } => write!(
                f,
                "{waiting} lost instances wait for replacement: so much was lost at once that the \
                 cluster is in safe mode"
            ),
            Self::Moving { before, beside } => write!(
                f,
                "{} on {} beside {} on {}: the one in the fuller failure domain leaves once enough \
                 are in service",
                beside.0, beside.1, before.0, before.1
            ),
            Self::Uneven { domain, holds, share } => write!(
                f,
                "failure domain {domain} holds {holds}, its even share is {share}: no other can \
                 take one"
            ),
            Self::Lease { instance, host, wait } => {
                let host = host.as_ref().map_or("a host that was removed", HostId::as_str);
                write!(
                    f,
                    "a singleton: {instance} on {host} may still run; its successor waits {wait} \
                     until its lease is over for certain"
                )
            }
            Self::NoAddress(range) => write!(f, "no free address in {range}"),
        }
    }
}

/// Why an instance stands where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The instance.
    pub instance: InstanceId,
    /// Its host.
    pub host: HostId,
    /// How many instances of the app its outermost failure domain held before.
    pub in_domain: u32,
    /// How many instances of the app the host held before.
    pub on_host: u32,
    /// How many hosts could have taken it, as far as they were looked at.
    pub avoided: bool,
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} placed on {}: its failure domain held {} of the app, the host {}",
            self.instance, self.host, self.in_domain, self.on_host
        )?;
        if self.avoided {
            f.write_str("; no other host could take it, though the release died here before")?;
        }
        Ok(())
    }
}
