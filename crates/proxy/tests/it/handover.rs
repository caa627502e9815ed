//! Proxies that come and go: upgrades, kills, agents that restart. Sockets outlive them all.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::app::App;
use crate::load::{Load, Wire, get};
use crate::world::{ProxyProcess, World, connect, route};

const REQUESTS: u64 = 10_000;

async fn upgrade_under_load(keep_alive: bool) {
    let mut world = World::start().await;
    let apps = [App::start("one"), App::start("two")];
    world.route(route("r", "a.test"), &apps.clone().map(|app| app.address)).await;
    let load = Load::start(world.http(), 8, keep_alive);
    for step in 1..=3 {
        load.reach(REQUESTS / 4 * step).await;
        let next = ProxyProcess::start(world.dir.path(), &format!("proxy{step}"));
        let mut client = next.connect().await;
        client.table(world.table.clone()).await.unwrap();
        let sockets: Vec<_> = world.sockets.iter().map(|(r, s)| (*r, s.as_fd())).collect();
        client.listen(&sockets).await.unwrap();
        world.client.drain(Duration::from_secs(15)).await.unwrap();
        assert!(world.proxy.ended().await);
        (world.proxy, world.client) = (next, client);
    }
    load.reach(load.done() + REQUESTS / 4).await;
    let tally = load.stop().await;
    assert_eq!(tally.failed.load(Ordering::SeqCst), 0, "{tally:?}");
    assert_eq!(tally.refused.load(Ordering::SeqCst), 0, "{tally:?}");
    assert_eq!(tally.broken.load(Ordering::SeqCst), 0, "{tally:?}");
}

#[tokio::test]
async fn an_upgrade_fails_no_request_on_kept_connections() {
    upgrade_under_load(true).await;
}

#[tokio::test]
async fn an_upgrade_fails_no_request_on_new_connections() {
    upgrade_under_load(false).await;
}

#[tokio::test]
async fn a_killed_proxy_refuses_no_connection() {
    let mut world = World::start().await;
    let app = App::start("app");
    world.route(route("r", "a.test"), &[app.address]).await;
    let load = Load::start(world.http(), 8, false);
    for step in 1..=3 {
        load.reach(REQUESTS / 4 * step).await;
        world.proxy.kill();
        world.proxy = ProxyProcess::start(world.dir.path(), "proxy");
        world.client = world.proxy.connect().await;
        world.client.table(world.table.clone()).await.unwrap();
        world.listen().await;
    }
    load.reach(load.done() + REQUESTS / 4).await;
    let tally = load.stop().await;
    // Requests on their way through the killed process break; none is refused or fails twice.
    assert_eq!(tally.refused.load(Ordering::SeqCst), 0, "{tally:?}");
    assert_eq!(tally.failed.load(Ordering::SeqCst), 0, "{tally:?}");
}

#[tokio::test]
async fn a_proxy_outlives_its_agent_and_gives_the_sockets_back() {
    let mut world = World::start().await;
    let app = App::start("app");
    world.route(route("r", "a.test"), &[app.address]).await;
    let (address, control) = (world.http(), world.proxy.control.clone());
    // The agent is gone: its connection and its sockets are closed.
    let World { proxy: _proxy, client, sockets, table, dir: _dir } = world;
    drop((client, sockets));
    assert_eq!(get(address, "a.test", "/").await.body, "app\n");
    let mut client = connect(&control).await;
    let (_, greeting) = proxy::control::Client::connect(&control).await.unwrap();
    assert_eq!(greeting.generation, Some(table.generation));
    assert_eq!(greeting.listeners.len(), 2);
    let back = client.fds().await.unwrap();
    let held: Vec<_> = back.iter().map(|(listener, fd)| (listener.role, fd.as_fd())).collect();
    assert!(back.iter().any(|(listener, _)| listener.address == address));
    // Saying everything again disturbs nothing.
    client.listen(&held).await.unwrap();
    client.table(table).await.unwrap();
    assert_eq!(get(address, "a.test", "/").await.body, "app\n");
    // A socket that is no longer listed is closed here; with the agent's copy gone it is free.
    client.listen(&[]).await.unwrap();
    drop(back);
    crate::world::eventually("the port is free", || std::net::TcpListener::bind(address).ok())
        .await;
}

#[tokio::test]
async fn draining_finishes_what_is_under_way_and_cuts_at_the_deadline() {
    let mut world = World::start().await;
    let app = App::start("app");
    world.route(route("r", "a.test"), &[app.address]).await;
    let address = world.http();
    let wires = tokio::task::spawn_blocking(move || {
        let mut slow = Wire::connect(address).unwrap();
        slow.send(b"GET /slow/700 HTTP/1.1\r\nhost: a.test\r\n\r\n").unwrap();
        let mut idle = Wire::connect(address).unwrap();
        idle.send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").unwrap();
        assert_eq!(idle.response().unwrap().header("connection"), None);
        (slow, idle)
    });
    let (mut slow, mut idle) = wires.await.unwrap();
    world.client.drain(Duration::from_secs(15)).await.unwrap();
    let refused = world.client.table(world.table.clone()).await;
    assert!(refused.is_ok(), "a replayed table is acknowledged even now");
    tokio::task::spawn_blocking(move || {
        // The kept connection's next request is served and told to go.
        idle.send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").unwrap();
        assert_eq!(idle.response().unwrap().header("connection"), Some("close"));
        let response = slow.response().unwrap();
        assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    })
    .await
    .unwrap();
    assert!(world.proxy.ended().await);

    let mut world = World::start().await;
    world.route(route("r", "a.test"), &[app.address]).await;
    let address = world.http();
    let stuck = tokio::spawn(async move {
        tokio::task::spawn_blocking(move || {
            let mut wire = Wire::connect(address).unwrap();
            wire.send(b"GET /slow/60000 HTTP/1.1\r\nhost: a.test\r\n\r\n").unwrap();
            wire.response().unwrap_err()
        })
        .await
        .unwrap()
    });
    crate::world::eventually("the request arrives", || (app.seen.requests() == 4).then_some(()))
        .await;
    world.client.drain(Duration::from_millis(100)).await.unwrap();
    assert!(world.proxy.ended().await);
    stuck.await.unwrap();
}
