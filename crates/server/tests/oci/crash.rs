//! A server killed with no warning: what it acknowledged is there, and uploads go on.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use image::Digest;
use server::oci::{Options, Registry};

use crate::world::{MANIFEST, Tokens, Uses, manifest, noise};

/// The other process of the tests below: serves until it is killed.
#[test]
fn serve_until_killed() {
    let Some(directory) = std::env::var_os("OCI_TEST_SERVE") else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let registry = Registry::open(directory, Options::default()).unwrap();
        let router = registry.router(Arc::new(Tokens), Arc::new(Uses::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("listening on {}", listener.local_addr().unwrap());
        axum::serve(listener, router).await.unwrap();
    });
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(directory: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::serve_until_killed", "--nocapture"])
            .env("OCI_TEST_SERVE", directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .find_map(|line| line.unwrap().split_once("listening on ")?.1.parse().ok())
            .expect("the server says where it listens");
        Self { child, address }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Opens a connection and sends a request whose body has `length` bytes; not the body.
    fn begin(&self, method: &str, path: &str, headers: &str, length: usize) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer admin\r\n\
             connection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
        )
        .unwrap();
        stream
    }

    fn call(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
        self.try_call(method, path, headers, body).expect("the server answers")
    }

    /// `None` when the connection broke.
    fn try_call(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Option<Reply> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer admin\r\n\
             connection: close\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body).ok()?;
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).ok()?;
        let end = reply.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8(reply[..end].to_vec()).unwrap().to_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Reply { status, head, body: reply[end + 4..].to_vec() })
    }
}

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        let find = |line: &'_ str| line.split_once(": ").is_some_and(|(key, _)| key == name);
        let line = self.head.lines().find(|line| find(line)).unwrap_or_default();
        line.split_once(": ").map_or("", |(_, value)| value)
    }
}

#[test]
fn an_upload_goes_on_after_the_server_was_killed() {
    let directory = tempfile::tempdir().unwrap();
    let content = noise(3, 3_000_000);
    let server = Server::start(directory.path());
    let started = server.call("POST", "/v2/a/blobs/uploads/", "", b"");
    let location = started.header("location").to_owned();
    let first =
        server.call("PATCH", &location, "content-range: 0-999999\r\n", &content[..1_000_000]);
    assert_eq!((first.status, first.header("range")), (202, "0-999999"));
    // Killed in the middle of a chunk.
    let mut second =
        server.begin("PATCH", &location, "content-range: 1000000-2999999\r\n", 2_000_000);
    second.write_all(&content[1_000_000..2_500_000]).unwrap();
    server.kill();

    let server = Server::start(directory.path());
    let status = server.call("GET", &location, "", b"");
    assert_eq!(status.status, 204);
    let end: usize = status.header("range").strip_prefix("0-").unwrap().parse().unwrap();
    assert!((999_999..2_500_000).contains(&end), "{end}");
    let next = end + 1;
    let range = format!("content-range: {next}-2799999\r\n");
    assert_eq!(server.call("PATCH", &location, &range, &content[next..2_800_000]).status, 202);
    let digest = Digest::of(&content);
    let path = format!("{location}?digest={digest}");
    assert_eq!(server.call("PUT", &path, "", &content[2_800_000..]).status, 201);
    let got = server.call("GET", &format!("/v2/a/blobs/{digest}"), "", b"");
    assert!(got.status == 200 && got.body == content);
    server.kill();
}

/// Pushes images one after another until the connection breaks; gives those acknowledged.
fn push_until_broken(server: &Server, round: u64, acknowledged: &SyncSender<Digest>) {
    let blob = |content: &[u8]| {
        let path = format!("/v2/a/blobs/uploads/?digest={}", Digest::of(content));
        server.try_call("POST", &path, "", content).map(|reply| assert_eq!(reply.status, 201))
    };
    for n in 0_u64.. {
        let layer = noise(round * 1000 + n, 2000);
        let document = manifest(&[&layer]).to_string();
        let digest = Digest::of(document.as_bytes());
        let path = format!("/v2/a/manifests/t{round}-{n}");
        let headers = format!("content-type: {MANIFEST}\r\n");
        let done = blob(b"{}")
            .and_then(|()| blob(&layer))
            .and_then(|()| server.try_call("PUT", &path, &headers, document.as_bytes()));
        match done {
            Some(reply) => assert_eq!(reply.status, 201, "{reply:?}"),
            None => return,
        }
        acknowledged.send(digest).unwrap();
    }
}

#[test]
fn no_acknowledged_push_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for round in 0..4 {
        let server = Server::start(directory.path());
        let (sender, receiver) = sync_channel(1000);
        std::thread::scope(|scope| {
            let pusher = scope.spawn(|| push_until_broken(&server, round, &sender));
            // Killed somewhere in the work after some were acknowledged.
            for _ in 0..5 + round * 3 {
                expected.push(receiver.recv().unwrap());
            }
            rustix::process::kill_process(
                rustix::process::Pid::from_raw(i32::try_from(server.child.id()).unwrap()).unwrap(),
                rustix::process::Signal::KILL,
            )
            .unwrap();
            pusher.join().unwrap();
        });
        expected.extend(receiver.try_iter());
        server.kill();
    }
    let registry = Registry::open(directory.path(), Options::default()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for digest in &expected {
            let found = registry.resolve("a", &digest.to_string()).await.unwrap();
            assert!(found.is_some(), "{digest} of {} is lost", expected.len());
            let text = registry.content().read(digest, 1 << 20).unwrap();
            let document: serde_json::Value = serde_json::from_slice(&text).unwrap();
            let layer = document["layers"][0]["digest"].as_str().unwrap();
            registry.content().verify(&layer.parse().unwrap()).unwrap();
        }
        assert_eq!(registry.gc(&Uses::default()).await.unwrap().missing, []);
    });
}
