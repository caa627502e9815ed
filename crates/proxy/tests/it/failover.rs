//! Instances that die: what may be repeated is repeated, what may not is not.

use std::net::IpAddr;

use crate::app::{App, AppProcess};
use crate::load::{Load, Wire, ask, get};
use crate::world::{World, nobody, route};

/// Enough for the kill to fall among requests on their way; issue 2 asks for 20,000.
const REQUESTS: u64 = 20_000;

async fn kill_under_load(keep_alive: bool) {
    let mut world = World::start().await;
    let mut apps: Vec<AppProcess> = (0..4).map(|n| AppProcess::start(&format!("app{n}"))).collect();
    let addresses: Vec<_> = apps.iter().map(|app| app.address).collect();
    world.route(route("r", "a.test"), &addresses).await;
    let load = Load::start(world.http(), 8, keep_alive);
    for (n, app) in apps.iter_mut().take(3).enumerate() {
        load.reach(REQUESTS / 4 * (n as u64 + 1)).await;
        app.kill();
    }
    load.reach(REQUESTS).await;
    let tally = load.stop().await;
    assert_eq!(tally.failed.load(std::sync::atomic::Ordering::SeqCst), 0, "{tally:?}");
    assert_eq!(tally.broken.load(std::sync::atomic::Ordering::SeqCst), 0, "{tally:?}");
    let snapshot = world.client.metrics().await.unwrap();
    let counters = &snapshot.routes[0].counters;
    assert_eq!(counters.by_class[1], counters.requests(), "{counters:?}");
    assert!(counters.retries > 0, "the kills hit nothing: {counters:?}");
}

#[tokio::test]
async fn killing_instances_fails_no_request_on_kept_connections() {
    kill_under_load(true).await;
}

#[tokio::test]
async fn killing_instances_fails_no_request_on_new_connections() {
    kill_under_load(false).await;
}

#[tokio::test]
async fn only_idempotent_requests_are_repeated_after_sending() {
    let mut world = World::start().await;
    let apps = [App::start("one"), App::start("two"), App::start("three")];
    let addresses: Vec<_> = apps.iter().map(|app| app.address).collect();
    world.route(route("r", "a.test"), &addresses).await;
    let seen = || apps.iter().map(|app| app.seen.requests()).sum::<u64>();
    let post = "POST /break HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(ask(world.http(), post).await.status, 502);
    assert_eq!(seen(), 1);
    // A GET goes to each of the three once; then there is nobody left to ask.
    assert_eq!(get(world.http(), "a.test", "/break").await.status, 502);
    assert_eq!(seen(), 4);
    let put = "PUT /break HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(ask(world.http(), put).await.status, 502);
    assert_eq!(seen(), 7);
}

#[tokio::test]
async fn what_was_never_sent_is_repeated_whatever_the_method_and_comes_whole() {
    let mut world = World::start().await;
    let app = App::start("app");
    world.route(route("r", "a.test"), &[nobody(), nobody(), nobody(), app.address]).await;
    for n in 0..10 {
        let body = format!("body {n} ").repeat(20_000);
        let request = format!(
            "POST /echo HTTP/1.1\r\nhost: a.test\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let response = ask(world.http(), request).await;
        assert!(response.status == 200 && response.body.ends_with(&body), "{}", response.status);
    }
    assert_eq!(app.seen.requests(), 10);
}

#[tokio::test]
async fn a_kept_connection_that_the_instance_closed_is_noticed_before_a_post() {
    let mut world = World::start().await;
    let mut first = AppProcess::start("first");
    world.route(route("r", "a.test"), &[first.address]).await;
    let address = world.http();
    let mut wire =
        tokio::task::spawn_blocking(move || Wire::connect(address).unwrap()).await.unwrap();
    let post = b"POST /echo HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\n\r\nhi";
    wire.send(post).unwrap();
    assert_eq!(wire.response().unwrap().status, 200);
    first.kill();
    let second = App::start("second");
    // The dead one stays in the table: its kept connection must not swallow a POST.
    world.endpoints("r", &[first.address, second.address]).await;
    for _ in 0..20 {
        let sending = tokio::task::spawn_blocking(move || {
            wire.send(post).unwrap();
            let response = wire.response().unwrap();
            (wire, response)
        });
        let response;
        (wire, response) = sending.await.unwrap();
        assert_eq!(response.status, 200, "{}", response.body);
    }
    assert_eq!(second.seen.requests(), 20);
}

#[tokio::test]
async fn aborting_a_suspect_cuts_its_connections_and_repeats_elsewhere() {
    let mut world = World::start().await;
    // 127.0.0.2 is loopback too: a host of its own for the proxy.
    let frozen = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap();
    let healthy = App::start("healthy");
    world.route(route("r", "a.test"), &[frozen.local_addr().unwrap()]).await;
    let address = world.http();
    let waiting = tokio::spawn(async move { get(address, "a.test", "/").await });
    let (_stream, _) = frozen.accept().await.unwrap();
    let posting = tokio::spawn(async move {
        ask(address, "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\n\r\nhi").await
    });
    let (_other, _) = frozen.accept().await.unwrap();
    // The view a request began with is the one it is repeated in: both know the healthy one.
    world.endpoints("r", &[frozen.local_addr().unwrap(), healthy.address]).await;
    let suspect: IpAddr = "127.0.0.2".parse().unwrap();
    let later = tokio::spawn(async move { get(address, "a.test", "/").await });
    let cut = world.client.abort(vec![suspect]).await.unwrap();
    assert!(cut >= 2, "{cut}");
    assert_eq!(posting.await.unwrap().status, 502);
    assert_eq!(waiting.await.unwrap().status, 502);
    assert_eq!(later.await.unwrap().body, "healthy\n");
    let snapshot = world.client.metrics().await.unwrap();
    assert!(snapshot.instances.iter().any(|i| i.address.ip() == suspect && i.ejected));
}
