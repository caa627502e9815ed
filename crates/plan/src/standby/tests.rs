//! Whatever single loss comes, the real planner sends what was lost to hosts that have the image.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use api::assignment::{Assignment, Entry, Wanted};
use api::deployment::{Deployment, Phase, Progress};
use api::digest::Digest;
use api::environment::Environment;
use api::host::{Capacity, Host, HostState};
use api::id::{AppName, EnvironmentName, Generation, HostId, InstanceId, ReleaseNumber};
use api::manifest::{Manifest, Spec};
use api::release::Image;
use api::status::{HostStatus, InstanceState, InstanceStatus};
use api::time::Timestamp;
use api::unit::{Bytes, MilliCpu};
use proptest::prelude::*;

use super::{MAX_IMAGES, Standby, lists, standby};
use crate::reconcile::{Ids, reconcile};
use crate::snapshot::{Place, Snapshot};

fn environment() -> EnvironmentName {
    EnvironmentName::new("production").unwrap()
}

fn place(app: usize) -> Place {
    (environment(), AppName::new(format!("app{app}")).unwrap())
}

fn image(app: usize) -> Image {
    let digest: Digest = format!("sha256:{app:064x}").parse().unwrap();
    Image { registry: None, repository: format!("t/app{app}"), tag: None, digest }
}

fn spec(app: usize, instances: u32) -> Spec {
    let text = format!(
        "app = \"app{app}\"\nteam = \"t\"\n[process]\nport = 8080\n[resources]\ncpu = \"100m\"\n\
         [scale]\ninstances = {instances}\n"
    );
    Manifest::parse("freehold.toml", &text).unwrap().resolve(&environment()).unwrap()
}

/// A cluster that has settled: hosts by their failure domains, apps by their instances.
fn cluster(domains: &[usize], apps: &[u32], cpu: u32, disk: Bytes) -> Snapshot {
    let mut snapshot = Snapshot::empty();
    let stage = Environment {
        name: environment(),
        order: 1,
        host_labels: BTreeMap::new(),
        created: Timestamp(0),
    };
    snapshot.environments.insert(environment(), stage);
    for (n, domain) in domains.iter().enumerate() {
        let name = HostId::new(format!("h{n}")).unwrap();
        let host = Host {
            name: name.clone(),
            domain: format!("zone/v{domain}").parse().unwrap(),
            labels: BTreeMap::new(),
            subnet: format!("10.128.{n}.0/24").parse().unwrap(),
            address: Ipv4Addr::new(10, 0, 0, u8::try_from(n + 1).unwrap()),
            state: HostState::Ready,
            joined: Timestamp(0),
            down_since: None,
        };
        snapshot.hosts.insert(name.clone(), host);
        let capacity = Capacity {
            cpu: MilliCpu(cpu),
            memory: Bytes::mib(64_000),
            pids: 30_000,
            disk,
            instances: 253,
        };
        let status = HostStatus {
            host: name.clone(),
            generation: Generation(0),
            capacity,
            version: String::new(),
            instances: Vec::new(),
            images: Vec::new(),
        };
        snapshot.statuses.insert(name, status);
    }
    for (app, instances) in apps.iter().enumerate() {
        deploy(&mut snapshot, app, *instances);
    }
    settle(&mut snapshot);
    snapshot
}

fn deploy(snapshot: &mut Snapshot, app: usize, instances: u32) {
    let (place, release) = (place(app), ReleaseNumber(1));
    let key = (place.0.clone(), place.1.clone(), release);
    snapshot.specs.insert(key, Arc::new(spec(app, instances)));
    snapshot.images.insert((place.1.clone(), release), image(app));
    snapshot.image_sizes.insert(image(app).digest, Bytes::mib(10));
    let deployment = Deployment {
        app: place.1.clone(),
        environment: place.0.clone(),
        number: 1,
        release,
        last_good: Some(release),
        previous_good: None,
        phase: Phase::Complete,
        reason: String::new(),
        last_log_lines: Vec::new(),
        started: Timestamp(0),
        progress: Progress::default(),
        progressed: Timestamp(0),
        failed_instance: None,
        finished: None,
        started_by: "test".into(),
        epoch: 0,
    };
    snapshot.deployments.insert(place, deployment);
}

/// Carries plans out as hosts would at once, until nothing is left to do.
fn settle(snapshot: &mut Snapshot) -> BTreeSet<(HostId, InstanceId)> {
    let mut ids = Ids::new(7);
    let mut placed = BTreeSet::new();
    for _ in 0..50 {
        let outcome = reconcile(snapshot, Timestamp(1_000_000), &mut ids);
        let up = snapshot.entries().filter(|(host, _)| !snapshot.is_down(host));
        let up: BTreeSet<InstanceId> = up.map(|(_, entry)| entry.instance.clone()).collect();
        for new in &outcome.placed {
            let write = outcome.writes.iter().find(|write| write.host == new.host).unwrap();
            let replaced = &write.entry(&new.instance).unwrap().replaces;
            // One that is moved for an even spread has time to fetch its image.
            if !replaced.as_ref().is_some_and(|replaced| up.contains(replaced)) {
                placed.insert((new.host.clone(), new.instance.clone()));
            }
        }
        for (place, address) in &outcome.services {
            snapshot.services.insert(place.clone(), *address);
        }
        for deployment in &outcome.deployments {
            let place = (deployment.environment.clone(), deployment.app.clone());
            snapshot.deployments.insert(place, deployment.clone());
        }
        let quiet = outcome.is_empty();
        for write in outcome.writes {
            snapshot.assignments.insert(write.host.clone(), write);
        }
        report(snapshot);
        if quiet {
            break;
        }
    }
    placed
}

fn report(snapshot: &mut Snapshot) {
    snapshot.in_service.clear();
    let assignments: Vec<Assignment> = snapshot.assignments.values().cloned().collect();
    for assignment in assignments {
        if snapshot.is_down(&assignment.host) {
            continue;
        }
        let status = snapshot.statuses.get_mut(&assignment.host).unwrap();
        status.generation = assignment.generation;
        status.instances.clear();
        for entry in &assignment.entries {
            if entry.wanted == Wanted::Run {
                snapshot.in_service.insert(entry.instance.clone());
            }
            status.instances.push(told(entry));
        }
        status.instances.sort_by(|a, b| a.instance.cmp(&b.instance));
    }
}

fn told(entry: &Entry) -> InstanceStatus {
    let state = match entry.wanted {
        Wanted::Run | Wanted::Drain => InstanceState::Healthy,
        Wanted::Stop => InstanceState::Stopped,
    };
    InstanceStatus {
        instance: entry.instance.clone(),
        state,
        since: Timestamp(0),
        pid: None,
        restarts: 0,
        last_exit: None,
        message: String::new(),
    }
}

/// Every host has what it runs, and what it was told to have.
fn fetch(snapshot: &mut Snapshot, found: &Standby) {
    let mut has: BTreeMap<HostId, BTreeSet<Digest>> = BTreeMap::new();
    for (host, entry) in snapshot.entries() {
        let image = &snapshot.images[&(entry.app.clone(), entry.release)];
        has.entry(host.clone()).or_default().insert(image.digest.clone());
    }
    for (host, images) in &found.hosts {
        let digests = images.iter().map(|image| image.digest.clone());
        has.entry(host.clone()).or_default().extend(digests);
    }
    for (host, digests) in has {
        snapshot.statuses.get_mut(&host).unwrap().images = digests.into_iter().collect();
    }
}

fn losses(snapshot: &Snapshot) -> Vec<BTreeSet<HostId>> {
    let hosts = snapshot.hosts.keys().map(|host| BTreeSet::from([host.clone()]));
    let mut domains: BTreeMap<String, BTreeSet<HostId>> = BTreeMap::new();
    for host in snapshot.hosts.values() {
        domains.entry(host.domain.to_string()).or_default().insert(host.name.clone());
    }
    hosts.chain(domains.into_values()).filter(|lost| lost.len() < snapshot.hosts.len()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn after_any_single_loss_replacements_come_where_the_image_is(
        domains in prop::collection::vec(0..4usize, 2..9),
        apps in prop::collection::vec(1..7u32, 1..6),
        cpu in 400..4000u32,
    ) {
        let mut before = cluster(&domains, &apps, cpu, Bytes::mib(100_000));
        let found = standby(&before);
        prop_assert!(found.cramped.is_empty());
        fetch(&mut before, &found);
        // With the images there, the same hosts stand by: nothing is fetched to and fro.
        prop_assert_eq!(&standby(&before).hosts, &found.hosts);
        for lost in losses(&before) {
            let mut after = before.clone();
            for host in &lost {
                after.hosts.get_mut(host).unwrap().down_since = Some(Timestamp(0));
            }
            for (host, instance) in settle(&mut after) {
                let entry = after.assignments[&host].entry(&instance).unwrap();
                let image = &after.images[&(entry.app.clone(), entry.release)];
                let warm = &before.statuses[&host].images;
                let app = (entry.environment.clone(), entry.app.clone());
                // Where not all find room, who does differs by the order in which they come.
                let crowded = !found.homeless.is_empty();
                prop_assert!(
                    warm.contains(&image.digest) || crowded,
                    "{app:?} went to {host}, which has not its image, after the loss of {lost:?}"
                );
            }
        }
    }

    #[test]
    fn what_runs_last_in_the_pipeline_is_in_two_failure_domains(
        domains in prop::collection::vec(0..4usize, 2..9),
        apps in prop::collection::vec(1..4u32, 1..4),
    ) {
        let mut snapshot = cluster(&domains, &apps, 64_000, Bytes::mib(100_000));
        let found = standby(&snapshot);
        fetch(&mut snapshot, &found);
        let all: BTreeSet<usize> = domains.iter().copied().collect();
        for app in 0..apps.len() {
            let holds = |n: &usize| {
                let host = HostId::new(format!("h{n}")).unwrap();
                snapshot.statuses[&host].images.contains(&image(app).digest)
            };
            let holders = (0..domains.len()).filter(holds);
            let held: BTreeSet<usize> = holders.map(|n| domains[n]).collect();
            prop_assert!(held.len() >= all.len().min(2), "app{app} is in {held:?} of {all:?}");
        }
    }

    #[test]
    fn no_disk_is_filled(
        domains in prop::collection::vec(0..4usize, 2..7),
        apps in prop::collection::vec(1..5u32, 1..6),
        disk in 0..400u64,
    ) {
        let snapshot = cluster(&domains, &apps, 64_000, Bytes::mib(disk));
        let found = standby(&snapshot);
        for images in found.hosts.values() {
            // 10 MiB each as transferred, four times that on the disk, of half of what is free.
            prop_assert!(images.len() as u64 * 40 <= disk / 2);
            prop_assert!(images.len() <= MAX_IMAGES);
        }
    }

    #[test]
    fn who_asks_is_let_in_and_nobody_else(
        domains in prop::collection::vec(0..4usize, 2..9),
        apps in prop::collection::vec(1..7u32, 1..5),
        fetched in any::<bool>(),
    ) {
        let mut snapshot = cluster(&domains, &apps, 64_000, Bytes::mib(100_000));
        let found = standby(&snapshot);
        let none = Standby::default();
        fetch(&mut snapshot, if fetched { &found } else { &none });
        let lists = lists(&snapshot, &found, 7444);
        for (host, list) in &lists {
            for (digest, sources) in &list.sources {
                prop_assert!(sources.len() <= api::warm::MAX_SOURCES);
                prop_assert!(!snapshot.statuses[host].images.contains(digest));
                for source in sources {
                    prop_assert!(source.host != *host);
                    prop_assert!(snapshot.statuses[&source.host].images.contains(digest));
                    prop_assert!(lists[&source.host].askers[digest].contains(host));
                }
            }
            for (digest, askers) in &list.askers {
                for asker in askers {
                    let sources = &lists[asker].sources[digest];
                    prop_assert!(sources.iter().any(|source| source.host == *host));
                }
            }
        }
        if fetched {
            prop_assert!(lists.values().all(|list| list.sources.is_empty()));
        }
    }
}

#[test]
fn an_app_of_one_instance_has_a_host_that_stands_by_in_another_domain() {
    let mut snapshot = cluster(&[0, 0, 1, 1], &[1], 4000, Bytes::mib(10_000));
    let home = snapshot.entries().next().unwrap().0.clone();
    let found = standby(&snapshot);
    let hosts: Vec<&HostId> = found.hosts.keys().collect();
    assert!(!hosts.contains(&&home));
    let domain = |host: &HostId| snapshot.hosts[host].domain.clone();
    assert!(hosts.iter().any(|host| domain(host) != domain(&home)), "{hosts:?}");
    // Until it has the image it is sent to who has; a host that nobody reaches is no source.
    fetch(&mut snapshot, &Standby::default());
    let all = lists(&snapshot, &found, 7444);
    let source = &all[hosts[0]].sources[&image(0).digest][0];
    assert_eq!((&source.host, source.address.port()), (&home, 7444));
    snapshot.suspects.insert(home);
    assert!(lists(&snapshot, &found, 7444)[hosts[0]].sources.is_empty());
}
