//! Limits and time-outs: what is too large, too slow or broken gets an answer that says so.

use api::ingress::Route;

use crate::app::App;
use crate::load::{Wire, ask, get};
use crate::world::{World, nobody, route};

fn limited(max_body_bytes: u64) -> Route {
    Route { max_body_bytes: Some(max_body_bytes), ..route("r", "a.test") }
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_refused_by_length_and_by_count() {
    let mut world = World::start().await;
    let app = App::start("app");
    world.route(limited(10), &[app.address]).await;
    let head = "POST /echo HTTP/1.1\r\nhost: a.test\r\n";
    let fits = format!("{head}content-length: 10\r\n\r\n0123456789");
    assert_eq!(ask(world.http(), fits).await.status, 200);
    let long = format!("{head}content-length: 11\r\n\r\n0123456789x");
    let response = ask(world.http(), long).await;
    assert_eq!((response.status, response.header("connection")), (413, Some("close")));
    assert_eq!(response.body, "the request body is larger than route r allows\n");
    let chunks =
        format!("{head}transfer-encoding: chunked\r\n\r\n6\r\n012345\r\n6\r\n678901\r\n0\r\n\r\n");
    assert_eq!(ask(world.http(), chunks).await.status, 413);
    let fits =
        format!("{head}transfer-encoding: chunked\r\n\r\n6\r\n012345\r\n4\r\n6789\r\n0\r\n\r\n");
    let response = ask(world.http(), fits).await;
    assert!(response.status == 200 && response.body.ends_with("\n0123456789"), "{}", response.body);
}

#[tokio::test]
async fn heads_beyond_the_limit_are_refused() {
    let mut world = World::start().await;
    let app = App::start("app");
    world.route(route("r", "a.test"), &[app.address]).await;
    let fits = format!("GET / HTTP/1.1\r\nhost: a.test\r\nx: {}\r\n\r\n", "y".repeat(16_000));
    assert_eq!(ask(world.http(), fits).await.status, 200);
    let large = format!("GET / HTTP/1.1\r\nhost: a.test\r\nx: {}\r\n\r\n", "y".repeat(70_000));
    assert_eq!(ask(world.http(), large).await.status, 431);
    let many: String = (0..200).map(|n| format!("x{n}: y\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\nhost: a.test\r\n{many}\r\n");
    assert_eq!(ask(world.http(), many).await.status, 431);
    assert_eq!(app.seen.requests(), 1);
}

#[tokio::test]
async fn slow_heads_get_408_and_do_not_hold_others_up() {
    let mut world = World::start().await;
    let app = App::start("app");
    world.route(route("r", "a.test"), &[app.address]).await;
    let address = world.http();
    let slow = tokio::task::spawn_blocking(move || {
        let mut wires: Vec<Wire> = (0..100).map(|_| Wire::connect(address).unwrap()).collect();
        for wire in &mut wires {
            wire.send(b"GET / HTTP/1.1\r\nhost: a").unwrap();
        }
        wires.iter_mut().map(|wire| wire.response().unwrap().status).collect::<Vec<_>>()
    });
    for _ in 0..20 {
        assert_eq!(get(address, "a.test", "/").await.status, 200);
    }
    assert_eq!(slow.await.unwrap(), [408; 100]);
    let snapshot = world.client.metrics().await.unwrap();
    assert!(snapshot.bad_connections >= 100, "{}", snapshot.bad_connections);
}

#[tokio::test]
async fn a_body_that_stands_still_gets_408() {
    let mut world = World::start().await;
    let app = App::start("app");
    let impatient = Route { idle_timeout_ms: 200, ..route("r", "a.test") };
    world.route(impatient, &[app.address]).await;
    let half = "POST /echo HTTP/1.1\r\nhost: a.test\r\ncontent-length: 10\r\n\r\n01234";
    assert_eq!(ask(world.http(), half).await.status, 408);
}

#[tokio::test]
async fn instances_that_fail_give_502_503_and_504() {
    let mut world = World::start().await;
    let app = App::start("app");
    let impatient = Route { response_timeout_ms: 200, ..route("r", "a.test") };
    world.route(impatient, &[app.address]).await;
    let response = get(world.http(), "a.test", "/slow/5000").await;
    assert_eq!(response.status, 504);
    assert_eq!(response.body, "no instance of route r answered in time\n");
    assert_eq!(get(world.http(), "a.test", "/break").await.status, 502);
    world.endpoints("r", &[nobody()]).await;
    let response = get(world.http(), "a.test", "/").await;
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    world.endpoints("r", &[]).await;
    let response = get(world.http(), "a.test", "/").await;
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    assert_eq!(response.body, "no instance of route r is in service\n");
    let log = world.log(4).await;
    // Each worker writes its own lines in order; between workers there is none.
    let mut errors: Vec<_> = log.iter().map(|line| line["error"].as_str().unwrap()).collect();
    errors.sort_unstable();
    assert_eq!(
        errors,
        [
            "instance broke off",
            "instance too slow",
            "instance unreachable",
            "no instance in service"
        ]
    );
}

#[tokio::test]
async fn a_response_that_breaks_or_stalls_is_cut_and_never_repeated() {
    let mut world = World::start().await;
    let app = App::start("app");
    let impatient = Route { idle_timeout_ms: 200, ..route("r", "a.test") };
    world.route(impatient, &[app.address]).await;
    let address = world.http();
    for path in ["/half", "/stall"] {
        let before = app.seen.requests();
        let error = tokio::task::spawn_blocking(move || {
            let mut wire = Wire::connect(address).unwrap();
            wire.send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n").as_bytes()).unwrap();
            wire.response().unwrap_err()
        })
        .await
        .unwrap();
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{path}");
        assert_eq!(app.seen.requests(), before + 1, "{path}");
    }
    let log = world.log(2).await;
    let mut errors: Vec<_> = log.iter().map(|line| line["error"].as_str().unwrap()).collect();
    errors.sort_unstable();
    assert_eq!(errors, ["response broken off", "response stalled"]);
    assert!(log.iter().all(|line| line["complete"] == false));
}

#[tokio::test]
async fn large_and_streamed_bodies_come_whole() {
    let mut world = World::start().await;
    let app = App::start("app");
    world.route(route("r", "a.test"), &[app.address]).await;
    let response = get(world.http(), "a.test", "/size/5000000").await;
    assert_eq!(response.body.len(), 5_000_000);
    let response = get(world.http(), "a.test", "/drip/500").await;
    let expected: String = (0..500).map(|n| format!("{n}\n")).collect();
    assert_eq!(response.body, expected);
    let body = "z".repeat(3_000_000);
    let request = format!(
        "PUT /echo HTTP/1.1\r\nhost: a.test\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let response = ask(world.http(), request).await;
    assert!(response.body.ends_with(&body));
    let expecting = "PUT /echo HTTP/1.1\r\nhost: a.test\r\nexpect: 100-continue\r\n\
        content-length: 2\r\n\r\nok";
    let response = ask(world.http(), expecting).await;
    assert_eq!(response.status, 100);
    let head = "HEAD /size/77 HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n";
    let address = world.http();
    let rest = tokio::task::spawn_blocking(move || {
        let mut wire = Wire::connect(address).unwrap();
        wire.send(head.as_bytes()).unwrap();
        wire.rest()
    })
    .await
    .unwrap();
    assert!(rest.contains("content-length: 77") && rest.ends_with("\r\n\r\n"), "{rest}");
}
