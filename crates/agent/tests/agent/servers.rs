//! Servers that fall silent or lose their store.

use std::mem::swap;

use api::protocol::Down;
use api::status::InstanceState;
use rustix::process::Signal;

use super::world::{World, possible};

const WEB: &str = "[process]\nport = 8080\n[health]\nhttp = \"/\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_left_for_one_that_it_named() {
    if !possible() {
        return;
    }
    let mut world = World::new("silent");
    world.ephemeral();
    let (mut other, address) = world.another_server();
    let nobody = "127.0.0.1:1".to_owned();
    let servers = vec![world.address.clone(), address, nobody];
    world.server.say(&Down::Servers { servers });
    world.start_agent();
    let generation = world.assign(Vec::new(), Vec::new());
    world.reports(|status| status.generation == generation).await;
    assert_eq!(other.streams.borrow().opened, 0, "a live server is left");

    // No FIN comes, and new connections are taken by the kernel.
    world.server.freeze();
    swap(&mut world.server, &mut other);
    let generation = world.assign(Vec::new(), Vec::new());
    world.reports(|status| status.generation == generation).await;

    // It was left for its silence, not because a ping went without an answer.
    let log = world.agent_log();
    assert!(log.contains("it was silent for too long"), "{log}");

    // The list was kept: the configured server is still silent.
    world.end_agent(Signal::KILL).await;
    let before = world.streams(&world.server, |streams| streams.open == 0).await;
    world.start_agent();
    world.streams(&world.server, |streams| streams.opened > before.opened).await;
    world.end_agent(Signal::TERM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_list_leaves_the_configured_server() {
    if !possible() {
        return;
    }
    let mut world = World::new("nobody");
    world.ephemeral();
    world.server.say(&Down::Servers { servers: vec!["127.0.0.1:1".into(), "[::1]:1".into()] });
    world.start_agent();
    let generation = world.assign(Vec::new(), Vec::new());
    world.reports(|status| status.generation == generation).await;
    world.end_agent(Signal::KILL).await;
    let before = world.streams(&world.server, |streams| streams.open == 0).await;
    world.start_agent();
    world.streams(&world.server, |streams| streams.opened > before.opened).await;
    world.end_agent(Signal::TERM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_move_to_a_server_with_its_store_and_stay_where_none_has() {
    if !possible() {
        return;
    }
    let mut world = World::new("store");
    world.ephemeral();
    let (mut other, address) = world.another_server();
    world.server.say(&Down::Servers { servers: vec![world.address.clone(), address] });
    world.start_agent();
    let entries = vec![world.entry("web-staging-1", "web", "staging", 2)];
    let workloads = vec![world.workload("web", "staging", WEB)];
    let generation = world.assign(entries.clone(), workloads.clone());
    let placed = world.healthy(generation, 1).await;

    // One has its store: the agent moves, and leaves nothing open behind.
    world.server.has_store(false);
    world.streams(&other, |streams| streams.open == 1).await;
    world.streams(&world.server, |streams| streams.open == 0).await;
    swap(&mut world.server, &mut other);

    // None has: it tries the other again and again, and the stream that it has goes on.
    let held = *world.server.streams.borrow();
    let tried = other.streams.borrow().opened;
    world.server.has_store(false);
    world.streams(&other, |streams| streams.opened >= tried + 3).await;
    assert_eq!(*world.server.streams.borrow(), held);
    let mut entries = entries;
    entries.push(world.entry("web-staging-2", "web", "staging", 3));
    let generation = world.assign(entries, workloads);
    let grown = world.healthy(generation, 2).await;
    assert_eq!(grown.instances[0].pid, placed.instances[0].pid);
    assert_eq!(grown.instances[0].state, InstanceState::Healthy);
    assert_eq!(*world.server.streams.borrow(), held);

    // The first gets its store back.
    other.has_store(true);
    world.streams(&world.server, |streams| streams.open == 0).await;
    world.streams(&other, |streams| streams.open == 1).await;
    world.end_agent(Signal::TERM).await;
}
