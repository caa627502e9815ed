//! Tables: taken whole or refused whole, acknowledged when every worker uses them.

use std::sync::atomic::Ordering;

use api::id::Generation;
use api::ingress::BackendRef;
use proxy::control::ClientError;

use crate::app::App;
use crate::load::{Load, get};
use crate::world::{FIRST, World, backend, certificate, route};

#[tokio::test]
async fn older_and_changed_tables_are_refused_and_replays_accepted() {
    let mut world = World::start().await;
    let app = App::start("app");
    world.route(route("r", "a.test"), &[app.address]).await;
    world.push().await;
    assert_eq!(world.client.table(world.table.clone()).await.unwrap(), Generation(2));
    let mut bad = Vec::new();
    let mut older = world.table.clone();
    older.generation = FIRST;
    bad.push((older, "generation 1 is older than 2, which is served"));
    let mut changed = world.table.clone();
    changed.routes.clear();
    bad.push((changed, "generation 2 is served already with other content"));
    let mut next = world.table.clone();
    next.generation = Generation(3);
    let mut nameless = next.clone();
    nameless.routes[0].backends[0].backend = "other".into();
    bad.push((nameless, "route \"r\" names backend \"other\", which is not in the table"));
    let mut twice = next.clone();
    twice.routes.push(route("s", "a.test"));
    twice.backends.push(backend("s", &[]));
    bad.push((twice, "routes conflict: two routes claim host \"a.test\" with path \"\""));
    let mut mixed = next.clone();
    mixed.certificates = vec![certificate(&["a.test"])];
    mixed.certificates[0].key_pem = certificate(&["b.test"]).key_pem;
    bad.push((mixed, "matching the private key with the certificate for a.test"));
    for (table, expected) in bad {
        match world.client.table(table).await {
            Err(ClientError::Refused { reason }) => {
                assert!(reason.starts_with(expected), "{reason}");
                assert!(!reason.contains("PRIVATE"), "{reason}");
            }
            other => panic!("{expected}: {other:?}"),
        }
        assert_eq!(get(world.http(), "a.test", "/").await.body, "app\n");
    }
    assert_eq!(world.client.table(next).await.unwrap(), Generation(3));
}

#[tokio::test]
async fn an_endpoint_that_left_gets_nothing_after_the_acknowledgement() {
    let mut world = World::start().await;
    let apps = [App::start("one"), App::start("two"), App::start("three")];
    world.route(route("r", "a.test"), &[apps[0].address, apps[1].address]).await;
    let load = Load::start(world.http(), 8, true);
    for round in 0..20 {
        load.reach(load.done() + 200).await;
        let (gone, stay) = (round % 3, (round + 1) % 3);
        world.endpoints("r", &[apps[stay].address, apps[(round + 2) % 3].address]).await;
        // Only what was under way at the acknowledgement may still end there.
        let begun = || apps[gone].seen.requests();
        loop {
            let snapshot = world.client.metrics().await.unwrap();
            let held = snapshot.instances.iter().find(|i| i.address == apps[gone].address);
            if held.is_none_or(|instance| instance.counters.in_flight == 0) {
                break;
            }
        }
        let before = begun();
        load.reach(load.done() + 200).await;
        assert_eq!(begun(), before, "round {round}");
    }
    let tally = load.stop().await;
    assert_eq!(tally.failed.load(Ordering::SeqCst), 0, "{tally:?}");
    assert_eq!(tally.broken.load(Ordering::SeqCst), 0, "{tally:?}");
    // The last swap's leaver has no idle connection left.
    let snapshot = world.client.metrics().await.unwrap();
    let left = apps[19 % 3].address;
    let held = snapshot.instances.iter().find(|instance| instance.address == left);
    assert!(held.is_none_or(|instance| instance.idle_connections == 0), "{held:?}");
}

#[tokio::test]
async fn groups_share_by_weight() {
    let mut world = World::start().await;
    let (stable, canary) = (App::start("stable"), App::start("canary"));
    let mut weighted = route("r", "a.test");
    weighted.backends[0].weight = 90;
    weighted.backends.push(BackendRef { backend: "canary".into(), weight: 10 });
    world.table.backends.push(backend("canary", &[canary.address]));
    world.route(weighted, &[stable.address]).await;
    let load = Load::start(world.http(), 4, true);
    load.reach(4_000).await;
    load.stop().await;
    let share =
        canary.seen.requests() as f64 / (canary.seen.requests() + stable.seen.requests()) as f64;
    // 4,000 draws at 0.1: one standard deviation is 0.5 %; six of them.
    assert!((0.07..0.13).contains(&share), "{share}");
}
