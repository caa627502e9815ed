//! What a request meets on its way: routes, headers, protocols.

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::BodyExt;
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};

use api::ingress::Protocol;

use crate::app::{App, Frames};
use crate::load::{Wire, ask, get, text, tool};
use crate::world::{World, certificate, nobody, route};

#[tokio::test]
async fn the_most_specific_route_serves() {
    let mut world = World::start().await;
    for (name, host, path) in [
        ("exact", "a.test", "/"),
        ("api", "a.test", "/api"),
        ("wild", "*.b.test", "/"),
        ("one", "x.b.test", "/only"),
    ] {
        let app = App::start(name);
        let mut route = route(name, host);
        route.path = path.into();
        world.route(route, &[app.address]).await;
    }
    for (host, path, expected) in [
        ("a.test", "/", "exact\n"),
        ("A.Test:8080", "/apix", "exact\n"),
        ("a.test.", "/api", "api\n"),
        ("a.test", "/api/x?y=/", "api\n"),
        ("x.b.test", "/", "wild\n"),
        ("x.b.test", "/only", "one\n"),
        ("x.y.b.test", "/only", "wild\n"),
    ] {
        let response = get(world.http(), host, path).await;
        assert_eq!((response.status, response.body.as_str()), (200, expected), "{host}{path}");
    }
    for host in ["b.test", "c.test"] {
        let response = get(world.http(), host, "/").await;
        assert_eq!(response.status, 404);
        assert_eq!(response.body, format!("no route for host {host:?} and this path\n"));
    }
    let json =
        ask(world.http(), "GET / HTTP/1.1\r\nhost: c.test\r\naccept: application/json\r\n\r\n")
            .await;
    let body: serde_json::Value = serde_json::from_str(&json.body).unwrap();
    assert_eq!(body["error"], "no route for host \"c.test\" and this path");
}

#[tokio::test]
async fn absolute_targets_beat_the_host_header_and_odd_hosts_are_refused() {
    let mut world = World::start().await;
    let app = App::start("app");
    world.route(route("r", "a.test"), &[app.address]).await;
    let absolute = "GET http://a.test/echo?x=1 HTTP/1.1\r\nhost: other.test\r\n\r\n";
    let response = ask(world.http(), absolute).await;
    assert_eq!(response.status, 200);
    assert!(response.body.starts_with("GET /echo?x=1 HTTP/1.1"), "{}", response.body);
    assert!(response.body.contains("host: a.test\n"), "{}", response.body);
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.test\r\nhost: b.test\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.test/evil\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: user@a.test\r\n\r\n",
        "GET http://user@a.test/ HTTP/1.1\r\nhost: a.test\r\n\r\n",
    ] {
        assert_eq!(ask(world.http(), head).await.status, 400, "{head:?}");
    }
    let connect = "CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443\r\n\r\n";
    assert_eq!(ask(world.http(), connect).await.status, 405);
}

#[tokio::test]
async fn forwarded_headers_are_ours_and_hop_by_hop_ones_end_here() {
    let mut world = World::start().await;
    let app = App::start("app");
    world.route(route("r", "a.test"), &[app.address]).await;
    let request = "GET /echo HTTP/1.1\r\nhost: a.test:81\r\nx-forwarded-for: 6.6.6.6\r\n\
        x-real-ip: 6.6.6.6\r\nforwarded: for=6.6.6.6\r\nx-forwarded-proto: https\r\n\
        x-forwarded-host: evil\r\nconnection: keep-alive, x-hop, host\r\nx-hop: 1\r\nx-kept: 2\r\n\
        keep-alive: 1\r\nte: trailers, deflate\r\nproxy-authorization: Basic x\r\n\
        proxy-connection: close\r\nupgrade: h2c\r\n\r\n";
    let response = ask(world.http(), request).await;
    let body = response.body;
    for line in [
        "host: a.test:81\n",
        "x-forwarded-for: 127.0.0.1\n",
        "x-real-ip: 127.0.0.1\n",
        "x-forwarded-proto: http\n",
        "x-forwarded-host: a.test:81\n",
        "forwarded: for=127.0.0.1;host=\"a.test:81\";proto=http\n",
        "x-kept: 2\n",
        "te: trailers\n",
    ] {
        assert!(body.contains(line), "{line:?} is missing in {body}");
    }
    for word in
        ["6.6.6.6", "evil", "x-hop", "keep-alive", "deflate", "proxy-", "upgrade", "connection"]
    {
        assert!(!body.contains(word), "{word:?} went through: {body}");
    }
    let response = get(world.http(), "a.test", "/hop").await;
    assert!(response.header("x-kept").is_some() && response.header("x-secret").is_none());
    assert!(response.header("keep-alive").is_none(), "{}", response.head);

    world.table.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    world.push().await;
    let request = "GET /echo HTTP/1.1\r\nhost: a.test\r\nx-forwarded-for: 6.6.6.6, 8.8.8.8\r\n\
        x-forwarded-for: 127.0.0.9\r\nx-forwarded-proto: https\r\nforwarded: for=8.8.8.8\r\n\r\n";
    let body = ask(world.http(), request).await.body;
    for line in [
        "x-forwarded-for: 6.6.6.6, 8.8.8.8, 127.0.0.9, 127.0.0.1\n",
        "x-real-ip: 8.8.8.8\n",
        "x-forwarded-proto: https\n",
        "forwarded: for=8.8.8.8, for=127.0.0.1;host=\"a.test\";proto=http\n",
    ] {
        assert!(body.contains(line), "{line:?} is missing in {body}");
    }
}

#[tokio::test]
async fn plain_http_is_redirected_where_the_route_says_so() {
    let mut world = World::start().await;
    let app = App::start("app");
    let mut secure = route("r", "a.test");
    secure.redirect_to_https = true;
    world.table.certificates = vec![certificate(&["a.test"])];
    world.table.https_port = Some(world.https().port());
    world.route(secure, &[app.address]).await;
    let port = world.https().port();
    let response = get(world.http(), "a.test:80", "/x/y?z=1").await;
    assert_eq!(response.status, 308);
    let location = format!("https://a.test:{port}/x/y?z=1");
    assert_eq!(response.header("location"), Some(location.as_str()));
    let resolve = format!("a.test:{port}:127.0.0.1");
    let first = format!("http://a.test:{}/x", world.http().port());
    let first_resolve = format!("a.test:{}:127.0.0.1", world.http().port());
    let arguments =
        ["-skL", "--max-time", "20", "--resolve", &resolve, "--resolve", &first_resolve, &first];
    if let Some(output) = tool("curl", &arguments).await {
        assert_eq!(text(&output.stdout), "app\n", "{}", text(&output.stderr));
    }
}

#[tokio::test]
async fn http2_clients_are_served_in_clear_text_and_over_tls() {
    let mut world = World::start().await;
    let app = App::start("app");
    world.table.certificates = vec![certificate(&["a.test"])];
    world.route(route("r", "a.test"), &[app.address]).await;
    let (http, https) = (world.http().port(), world.https().port());
    let (plain, tls) = (format!("http://a.test:{http}"), format!("https://a.test:{https}"));
    let resolves = [format!("a.test:{http}:127.0.0.1"), format!("a.test:{https}:127.0.0.1")];
    for (url, flag) in [(&plain, "--http2-prior-knowledge"), (&tls, "--http2"), (&tls, "--http1.1")]
    {
        let url = format!("{url}/echo?q");
        let arguments = [
            "-sk",
            "--max-time",
            "20",
            flag,
            "--resolve",
            &resolves[0],
            "--resolve",
            &resolves[1],
            "-H",
            "cookie: a=1",
            "-d",
            "some=body",
            "-w",
            "\n%{http_version} %{http_code}",
            &url,
        ];
        let Some(output) = tool("curl", &arguments).await else { return };
        let out = text(&output.stdout);
        assert!(out.starts_with("POST /echo?q HTTP/1.1 @app\n"), "{flag}: {out}");
        assert!(out.contains("\nhost: a.test:") && out.contains("\nsome=body\n"), "{flag}: {out}");
        let version = if flag == "--http1.1" { "1.1 200" } else { "2 200" };
        assert!(out.ends_with(version), "{flag}: {out}");
        let proto = if url.starts_with("https") { "https" } else { "http" };
        assert!(out.contains(&format!("x-forwarded-proto: {proto}\n")), "{flag}: {out}");
    }
    let url = format!("https://127.0.0.1:{https}/size/2000");
    let arguments = ["-n", "2000", "-c", "4", "-m", "16", "-H", "host: a.test", &url];
    world.table.routes[0].host = "*".into();
    world.table.certificates[0].hosts.push("*".into());
    world.push().await;
    if let Some(output) = tool("h2load", &arguments).await {
        let out = text(&output.stdout);
        assert!(out.contains("2000 succeeded, 0 failed, 0 errored"), "{out}");
    }
}

#[tokio::test]
async fn grpc_streams_run_both_ways_and_end_with_trailers() {
    let mut world = World::start().await;
    let app = App::start("app");
    let mut grpc = route("r", "a.test");
    grpc.protocol = Protocol::H2c;
    world.route(grpc, &[app.address]).await;
    let stream = tokio::net::TcpStream::connect(world.http()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let (messages, body) = Frames::new();
    let request = Request::post("http://a.test/bidi")
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap();
    messages.send(Ok(Frame::data("one".into()))).await.unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    // The answer to the first message is here while the request goes on: truly both ways.
    messages.send(Ok(Frame::data("two".into()))).await.unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
    drop(messages);
    let trailers = loop {
        match body.frame().await.unwrap().unwrap().into_trailers() {
            Ok(trailers) => break trailers,
            Err(frame) => assert_eq!(frame.into_data().unwrap(), Bytes::new()),
        }
    };
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["seen-te"], "trailers");
}

#[tokio::test]
async fn switched_protocols_become_a_tunnel() {
    let mut world = World::start().await;
    let app = App::start("app");
    world.route(route("r", "a.test"), &[app.address]).await;
    let address = world.http();
    tokio::task::spawn_blocking(move || {
        let mut wire = Wire::connect(address).unwrap();
        wire.send(
            b"GET /switch HTTP/1.1\r\nhost: a.test\r\nconnection: Upgrade\r\n\
            upgrade: websocket\r\nsec-websocket-key: x\r\n\r\nearly ",
        )
        .unwrap();
        let response = wire.response().unwrap();
        assert_eq!(response.status, 101);
        assert_eq!(response.header("upgrade"), Some("websocket"));
        assert_eq!(wire.exactly("welcome early ".len()), "welcome early ");
        for n in 0..100 {
            let message = format!("message {n};");
            wire.send(message.as_bytes()).unwrap();
            assert_eq!(wire.exactly(message.len()), message);
        }
        // A refused upgrade is an ordinary response and the connection goes on.
        let mut wire = Wire::connect(address).unwrap();
        for _ in 0..2 {
            wire.send(
                b"GET /x HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: z\r\n\r\n",
            )
            .unwrap();
            assert_eq!(wire.response().unwrap().body, "app\n");
        }
    })
    .await
    .unwrap();
    let log = world.log(3).await;
    let tunnel = log.iter().find(|line| line["status"] == 101).unwrap();
    assert_eq!(tunnel["path"], "/switch");
    assert!(tunnel["bytes_out"].as_u64().unwrap() > 1000, "{tunnel}");
}

#[tokio::test]
async fn requests_are_counted_and_logged_with_their_instance() {
    let mut world = World::start().await;
    let app = App::start("app");
    world.route(route("shop", "a.test"), &[nobody(), app.address]).await;
    for n in 0..20 {
        let response = get(world.http(), "a.test", &format!("/size/{n}?secret=1")).await;
        assert_eq!(response.status, 200);
    }
    get(world.http(), "a.test", "/status/418").await;
    get(world.http(), "nowhere.test", "/").await;
    let log = world.log(22).await;
    let ok: Vec<_> = log.iter().filter(|line| line["status"] == 200).collect();
    assert_eq!(ok.len(), 20);
    for line in &ok {
        let instance = format!("shop-staging-{}", app.address.port());
        assert_eq!(line["instance"], instance.as_str());
        assert_eq!((&line["app"], &line["environment"]), (&"shop".into(), &"staging".into()));
        assert_eq!((&line["release"], &line["route"]), (&7.into(), &"shop".into()));
        assert!(!line.to_string().contains("secret"), "{line}");
        assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1:"));
    }
    let bytes: u64 = ok.iter().map(|line| line["bytes_out"].as_u64().unwrap()).sum();
    assert_eq!(bytes, (0..20).sum::<u64>());
    let snapshot = world.client.metrics().await.unwrap();
    let counters = &snapshot.routes[0].counters;
    assert_eq!(counters.by_class, [0, 20, 0, 1, 0]);
    assert_eq!((counters.in_flight, snapshot.unrouted), (0, 1));
    assert_eq!(counters.latency.counts.iter().sum::<u64>(), 21);
    // The dead instance was tried, retried elsewhere, and left alone meanwhile.
    let logged: u64 = log.iter().filter_map(|line| line["retries"].as_u64()).sum();
    assert_eq!(counters.retries, logged);
    assert!((1..=8).contains(&counters.retries), "{}", counters.retries);
    let dead = snapshot.instances.iter().find(|i| i.address != app.address).unwrap();
    assert_eq!(dead.counters.requests(), 0);
}
