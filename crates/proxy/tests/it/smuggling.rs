//! Requests whose end two readers could see in different places: the instance must see one request
//! with one framing, or none.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::load::Wire;
use crate::world::{World, route};

/// An instance that keeps the very bytes it gets and answers each connection's first request.
async fn recorder() -> (std::net::SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&bytes);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let all = Arc::clone(&all);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    let end = {
                        let mut all = all.lock().unwrap();
                        all.extend_from_slice(&buffer[..n]);
                        all.ends_with(b"0\r\n\r\n") || all.ends_with(b"\r\n\r\n") || n < 4096
                    };
                    if end {
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                        let _ = stream.write_all(answer).await;
                    }
                }
            });
        }
    });
    (address, bytes)
}

/// What follows the request line and the host; each hides a second request from some readers.
fn cases() -> Vec<(&'static str, String)> {
    let hidden = "0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a.test\r\n\r\n";
    let length = format!("content-length: {}\r\n", hidden.len());
    let chunked = "transfer-encoding: chunked\r\n";
    let cases = [
        ("cl and te", format!("{length}{chunked}")),
        ("te and cl", format!("{chunked}{length}")),
        ("two cl", format!("content-length: 0\r\n{length}")),
        ("cl list", format!("content-length: 0, {}\r\n", hidden.len())),
        ("signed cl", format!("content-length: +{}\r\n", hidden.len())),
        ("odd te", "transfer-encoding: xchunked\r\n".into()),
        ("te twice", format!("{chunked}transfer-encoding: identity\r\n")),
        ("space before colon", format!("transfer-encoding : chunked\r\n{length}")),
        ("folded", format!("x: y\r\n {chunked}{length}")),
        ("bare cr", format!("x: y\r{chunked}{length}")),
        ("connection names cl", format!("connection: content-length\r\n{length}")),
        ("connection names te", format!("connection: transfer-encoding\r\n{chunked}")),
    ];
    let mut cases: Vec<_> =
        cases.into_iter().map(|(name, head)| (name, format!("{head}\r\n{hidden}"))).collect();
    let overflow = format!("{chunked}\r\n10000000000000000\r\nx\r\n{hidden}");
    cases.push(("chunk overflow", overflow));
    cases
}

#[tokio::test]
async fn ambiguous_framing_never_reaches_an_instance() {
    for (name, rest) in cases() {
        let mut world = World::start().await;
        let (address, bytes) = recorder().await;
        world.route(route("r", "a.test"), &[address]).await;
        let request = format!("POST /first HTTP/1.1\r\nhost: a.test\r\n{rest}");
        let http = world.http();
        let first = tokio::task::spawn_blocking(move || {
            let mut wire = Wire::connect(http).unwrap();
            wire.send(request.as_bytes()).unwrap();
            wire.response()
        })
        .await
        .unwrap();
        let seen = String::from_utf8_lossy(&bytes.lock().unwrap()).to_lowercase();
        let lines = |prefix: &str| seen.lines().filter(|line| line.starts_with(prefix)).count();
        assert!(lines("post /first") <= 1, "{name}: {seen}");
        // One framing on each request that got through, and a hidden request got there only as
        // a request of its own, with everything the proxy adds to one.
        assert!(
            lines("content-length") + lines("transfer-encoding") <= lines("post /first"),
            "{name}: {seen}"
        );
        if seen.contains("/hidden") {
            let as_body = lines("content-length") == 1;
            assert!(as_body || lines("x-real-ip") == 2, "{name}: {seen}");
        }
        let status = first.map(|response| response.status).unwrap_or(0);
        assert!([0, 200, 400].contains(&status), "{name}: {status}");
    }
}
