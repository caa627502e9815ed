//! Watches: told, resumed, compacted, bounded.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use api::assignment::{Assignment, Entry, Wanted};
use api::deployment::Deployment;
use api::event::Event;
use api::host::Capacity;
use api::id::{Generation, HostId, InstanceId, ReleaseNumber};
use api::instance::Instance;
use api::operation::{DeployRequest, EnvironmentRequest, TeamRequest};
use api::status::{HostStatus, InstanceState, InstanceStatus};
use api::time::Timestamp;
use client::{Change, Object, Watch};
use server::core::{Change as Write, Kind, StoredEvent};
use store::document::Document;
use store::{Op, Revision, Txn};

use crate::world::{World, bearer, manifest};

async fn relisted(watch: &mut Watch) -> u64 {
    match watch.next().await.unwrap() {
        Change::Relist { revision } => revision,
        other => panic!("expected to be told to list, got {other:?}"),
    }
}

async fn put(watch: &mut Watch) -> Object {
    match watch.next().await.unwrap() {
        Change::Put(object) => object,
        other => panic!("expected a change, got {other:?}"),
    }
}

async fn make_team(world: &World, name: &str) {
    let request = TeamRequest { name: name.parse().unwrap(), description: String::new() };
    world.client().create_team(&request).await.unwrap();
}

#[tokio::test]
async fn changes_of_the_kinds_asked_for_are_told() {
    let world = World::new().await;
    let client = world.client();
    let mut watch = client.watch(&["team", "release", "deployment"], None);
    relisted(&mut watch).await;
    make_team(&world, "bank").await;
    let request = EnvironmentRequest { order: 9, host_labels: BTreeMap::new() };
    client.put_environment(&"late".parse().unwrap(), &request).await.unwrap();
    let deploy =
        DeployRequest { manifest: manifest(), image: None, environment: None, dry_run: false };
    client.deploy(&deploy).await.unwrap();
    client.delete_team(&"bank".parse().unwrap()).await.unwrap();

    assert_eq!(put(&mut watch).await.name, "bank");
    let mut told: BTreeMap<String, Object> = BTreeMap::new();
    for _ in 0..3 {
        let object = put(&mut watch).await;
        told.insert(object.kind.clone(), object);
    }
    assert_eq!(told["release"].name, "shop@1");
    assert_eq!(told["deployment"].name, "staging/shop");
    assert_eq!(told["team"].name, "retail");
    let deployment: Deployment = told["deployment"].as_kind().unwrap();
    assert_eq!(deployment.number, 1);
    assert_eq!(told["team"].revision, told["release"].revision, "one transaction, one revision");
    match watch.next().await.unwrap() {
        Change::Delete(object) => assert_eq!(object.name, "bank"),
        other => panic!("{other:?}"),
    }
    assert!(client.revision() >= told["team"].revision);
}

#[tokio::test]
async fn a_watch_resumes_after_the_revision_it_was_told() {
    let world = World::new().await;
    let client = world.client();
    let mut watch = client.watch(&["team"], None);
    relisted(&mut watch).await;
    make_team(&world, "a").await;
    let first = put(&mut watch).await;
    drop(watch);
    make_team(&world, "b").await;
    make_team(&world, "c").await;
    let mut watch = client.watch(&["team"], Some(first.revision));
    assert_eq!(put(&mut watch).await.name, "b");
    assert_eq!(put(&mut watch).await.name, "c");
}

#[tokio::test]
async fn a_watch_outlives_its_server() {
    let mut first = World::new().await;
    let second = World::of(first.cluster.clone()).await;
    let config = client::Config {
        addresses: vec![first.address.to_string(), second.address.to_string()],
        token: Some(api::protocol::SecretValue(first.admin.clone())),
        ca_pem: Some(first.cluster.authority.bundle().to_pem()),
    };
    let client = client::Client::new(&config).unwrap();
    let mut watch = client.watch(&["team"], None);
    relisted(&mut watch).await;
    make_team(&first, "a").await;
    assert_eq!(put(&mut watch).await.name, "a");
    first.stop.cancel();
    first.served.take().unwrap().await.unwrap();
    make_team(&second, "b").await;
    assert_eq!(put(&mut watch).await.name, "b", "nothing is told twice or lost");
}

#[tokio::test]
async fn a_revision_that_is_compacted_means_listing_again() {
    let world = World::new().await;
    let client = world.client();
    let start = world.core.view().revision;
    make_team(&world, "a").await;
    make_team(&world, "b").await;
    let now = world.core.store.status().await.unwrap().revision;
    world.core.store.compact(now).await.unwrap();
    for kinds in [&["team"][..], &["instance"][..]] {
        let mut watch = client.watch(kinds, Some(start.0));
        assert!(relisted(&mut watch).await >= now.0);
    }
    // A revision that has not been: the store it is of is no more.
    let mut watch = client.watch(&["team"], Some(now.0 + 1_000_000));
    assert!(relisted(&mut watch).await < now.0 + 1_000_000);
    make_team(&world, "c").await;
    assert_eq!(put(&mut watch).await.name, "c");
}

#[tokio::test]
async fn the_raw_events_carry_ids_where_all_has_been_told() {
    use http_body_util::BodyExt;
    let world = World::new().await;
    let start = world.core.view().revision;
    let deploy =
        DeployRequest { manifest: manifest(), image: None, environment: None, dry_run: false };
    world.client().deploy(&deploy).await.unwrap();
    let authorization = bearer(&world.admin);
    let after = start.to_string();
    let headers = [("authorization", authorization.as_str()), ("last-event-id", after.as_str())];
    let path = "/v1/watch?kinds=team,app,release,deployment";
    let request = world.request("GET", path, &headers, "".into());
    let mut connection = world.connection(None).await;
    let response = connection.send_request(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let mut text = String::new();
    while text.matches("\n\n").count() < 5 {
        let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
        text.push_str(std::str::from_utf8(&data).unwrap());
    }
    let events: Vec<&str> = text.trim_end().split("\n\n").collect();
    let revision = world.core.view().revision;
    assert_eq!(events[0], format!("event: ready\ndata: {{\"revision\":{start}}}\nid: {start}"));
    let with_id = events.iter().filter(|event| event.contains(&format!("\nid: {revision}")));
    assert_eq!(with_id.count(), 1, "{text}");
    assert!(events[4].ends_with(&format!("\nid: {revision}")), "{text}");
}

fn assignment(host: &HostId, entries: Vec<Entry>, generation: u64) -> Assignment {
    Assignment { generation: Generation(generation), entries, ..Assignment::empty(host.clone()) }
}

fn entry(instance: &str) -> Entry {
    let document = serde_json::json!({
        "instance": instance, "app": "shop", "environment": "staging", "release": 1,
        "address": Ipv4Addr::new(10, 128, 0, 2), "wanted": Wanted::Run,
    });
    serde_json::from_value(document).unwrap()
}

#[tokio::test]
async fn instances_are_told_as_they_are_joined() {
    let world = World::new().await;
    let host: HostId = "h1".parse().unwrap();
    world.core.welcome(&host, &Default::default()).await.unwrap();
    let first: InstanceId = "shop-staging-00000001".parse().unwrap();
    let document = assignment(&host, vec![entry(first.as_str())], 1);
    world.core.commit(Write::new().create(&document)).await.unwrap();
    let client = world.client();
    let mut watch = client.watch(&["instance"], None);
    relisted(&mut watch).await;

    let status = HostStatus {
        host: host.clone(),
        generation: Generation(1),
        capacity: Capacity::default(),
        version: "1".into(),
        instances: vec![InstanceStatus {
            instance: first.clone(),
            state: InstanceState::Healthy,
            since: Timestamp(5),
            pid: Some(42),
            restarts: 0,
            last_exit: None,
            message: String::new(),
        }],
        images: Vec::new(),
    };
    world.core.commit(Write::new().create(&status)).await.unwrap();
    let told = put(&mut watch).await;
    let instance: Instance = told.as_kind().unwrap();
    assert_eq!((instance.state.as_str(), instance.pid), ("healthy", Some(42)));

    let resume = told.revision;
    let view = world.core.view();
    let row = view.assignments.get("h1").unwrap();
    let second = entry("shop-staging-00000002");
    let next = assignment(&host, vec![second], 2);
    world.core.commit(Write::new().update(row, next)).await.unwrap();
    // The same by a watch that went on and by one that begins in the past.
    for mut watch in [watch, client.watch(&["instance"], Some(resume))] {
        let made = put(&mut watch).await;
        assert_eq!(made.name, "shop-staging-00000002");
        match watch.next().await.unwrap() {
            Change::Delete(object) => assert_eq!(object.name, first.as_str()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ReleaseNumber(1), instance.release);
}

async fn write_event(world: &World, number: u32, bytes: usize) -> Revision {
    let event = Event {
        at: Timestamp(i64::from(number)),
        kind: "test".into(),
        app: None,
        environment: None,
        release: None,
        instance: None,
        host: None,
        message: "x".repeat(bytes),
    };
    let document =
        Document::new(&StoredEvent::SCHEMA, StoredEvent { event, number, server: String::new() });
    let bytes = document.encode(&StoredEvent::SCHEMA).unwrap();
    let txn = Txn::default().then(Op::put(document.body.key(), bytes));
    world.core.store.txn(txn).await.unwrap().revision
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_cut_off_and_lists_again() {
    let world = World::new().await;
    let mut watch = world.client().watch(&["event"], None);
    let start = relisted(&mut watch).await;
    let mut last = Revision(0);
    for number in 0..2_000 {
        last = write_event(&world, number, 8 << 10).await;
    }
    // 16 MiB were written; what a server keeps for one watcher is bounded by 4 MiB and the windows.
    let mut told = 0;
    let again = loop {
        match watch.next().await.unwrap() {
            Change::Put(_) => told += 1,
            Change::Relist { revision } => break revision,
            Change::Delete(object) => panic!("{object:?}"),
        }
    };
    assert!(told < 1_500, "{told} events of 8 KiB were kept for who did not read");
    assert!(again > start && again <= last.0);
    world.core.wait_for(last).await;
    let next = write_event(&world, 5_000, 1).await;
    loop {
        if put(&mut watch).await.revision == next.0 {
            break;
        }
    }
}
