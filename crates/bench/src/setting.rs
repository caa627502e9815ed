//! Where a benchmark runs: inside namespaces of its own, with a scratch directory and the programs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::cluster::{self, Hold, Loss, Scenario};
use crate::contest::{Measured, Row};
use crate::machine::Programs;
use crate::options::{Benchmark, Options};
use crate::{create_start, ingress, instance_start, memory, service_change};

/// The order file in the scratch directory, for the process inside.
pub(crate) const ORDER: &str = "order.json";

/// How long anything that has to become ready may take.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(60);

/// What the process inside is told: everything is chosen already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Which benchmark.
    pub(crate) benchmark: Benchmark,
    /// Few and short runs.
    pub(crate) quick: bool,
    /// Runs, where the caller says.
    pub(crate) runs: Option<usize>,
    /// The `freehold` binary.
    pub(crate) freehold: PathBuf,
    /// The static example app.
    pub(crate) hello: PathBuf,
    /// Where `make bench-setup` puts programs.
    pub(crate) own_programs: PathBuf,
    /// How long whole clusters are measured.
    pub(crate) within: Option<Duration>,
    /// Where runs of whole clusters are kept.
    pub(crate) journal: PathBuf,
    /// Names whatever is seen outside of the namespaces: at most 8 characters of a-z and 0-9.
    pub(crate) slug: String,
}

/// The place of one benchmark.
#[derive(Debug)]
pub(crate) struct Setting {
    /// On disk, passable for all; removed afterwards.
    pub(crate) scratch: PathBuf,
    /// What to do.
    pub(crate) order: Order,
    /// Where programs are.
    pub(crate) programs: Programs,
}

impl Setting {
    /// Counted runs: the caller's number, or this benchmark's.
    pub(crate) fn runs(&self, full: usize, quick: usize) -> usize {
        let own = if self.order.quick { quick } else { full };
        self.order.runs.unwrap_or(own).max(1)
    }

    /// Makes a directory below the scratch directory.
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.scratch.join(name);
        let made = std::fs::create_dir_all(&path);
        made.with_context(|| format!("make {}", path.display())).map(|()| path)
    }

    /// The static example app.
    pub(crate) fn hello(&self) -> Result<&Path> {
        let hello = &self.order.hello;
        ensure!(hello.is_file(), "{} is not there; hint: make hello", hello.display());
        Ok(hello)
    }

    /// The control group of what is not Freehold's own, from the root of each hierarchy.
    pub(crate) fn peer_group(&self) -> String {
        format!("/{}-peer", group_prefix(&self.order.slug))
    }
}

/// How the names of all control groups of a run begin; Freehold's own are `freehold-SLUG`.
pub(crate) fn group_prefix(slug: &str) -> String {
    format!("freehold-{slug}")
}

/// Runs the ordered benchmark and prints its rows as JSON.
pub(crate) fn run_inside(options: &Options) -> Result<()> {
    let scratch: &Path = options.inside.as_deref().context("no scratch directory")?;
    let order = std::fs::read(scratch.join(ORDER)).context("read the order")?;
    let order: Order = serde_json::from_slice(&order).context("read the order")?;
    // Machines of a lab outlive who starts them: there a shell is first, which takes leave of them.
    let first = order.benchmark.is_of_clusters() || std::process::id() == 1;
    ensure!(first, "this is not the first process of a namespace");
    let path = std::env::var("PATH").unwrap_or_default();
    let programs = Programs::new(&order.own_programs, &path);
    let setting = Setting { scratch: scratch.to_owned(), order, programs };
    let rows: Vec<Row> = match setting.order.benchmark {
        Benchmark::CreateStart => create_start::run(&setting)?,
        Benchmark::InstanceStart => instance_start::run(&setting)?,
        Benchmark::Start100 => instance_start::run_many(&setting)?,
        Benchmark::Ingress => ingress::run(&setting, false)?,
        Benchmark::IngressTls => ingress::run(&setting, true)?,
        Benchmark::Memory => memory::run(&setting)?,
        Benchmark::ServiceChange => service_change::run(&setting)?,
        Benchmark::Deploy12 => cluster::run(&setting, Scenario::Deploy)?,
        Benchmark::Update100 => cluster::run(&setting, Scenario::Update)?,
        Benchmark::HostLoss => cluster::run(&setting, Scenario::Loss(Loss::Host))?,
        Benchmark::HypervisorLoss => cluster::run(&setting, Scenario::Loss(Loss::Hypervisor))?,
        Benchmark::LeaderLoss => cluster::run(&setting, Scenario::Loss(Loss::Leader))?,
        Benchmark::LongConnection => cluster::long_connection(&setting)?,
        Benchmark::MtuLoad => cluster::mtu_load(&setting)?,
        Benchmark::Singleton => cluster::singleton(&setting)?,
        Benchmark::VipLoss => cluster::run(&setting, Scenario::Loss(Loss::Holder))?,
        Benchmark::FailStatic => cluster::run_hold(&setting, Hold::FailStatic)?,
        Benchmark::StaticKill => cluster::run_hold(&setting, Hold::StaticKill)?,
        Benchmark::ControlCut => cluster::run_hold(&setting, Hold::ControlCut)?,
        Benchmark::Loss30 => cluster::run_hold(&setting, Hold::Loss)?,
        Benchmark::CutOff => cluster::run_hold(&setting, Hold::CutOff)?,
        Benchmark::ColdStart => cluster::run_hold(&setting, Hold::ColdStart)?,
        Benchmark::EtcdLoss => cluster::run_hold(&setting, Hold::EtcdLoss)?,
    };
    let json = serde_json::to_vec(&Measured { rows }).context("write the rows")?;
    std::io::stdout().write_all(&json).context("print the rows")
}
