//! What the planner sees: the cluster at one revision.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use api::assignment::{Assignment, Entry};
use api::deployment::Deployment;
use api::digest::Digest;
use api::environment::Environment;
use api::host::{Capacity, Host};
use api::id::{AppName, EnvironmentName, HostId, InstanceId, ReleaseNumber};
use api::manifest::Spec;
use api::release::Image;
use api::status::{HostStatus, InstanceStatus};
use api::unit::Bytes;
use ipnet::Ipv4Net;

use crate::singleton::Leases;

/// An app in an environment.
pub type Place = (EnvironmentName, AppName);

/// The cluster at one revision, with what the leader knows beside the store.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// All environments.
    pub environments: BTreeMap<EnvironmentName, Environment>,
    /// All hosts.
    pub hosts: BTreeMap<HostId, Host>,
    /// What hosts are to run.
    pub assignments: BTreeMap<HostId, Assignment>,
    /// What hosts report.
    pub statuses: BTreeMap<HostId, HostStatus>,
    /// What apps should run.
    pub deployments: BTreeMap<Place, Deployment>,
    /// Manifests resolved for their environment, of every release that is wanted or assigned.
    pub specs: BTreeMap<(EnvironmentName, AppName, ReleaseNumber), Arc<Spec>>,
    /// The virtual addresses of apps in environments.
    pub services: BTreeMap<Place, Ipv4Addr>,
    /// The range that virtual addresses come from.
    pub service_range: Ipv4Net,
    /// The images of releases that are wanted or assigned.
    pub images: BTreeMap<(AppName, ReleaseNumber), Image>,
    /// Their sizes as transferred, where they are known.
    pub image_sizes: BTreeMap<Digest, Bytes>,
    /// Instances that every host and proxy has in its tables.
    pub in_service: BTreeSet<InstanceId>,
    /// Instances that no host or proxy has had in its tables for long enough.
    pub out_of_service: BTreeSet<InstanceId>,
    /// Hosts that neither servers nor observers hear, not yet taken for dead: nothing is sent to
    /// their instances and nothing is placed on them.
    pub suspects: BTreeSet<HostId>,
    /// Hosts that only observers hear: their work is left alone and nothing is placed on them.
    pub cut_off: BTreeSet<HostId>,
    /// In safe mode, how many lost instances may be replaced by this plan.
    pub safe_mode: Option<u32>,
    /// What the leader granted to singletons, on its own clock.
    pub leases: Leases,
    /// How many instances of an app may be moved at a time for an even spread; as many as its surge
    /// allows at most.
    pub moves: u32,
}

impl Snapshot {
    /// A snapshot of nothing, with the default range of service addresses.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            environments: BTreeMap::new(),
            hosts: BTreeMap::new(),
            assignments: BTreeMap::new(),
            statuses: BTreeMap::new(),
            deployments: BTreeMap::new(),
            specs: BTreeMap::new(),
            images: BTreeMap::new(),
            image_sizes: BTreeMap::new(),
            services: BTreeMap::new(),
            service_range: Ipv4Net::new_assert(Ipv4Addr::new(10, 127, 0, 0), 16),
            in_service: BTreeSet::new(),
            out_of_service: BTreeSet::new(),
            suspects: BTreeSet::new(),
            cut_off: BTreeSet::new(),
            safe_mode: None,
            leases: Leases::default(),
            moves: 1,
        }
    }

    /// The spec of a release in an environment.
    #[must_use]
    pub fn spec(&self, place: &Place, release: ReleaseNumber) -> Option<&Arc<Spec>> {
        self.specs.get(&(place.0.clone(), place.1.clone(), release))
    }

    /// What a host reports of an instance.
    #[must_use]
    pub fn instance_status(&self, host: &HostId, id: &InstanceId) -> Option<&InstanceStatus> {
        let instances = &self.statuses.get(host)?.instances;
        let found = instances.binary_search_by(|status| status.instance.cmp(id)).ok()?;
        instances.get(found)
    }

    /// All entries with their hosts, those of hosts taken for dead included.
    pub fn entries(&self) -> impl Iterator<Item = (&HostId, &Entry)> {
        self.assignments.iter().flat_map(|(host, a)| a.entries.iter().map(move |e| (host, e)))
    }

    /// Whether a host is taken for dead (an unknown one is).
    #[must_use]
    pub fn is_down(&self, host: &HostId) -> bool {
        self.hosts.get(host).is_none_or(Host::is_down)
    }

    /// Whether a host can be told anything now: it is neither dead nor suspect nor cut off.
    #[must_use]
    pub fn is_reachable(&self, host: &HostId) -> bool {
        !self.is_down(host) && !self.suspects.contains(host) && !self.cut_off.contains(host)
    }

    /// What a host has to give; nothing until it has reported.
    #[must_use]
    pub fn capacity(&self, host: &HostId) -> Capacity {
        self.statuses.get(host).map(|status| status.capacity).unwrap_or_default()
    }
}
