//! Certificates: by server name, and swapped while connections go on.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::app::App;
use crate::load::{Wire, text, tool};
use crate::world::{World, certificate, route};

/// The subject shown for a server name, by an independent client; empty when the handshake fails.
async fn subject(world: &World, name: Option<&str>) -> Option<String> {
    let address = world.https().to_string();
    let mut arguments = vec!["s_client", "-connect", &address];
    match name {
        Some(name) => arguments.extend(["-servername", name]),
        None => arguments.push("-noservername"),
    }
    let output = tool("openssl", &arguments).await?;
    let out = text(&output.stdout);
    let line = out.lines().find_map(|line| line.strip_prefix("subject="));
    Some(line.unwrap_or("").rsplit('=').next().unwrap_or("").trim().to_owned())
}

#[tokio::test]
async fn certificates_are_chosen_by_name_and_swapped_hot() {
    let mut world = World::start().await;
    let app = App::start("app");
    world.table.certificates =
        vec![certificate(&["a.test"]), certificate(&["*.b.test"]), certificate(&["x.b.test"])];
    world.route(route("r", "a.test"), &[app.address]).await;
    for (name, expected) in [
        (Some("a.test"), "a.test"),
        (Some("A.TEST"), "a.test"),
        (Some("y.b.test"), "*.b.test"),
        (Some("x.b.test"), "x.b.test"),
        (Some("z.y.b.test"), ""),
        (Some("c.test"), ""),
        (None, ""),
    ] {
        let Some(shown) = subject(&world, name).await else { return };
        assert_eq!(shown, expected, "{name:?}");
    }

    // A connection from before the swap goes on after it.
    let mut before = Command::new("openssl")
        .args(["s_client", "-quiet", "-servername", "a.test", "-connect"])
        .arg(world.https().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n";
    before.stdin.as_mut().unwrap().write_all(request).unwrap();
    crate::world::eventually("the first request", || (app.seen.requests() == 1).then_some(()))
        .await;

    let mut swapped = certificate(&["new.test", "a.test"]);
    swapped.hosts = vec!["a.test".into()];
    world.table.certificates[0] = swapped;
    let mut rest = certificate(&["rest.test"]);
    rest.hosts = vec!["*".into()];
    world.table.certificates.push(rest);
    world.push().await;
    for (name, expected) in
        [(Some("a.test"), "new.test"), (Some("c.test"), "rest.test"), (None, "rest.test")]
    {
        assert_eq!(subject(&world, name).await.unwrap(), expected, "{name:?}");
    }
    let last = b"GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n";
    before.stdin.as_mut().unwrap().write_all(last).unwrap();
    let output = tokio::task::spawn_blocking(move || before.wait_with_output().unwrap());
    assert_eq!(text(&output.await.unwrap().stdout).matches("app\n").count(), 2);
}

#[tokio::test]
async fn plain_bytes_on_the_tls_port_end_the_connection() {
    let world = World::start().await;
    let address = world.https();
    let rest = tokio::task::spawn_blocking(move || {
        let mut wire = Wire::connect(address).unwrap();
        wire.send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").unwrap();
        wire.rest()
    })
    .await
    .unwrap();
    assert!(!rest.contains("HTTP"), "{rest}");
}
