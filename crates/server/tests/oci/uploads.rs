//! Uploads: chunks, gaps, mounts, limits, full disks.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Method;
use futures_util::StreamExt;
use image::Digest;
use proptest::prelude::*;
use server::oci::Options;

use crate::world::{World, noise};

async fn start(world: &World) -> String {
    let answer = world.call(Method::POST, "/v2/a/blobs/uploads/", &[], "").await.expect(202);
    assert_eq!(answer.header("range"), "0-0");
    answer.header("location").to_owned()
}

#[tokio::test]
async fn chunks_must_follow_each_other() {
    let world = World::new();
    let location = start(&world).await;
    let patch = async |range, body: &'static str| {
        world.call(Method::PATCH, &location, &[("content-range", range)], body).await
    };
    let first = patch("0-4", "01234").await.expect(202);
    assert_eq!((first.header("range"), first.header("location")), ("0-4", location.as_str()));
    for gap in ["6-7", "0-4", "4-5", "nonsense", "5-", "5-4", "bytes */9", "5-18446744073709551615"]
    {
        let answer = patch(gap, "xx").await.refused(416, "BLOB_UPLOAD_INVALID");
        assert_eq!((answer.header("range"), answer.header("location")), ("0-4", location.as_str()));
    }
    patch("5-9", "567").await.refused(400, "SIZE_INVALID");
    let status = world.get(&location).await.expect(204);
    assert_eq!(status.header("range"), "0-7", "what came of a short chunk is kept");
    patch("8-8", "89").await.refused(400, "SIZE_INVALID");
    assert_eq!(world.get(&location).await.header("range"), "0-7", "too long a chunk is not");
    // Without a range a chunk is added at the end.
    patch("", "8").await.expect(202);
    let digest = Digest::of(b"0123456789");
    let path = format!("{location}?digest={digest}");
    let gap = world.call(Method::PUT, &path, &[("content-range", "3-3")], "9").await;
    gap.refused(416, "BLOB_UPLOAD_INVALID");
    let done = world.call(Method::PUT, &path, &[("content-range", "9-9")], "9").await.expect(201);
    assert_eq!(done.header("location"), format!("/v2/a/blobs/{digest}"));
    assert_eq!(world.get(&format!("/v2/a/blobs/{digest}")).await.body, b"0123456789");
    world.get(&location).await.refused(404, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn wrong_content_is_refused_and_leaves_nothing() {
    let world = World::new();
    let location = start(&world).await;
    let digest = Digest::of(b"right");
    let path = format!("{location}?digest={digest}");
    world.call(Method::PUT, &path, &[], "wrong").await.refused(400, "DIGEST_INVALID");
    world.get(&location).await.refused(404, "BLOB_UPLOAD_UNKNOWN");
    world.get(&format!("/v2/a/blobs/{digest}")).await.refused(404, "BLOB_UNKNOWN");
    let found = Digest::of(b"wrong");
    world.get(&format!("/v2/a/blobs/{found}")).await.refused(404, "BLOB_UNKNOWN");
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    world.call(Method::POST, &path, &[], "wrong").await.refused(400, "DIGEST_INVALID");
    assert_eq!(world.registry.content().uploads().unwrap(), []);
    assert_eq!(world.registry.content().list().unwrap().count(), 0);
}

#[tokio::test]
async fn a_mounted_blob_is_seen_where_it_was_mounted() {
    let world = World::new();
    let digest = world.blob("a", b"shared").await;
    let path = format!("/v2/b/blobs/uploads/?mount={digest}&from=a");
    let answer = world.call(Method::POST, &path, &[], "").await.expect(201);
    assert_eq!(answer.header("location"), format!("/v2/b/blobs/{digest}"));
    world.delete(&format!("/v2/a/blobs/{digest}")).await.expect(202);
    assert_eq!(world.get(&format!("/v2/b/blobs/{digest}")).await.expect(200).body, b"shared");
    let again = format!("/v2/c/blobs/uploads/?mount={digest}&from=a");
    world.call(Method::POST, &again, &[], "").await.expect(202);
}

#[tokio::test]
async fn one_request_writes_an_upload() {
    let world = World::new();
    let location = start(&world).await;
    let (mut feed, body) = fed();
    let first = world.call(Method::PATCH, &location, &[], body);
    let second = async {
        feed.send("abc").await;
        // There is room for this one only when the first request has taken the one before, and so
        // has the upload.
        feed.send("def").await;
        let busy = world.call(Method::PATCH, &location, &[], "zzz").await;
        busy.refused(503, "UNAVAILABLE");
        feed.end();
    };
    let (first, ()) = tokio::join!(first, second);
    assert_eq!(first.expect(202).header("range"), "0-5");
}

struct Feed(Option<tokio::sync::mpsc::Sender<&'static str>>);

impl Feed {
    async fn send(&mut self, text: &'static str) {
        self.0.as_ref().unwrap().send(text).await.unwrap();
    }

    fn end(&mut self) {
        self.0 = None;
    }
}

/// A body that is sent piece by piece.
fn fed() -> (Feed, Body) {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
        let text: &'static str = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(Bytes::from(text)), receiver))
    });
    (Feed(Some(sender)), Body::from_stream(stream))
}

#[tokio::test]
async fn a_silent_body_ends_and_its_upload_goes_on() {
    let world = World::with(Options { body_idle: Duration::from_millis(50), ..Options::default() });
    let location = start(&world).await;
    let said = futures_util::stream::iter([Ok::<_, std::io::Error>("said")]);
    let body = Body::from_stream(said.chain(futures_util::stream::pending()));
    let answer = world.call(Method::PATCH, &location, &[], body).await;
    answer.refused(408, "BLOB_UPLOAD_INVALID");
    assert_eq!(world.get(&location).await.expect(204).header("range"), "0-3");
    let silent = Body::from_stream(futures_util::stream::pending::<Result<&str, std::io::Error>>());
    let path = "/v2/a/manifests/v1";
    world.call(Method::PUT, path, &[], silent).await.refused(408, "BLOB_UPLOAD_INVALID");
}

#[tokio::test]
async fn a_broken_body_leaves_what_came() {
    let world = World::new();
    let location = start(&world).await;
    let broken = futures_util::stream::iter([Ok("said"), Err(std::io::Error::other("gone"))]);
    let answer = world.call(Method::PATCH, &location, &[], Body::from_stream(broken)).await;
    answer.refused(408, "BLOB_UPLOAD_INVALID");
    assert_eq!(world.get(&location).await.expect(204).header("range"), "0-3");
    let path = format!("{location}?digest={}", Digest::of(b"said it"));
    world.call(Method::PUT, &path, &[], " it").await.expect(201);
}

#[tokio::test]
async fn too_large_a_blob_is_refused() {
    let world = World::with(Options { max_blob_bytes: 10, ..Options::default() });
    let digest = Digest::of(&[0; 11]);
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    let announced = [("content-length", "11")];
    world.call(Method::POST, &path, &announced, vec![0; 11]).await.refused(413, "SIZE_INVALID");
    // Not announced, so found out while it comes.
    world.call(Method::POST, &path, &[], vec![0; 11]).await.refused(413, "SIZE_INVALID");
    let location = start(&world).await;
    world.call(Method::PATCH, &location, &[], vec![0; 6]).await.expect(202);
    world
        .call(Method::PATCH, &location, &[("content-length", "5")], vec![0; 5])
        .await
        .refused(413, "SIZE_INVALID");
    world.call(Method::PATCH, &location, &[], vec![0; 4]).await.expect(202);
    let digest = Digest::of(&[0; 10]);
    world.call(Method::PUT, &format!("{location}?digest={digest}"), &[], "").await.expect(201);
}

#[tokio::test]
async fn unfinished_uploads_are_counted() {
    let options = Options { max_uploads: 3, ..Options::default() };
    let world = World::with(options.clone());
    let locations = [start(&world).await, start(&world).await, start(&world).await];
    let refused = world.call(Method::POST, "/v2/a/blobs/uploads/", &[], "").await;
    assert_eq!(refused.refused(429, "TOOMANYREQUESTS").header("retry-after"), "1");
    world.delete(&locations[1]).await.expect(204);
    start(&world).await;
    // Idle ones make room.
    let world = World::with(Options { upload_reclaim: Duration::ZERO, ..options });
    for _ in 0..10 {
        start(&world).await;
    }
    assert!(world.registry.content().uploads().unwrap().len() <= 3);
}

#[tokio::test]
async fn a_full_disk_is_said_and_the_upload_goes_on() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root to mount a small file system");
        return;
    }
    let disk = tempfile::tempdir().unwrap();
    let mounted = Mounted::new(disk.path(), "size=4m");
    let registry = server::oci::Registry::open(disk.path(), Options::default()).unwrap();
    let world = World::of(registry);
    let content = noise(7, 3_000_000);
    let location = start(&world).await;
    world.call(Method::PATCH, &location, &[], content[..500_000].to_vec()).await.expect(202);
    let filler = disk.path().join("filler");
    std::fs::write(&filler, vec![0; 2_500_000]).unwrap();
    let full = world.call(Method::PATCH, &location, &[], content[500_000..].to_vec()).await;
    let text = String::from_utf8(full.refused(507, "UNKNOWN").body).unwrap();
    assert!(text.contains("no space left"), "{text}");
    std::fs::remove_file(filler).unwrap();
    let status = world.get(&location).await.expect(204);
    let end: usize = status.header("range").strip_prefix("0-").unwrap().parse().unwrap();
    assert!(end + 1 >= 500_000, "{end}");
    let path = format!("{location}?digest={}", Digest::of(&content));
    world.call(Method::PUT, &path, &[], content[end + 1..].to_vec()).await.expect(201);
    drop(world);
    drop(mounted);
}

/// A file system in memory, unmounted at the end.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(path: &std::path::Path, data: &str) -> Self {
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", data, "tmpfs"])
            .arg(path)
            .status()
            .unwrap();
        assert!(status.success());
        Self(path.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// However a blob is cut into chunks, it is the same blob.
    #[test]
    fn blobs_in_any_chunks(
        content in proptest::collection::vec(any::<u8>(), 1..600_000),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        last_in_put in any::<bool>(),
        with_ranges in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let location = start(&world).await;
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(content.len())).collect();
            ends.extend([0, content.len()]);
            ends.sort_unstable();
            ends.dedup();
            let mut chunks: Vec<_> = ends.windows(2).map(|w| (w[0], w[1])).collect();
            let last = if last_in_put { chunks.pop() } else { None };
            let range = |(from, to): (usize, usize)| {
                if with_ranges { format!("{from}-{}", to - 1) } else { String::new() }
            };
            for chunk in chunks {
                let headers = [("content-range", range(chunk))];
                let headers = [(headers[0].0, headers[0].1.as_str())];
                let body = content[chunk.0..chunk.1].to_vec();
                world.call(Method::PATCH, &location, &headers, body).await.expect(202);
                let at = world.get(&location).await.header("range").to_owned();
                assert_eq!(at, format!("0-{}", chunk.1 - 1));
            }
            let digest = Digest::of(&content);
            let path = format!("{location}?digest={digest}");
            let body = last.map(|(from, to)| content[from..to].to_vec()).unwrap_or_default();
            world.call(Method::PUT, &path, &[], body).await.expect(201);
            assert!(world.get(&format!("/v2/a/blobs/{digest}")).await.body == content);
        });
    }
}
