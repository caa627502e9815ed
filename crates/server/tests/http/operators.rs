//! Safe mode, servers and the network's doctor over the API.

use api::error::ErrorCode;
use api::host::Host;
use api::id::HostId;
use api::liveness::{Observe, ObserveTarget, Observed, Silence};
use api::protocol::Place;
use api::server::WayBack;
use api::time::Timestamp;
use api::token::Role;
use api::unit::Millis;
use client::ClientError;
use server::core::{Agents, Change};

use crate::world::World;

async fn host(world: &World, name: &str, domain: &str, down_since: Option<i64>) {
    let id: HostId = name.parse().unwrap();
    if !world.core.view().hosts.contains_key(name) {
        let place = Place { domain: Some(domain.parse().unwrap()), ..Place::default() };
        world.core.welcome(&id, &place).await.unwrap();
    }
    let view = world.core.view();
    let row = &view.hosts[name];
    let changed = Host { down_since: down_since.map(Timestamp), ..row.document.body.clone() };
    world.core.commit(Change::new().update(row, changed)).await.unwrap();
}

#[tokio::test]
async fn losses_are_accepted_by_an_operator_and_new_ones_are_new() {
    let world = World::new().await;
    let client = world.client();
    for n in 1..=6 {
        host(&world, &format!("h{n}"), &format!("hv-{n}"), None).await;
    }
    let calm = client.safe_mode().await.unwrap();
    assert_eq!((calm.lost, calm.accepted), (None, None));
    assert_eq!(client.accept_losses().await.unwrap().accepted, None, "nothing to accept");

    for n in 1..=3 {
        host(&world, &format!("h{n}"), "", Some(1000 * n)).await;
    }
    let lost = client.safe_mode().await.unwrap().lost.unwrap();
    assert_eq!((lost.since, lost.hosts.len()), (Timestamp(1000), 3));
    assert_eq!(lost.domains, ["hv-1", "hv-2", "hv-3"]);
    assert!(lost.why.contains("h1, h2, h3"), "{}", lost.why);

    let viewer = world.token(Role::Viewer, None).await;
    let denied = world.client_with(Some(&viewer)).accept_losses().await;
    assert!(matches!(denied, Err(ClientError::Api(error)) if error.code == ErrorCode::Forbidden));
    let accepted = client.accept_losses().await.unwrap();
    assert_eq!((accepted.lost, accepted.accepted), (None, Some(Timestamp(3000))));
    assert_eq!(accepted.accepted_by, "admin");
    assert_eq!(client.accept_losses().await.unwrap().accepted, Some(Timestamp(3000)), "once more");

    for n in 4..=6 {
        host(&world, &format!("h{n}"), "", Some(9000 + n)).await;
    }
    let lost = client.safe_mode().await.unwrap().lost.unwrap();
    assert_eq!((lost.since, lost.hosts.len()), (Timestamp(9004), 3), "those were not accepted");
}

#[tokio::test]
async fn the_doctor_names_who_does_not_hear_whom() {
    let world = World::new().await;
    let core = &world.core;
    let names: Vec<HostId> = ["h1", "h2"].map(|name| name.parse().unwrap()).into();
    let mut streams = Vec::new();
    for name in &names {
        core.welcome(name, &Place::default()).await.unwrap();
        streams.push(Agents::connect(core, name, true));
    }
    let list = |target: &HostId| Observe {
        generation: api::id::Generation(1),
        targets: vec![ObserveTarget {
            host: target.clone(),
            address: "10.0.0.9:7444".parse().unwrap(),
        }],
        ..Observe::default()
    };
    let lists = [(names[0].clone(), list(&names[1])), (names[1].clone(), list(&names[0]))];
    let published = &core.servers.published;
    published.lead_observers(&core.agents.gathered, 1, lists.into(), Default::default());
    let says = |observer: &HostId, silent: Option<&HostId>| {
        let silent = silent.map(|host| Silence { host: host.clone(), silent: Millis(1500) });
        let silent = silent.into_iter().collect();
        let observed = Observed { generation: api::id::Generation(1), silent, votes: true };
        core.agents.gathered.observed(observer, observed);
    };
    let report = async || {
        // What is not fresh any more on a busy machine says nothing.
        names.iter().for_each(|name| core.agents.gathered.heard(name));
        world.client().net_doctor().await.unwrap()
    };
    says(&names[0], None);
    says(&names[1], None);
    assert_eq!((report().await.pairs, report().await.problems.len()), (2, 0));
    says(&names[0], Some(&names[1]));
    let found = report().await;
    assert_eq!((found.pairs, found.problems.len()), (2, 1), "{found:?}");
    let problem = &found.problems[0];
    assert_eq!((problem.from.as_str(), &problem.to), ("host h1", &names[1]));
    assert_eq!((problem.back, problem.at.as_str()), (WayBack::Heard, "udp 10.0.0.9:7444"));
    assert!(problem.hint.contains("on host h2 let udp 7444 in from 127.0.0.1"), "{problem:?}");
    says(&names[1], Some(&names[0]));
    let both = report().await;
    assert_eq!((both.pairs, both.problems.len()), (2, 1), "named once: {both:?}");
    assert_eq!(both.problems[0].back, WayBack::Silent);
    names.iter().for_each(|name| core.agents.gathered.heard(name));
    let shown = world.client().host(&names[1]).await.unwrap();
    assert!(shown.problems.iter().any(|line| line.contains("do not hear each other")), "{shown:?}");
}

#[tokio::test]
async fn events_that_were_lost_are_counted_beside_the_controllers() {
    let world = World::new().await;
    let event = api::event::Event {
        at: Timestamp(0),
        kind: "test".into(),
        app: None,
        environment: None,
        release: None,
        instance: None,
        host: None,
        message: "nobody takes it from the queue".into(),
    };
    while world.core.events.dropped() == 0 {
        world.core.events.record(event.clone());
    }
    let shown = world.client().controllers().await.unwrap();
    let events = shown.iter().find(|row| row.name == "events").unwrap();
    assert_eq!(events.failures, world.core.events.dropped());
    assert!(events.last_result.contains("events lost"), "{events:?}");
}
