//! The agent process, what it is assigned, and how long it takes.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use api::assignment::{Assignment, Entry, Wanted};
use api::id::{AppName, EnvironmentName, Generation, HostId, InstanceId, ReleaseNumber};
use api::manifest::Manifest;
use api::network::{InstanceAddress, NetworkTable};
use api::protocol::{Down, Workload};
use api::release::Image;
use api::status::{HostStatus, InstanceState};
use image::ContentStore;
use pki::{CertificateAuthority, ClientAuth, ServerNames, ServerTls, SwappableIdentity};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::server::{Heard, Server};
use crate::machine::{Running, make_image, make_root};
use crate::setting::{READY_WITHIN, Setting};

const HOST: &str = "bench-host";
const SUBNET: &str = "10.128.0.0/24";
const RANGE: &str = "10.128.0.0/16";
const SERVICES: &str = "10.127.0.0/16";

/// The first address of an instance; those before are the network's and the host's.
const FIRST_ADDRESS: usize = 10;

/// Addresses taken in turn: .10 to .249.
const ADDRESSES: usize = 240;

/// What runs in an instance: the image's own command, which sleeps.
const MANIFEST: &str = "app = \"bench\"\nteam = \"bench\"\n[process]\nwritable = [\"/tmp\"]\n\
                        stop_grace = \"1s\"\n[resources]\ncpu = \"100m\"\nmemory = \"64MiB\"\n";

/// How long starting or clearing 100 instances may take before something is wrong.
const CHANGED_WITHIN: Duration = Duration::from_secs(120);

/// A host with its agent.
#[derive(Debug)]
pub(crate) struct Host {
    runtime: Runtime,
    server: Server,
    agent: Option<Running>,
    workload: Workload,
    generation: u64,
    /// Instances made so far: no two have the same name.
    made: usize,
}

impl Host {
    /// Starts the server and an agent, and waits until the agent reports.
    pub(crate) fn start(setting: &Setting) -> Result<Self> {
        let directory = setting.directory("host")?;
        let root = setting.directory("host/root")?;
        make_root(&root)?;
        let content = ContentStore::open(directory.join("registry")).context("open a store")?;
        let digest = make_image(&content, &root)?;
        let tls = certificates(&directory)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("start a runtime")?;
        let (server, address) = runtime.block_on(Server::start(tls, content))?;
        let mut agent = Command::new(&setting.order.freehold);
        agent.arg("agent").arg("--ephemeral").args(["--host", HOST]);
        agent.args(["--slug", &setting.order.slug]).args(["--run-dir", "/run/freehold-agent"]);
        agent.arg("--data").arg(directory.join("data"));
        agent.arg("--server").arg(address.to_string());
        agent.arg("--authorities").arg(directory.join("ca.pem"));
        agent.arg("--certificate").arg(directory.join("host.pem"));
        agent.arg("--key").arg(directory.join("host.key"));
        agent.args(["--subnet", SUBNET]).args(["--instance-range", RANGE]);
        agent.args(["--service-range", SERVICES]);
        let mut agent = Running::start(&mut agent, "agent", &setting.scratch)?;
        let heard = server.heard.clone();
        agent.until("its first report", READY_WITHIN, |_| heard.borrow().as_ref().map(drop))?;
        let workload = workload(&digest.to_string())?;
        Ok(Self { runtime, server, agent: Some(agent), workload, generation: 0, made: 0 })
    }

    /// Assigns `count` new instances and waits until the host reports that all run: the time from
    /// saying it to reading that report.
    pub(crate) fn start_instances(&mut self, count: usize) -> Result<Duration> {
        let numbers = self.made..self.made + count;
        self.made = numbers.end;
        let entries = numbers.map(entry).collect::<Result<Vec<_>>>()?;
        self.change(entries, |status| {
            let runs = |state| matches!(state, InstanceState::Starting | InstanceState::Healthy);
            status.instances.iter().all(|one| one.pid.is_some() && runs(one.state))
        })
    }

    /// Takes all instances away and waits until nothing of them is left.
    pub(crate) fn clear(&mut self) -> Result<()> {
        self.change(Vec::new(), |_| true).map(drop)
    }

    /// Asks the agent to end, which removes what it made.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.agent.take().map_or(Ok(()), Running::end)
    }

    fn change(
        &mut self,
        mut entries: Vec<Entry>,
        good: impl Fn(&HostStatus) -> bool,
    ) -> Result<Duration> {
        entries.sort_by(|a, b| a.instance.cmp(&b.instance));
        self.generation += 1;
        let (generation, count) = (Generation(self.generation), entries.len());
        let instances = entries.iter().map(|entry| InstanceAddress {
            instance: entry.instance.clone(),
            app: entry.app.clone(),
            environment: entry.environment.clone(),
            address: entry.address,
        });
        let instances = instances.collect();
        let table = NetworkTable { generation, instances, ..NetworkTable::default() };
        let host = HostId::new(HOST)?;
        let assignment = Assignment { host, generation, entries, cooling: Vec::new() };
        let workloads = vec![self.workload.clone()];
        let mut heard = self.server.heard.clone();
        let begun = Instant::now();
        self.server.say(&Down::Assignment { assignment, workloads })?;
        self.server.say(&Down::Network(table))?;
        let arrived = |heard: &Heard| {
            heard.as_ref().is_some_and(|(_, status)| {
                status.generation == generation && status.instances.len() == count && good(status)
            })
        };
        let waited = self.runtime.block_on(async {
            let found = tokio::time::timeout(CHANGED_WITHIN, heard.wait_for(arrived)).await;
            found.map(|found| found.map(|found| found.as_ref().map(|(at, _)| *at)))
        });
        match waited {
            Ok(Ok(Some(at))) => Ok(at.duration_since(begun)),
            _ => bail!("{count} instances did not come: {}", self.last_words()),
        }
    }

    fn last_words(&self) -> String {
        let heard = self.server.heard.borrow();
        let instances = heard.as_ref().map_or(&[][..], |(_, status)| &status.instances);
        let troubled = instances.iter().filter(|one| !one.message.is_empty()).take(3);
        let troubles = troubled.map(|one| format!("{}: {}", one.instance, one.message));
        let log = self.agent.as_ref().map(Running::last_words).unwrap_or_default();
        troubles.chain([log]).collect::<Vec<_>>().join("\n")
    }
}

fn entry(number: usize) -> Result<Entry> {
    let (app, environment) = (AppName::new("bench")?, EnvironmentName::new("production")?);
    let last = u8::try_from(FIRST_ADDRESS + number % ADDRESSES).context("an address")?;
    Ok(Entry {
        instance: InstanceId::compose(&app, &environment, u64::try_from(number)?),
        app,
        environment,
        release: ReleaseNumber(1),
        wanted: Wanted::Run,
        address: Ipv4Addr::new(10, 128, 0, last),
        replaces: None,
        epoch: 0,
    })
}

fn workload(digest: &str) -> Result<Workload> {
    let environment = EnvironmentName::new("production")?;
    let manifest = Manifest::parse("freehold.toml", MANIFEST);
    let manifest = manifest.map_err(|errors| anyhow::anyhow!("the manifest: {errors:?}"))?;
    let spec = manifest.resolve(&environment);
    Ok(Workload {
        app: AppName::new("bench")?,
        release: ReleaseNumber(1),
        image: Image {
            registry: None,
            repository: "bench/busybox".to_owned(),
            tag: None,
            digest: digest.parse().context("the image's digest")?,
        },
        spec: spec.map_err(|errors| anyhow::anyhow!("the manifest: {errors:?}"))?,
        secrets: BTreeMap::new(),
        environment,
    })
}

/// Makes an authority and certificates for both ends; gives the server's.
fn certificates(directory: &std::path::Path) -> Result<TlsAcceptor> {
    let now = jiff::Timestamp::now();
    let authority = CertificateAuthority::create("bench", now)?;
    let file = |name: &str| -> PathBuf { directory.join(name) };
    fs::write(file("ca.pem"), authority.bundle().to_pem())?;
    authority.issue_host(HOST, now)?.save(&file("host.pem"), &file("host.key"))?;
    let names = ServerNames { dns: vec![], addresses: vec![Ipv4Addr::LOCALHOST.into()] };
    let server = authority.issue_server("bench", &names, now)?;
    let tls = ServerTls {
        identity: SwappableIdentity::new(&server)?,
        clients: ClientAuth::Required(authority.bundle()),
        alpn: &[b"h2", b"http/1.1"],
        time: None,
    };
    Ok(TlsAcceptor::from(Arc::new(pki::server_tls(&tls)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_instances_have_their_own_names_and_addresses() {
        let entries: Vec<Entry> = (200..300).map(|number| entry(number).unwrap()).collect();
        let names: std::collections::BTreeSet<_> = entries.iter().map(|it| &it.instance).collect();
        let addresses: std::collections::BTreeSet<_> =
            entries.iter().map(|it| it.address).collect();
        assert_eq!((names.len(), addresses.len()), (100, 100));
        assert!(addresses.iter().all(|address| (10..250).contains(&address.octets()[3])));
    }

    #[test]
    fn the_workload_is_valid() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let workload = workload(&digest).unwrap();
        assert_eq!(workload.spec.process.writable.len(), 1);
    }
}
