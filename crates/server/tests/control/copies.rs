//! Images on several servers: real servers in one process, each with its own registry directory,
//! one store, and real connections between them.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use image::Digest;
use serde_json::json;
use server::access::Releases;
use server::control::Lead;
use server::core::{Caller, Core};
use server::oci::{Access, AccessError, Action, RepositoryName, Who};
use store::MemoryStore;
use tower::ServiceExt;

use super::servers::fast;
use super::world::{Trust, World};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Everybody may do everything.
struct Open;

#[async_trait::async_trait]
impl Access for Open {
    async fn authenticate(&self, _: Option<&str>, secret: &str) -> Result<Who, AccessError> {
        Ok(Who::new(secret, ()))
    }

    async fn authorize(&self, _: &Who, _: &RepositoryName, _: Action) -> Result<(), AccessError> {
        Ok(())
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

fn router(server: &World) -> Router {
    server.registry.router(Arc::new(Open), Arc::new(Releases(server.core.clone())))
}

async fn ask(server: &World, method: Method, path: &str, media: &str, body: &[u8]) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", "Bearer x")
        .header("content-type", media)
        .header("content-length", body.len())
        .body(Body::from(body.to_vec()))
        .unwrap();
    let response = router(server).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map(|whole| whole.to_bytes().to_vec()).unwrap_or_default();
    Answer { status: parts.status, headers: parts.headers, body }
}

async fn put_blob(server: &World, repository: &str, content: &[u8]) -> Digest {
    let digest = Digest::of(content);
    let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
    let answer = ask(server, Method::POST, &path, "application/octet-stream", content).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    digest
}

struct Pushed {
    manifest: Digest,
    layer: Digest,
    content: Vec<u8>,
    answer: Answer,
}

/// Pushes an image whose layer is of `size` bytes that `seed` decides.
async fn push(server: &World, repository: &str, tag: &str, seed: u8, size: usize) -> Pushed {
    let content: Vec<u8> = (0..size).map(|i| seed ^ u8::try_from(i % 251).unwrap()).collect();
    let layer = put_blob(server, repository, &content).await;
    push_on(server, repository, tag, &content, layer).await
}

async fn push_on(
    server: &World,
    repository: &str,
    tag: &str,
    content: &[u8],
    layer: Digest,
) -> Pushed {
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [layer.to_string()] },
        "config": { "Cmd": ["/x"] },
    })
    .to_string();
    let config_digest = put_blob(server, repository, config.as_bytes()).await;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {
            "mediaType": CONFIG, "digest": config_digest.to_string(), "size": config.len(),
        },
        "layers": [{ "mediaType": LAYER, "digest": layer.to_string(), "size": content.len() }],
    })
    .to_string();
    let path = format!("/v2/{repository}/manifests/{tag}");
    let answer = ask(server, Method::PUT, &path, MANIFEST, manifest.as_bytes()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", String::from_utf8_lossy(&answer.body));
    let manifest = Digest::of(manifest.as_bytes());
    Pushed { manifest, layer, content: content.to_vec(), answer }
}

/// What a tag means on a server, asked over its registry.
async fn tag(server: &World, repository: &str, tag: &str) -> Option<Digest> {
    let path = format!("/v2/{repository}/manifests/{tag}");
    let answer = ask(server, Method::GET, &path, "", b"").await;
    (answer.status == StatusCode::OK).then(|| Digest::of(&answer.body))
}

async fn blob(server: &World, repository: &str, digest: &Digest) -> Answer {
    ask(server, Method::GET, &format!("/v2/{repository}/blobs/{digest}"), "", b"").await
}

async fn cluster(count: usize) -> Vec<World> {
    let (trust, store) = (Trust::new(), Arc::new(MemoryStore::new()));
    let mut servers = Vec::new();
    for i in 1..=count {
        servers.push(join(&trust, &store, i).await);
    }
    acquainted(&servers).await;
    servers
}

async fn join(trust: &Arc<Trust>, store: &Arc<MemoryStore>, i: usize) -> World {
    World::on(trust, &format!("s{i}"), store.clone(), store.clone(), fast()).await
}

async fn acquainted(servers: &[World]) {
    for server in servers {
        let all = |core: &Core| core.agents.gathered.peers().len() == servers.len() - 1;
        server.wait("all servers to hear each other", all).await;
    }
}

async fn stop(servers: Vec<World>) {
    for server in servers {
        server.stop().await;
    }
}

/// Until a server's own disk has content.
async fn has(server: &World, digest: Digest) {
    let registry = server.registry.clone();
    server.wait("content to be here", |_| registry.content().has(&digest).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_is_answered_when_two_servers_have_it() {
    let servers = cluster(2).await;
    let pushed = push(&servers[0], "t/app", "v1", 1, 300_000).await;
    assert!(pushed.answer.headers.get("warning").is_none());
    // At once, with nothing fetched: the content is on the other's disk.
    for digest in [pushed.manifest, pushed.layer] {
        assert!(servers[1].registry.content().has(&digest).unwrap());
    }
    assert_eq!(tag(&servers[1], "t/app", "v1").await, Some(pushed.manifest));
    let layer = blob(&servers[1], "t/app", &pushed.layer).await;
    assert_eq!(layer.body, pushed.content);
    // Elsewhere it is not seen, on either server.
    for server in &servers {
        let answer = blob(server, "t/other", &pushed.layer).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    stop(servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_lacks_it_fetches_while_it_answers() {
    let servers = cluster(3).await;
    let pushed = push(&servers[0], "t/app", "v1", 2, 3_000_000).await;
    // One of the two others took the copy; the third has to ask.
    let without = |server: &&World| !server.registry.content().has(&pushed.layer).unwrap();
    let third = servers.iter().find(without).expect("two of three have it");
    assert_eq!(tag(third, "t/app", "v1").await, Some(pushed.manifest));
    let path = format!("/v2/t/app/blobs/{}", pushed.layer);
    let head = ask(third, Method::HEAD, &path, "", b"").await;
    assert_eq!(head.headers["content-length"], "3000000");
    let layer = blob(third, "t/app", &pushed.layer).await;
    assert_eq!((layer.status, layer.body == pushed.content), (StatusCode::OK, true));
    has(third, pushed.layer).await;
    assert_eq!(blob(third, "t/app", &pushed.layer).await.body, pushed.content);
    stop(servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_may_go_on_at_another_server() {
    let servers = cluster(2).await;
    let content = vec![7; 200_000];
    let layer = put_blob(&servers[0], "t/app", &content).await;
    // As clients do, it is asked whether the layer is there; then the rest goes to the other.
    let head = ask(&servers[1], Method::HEAD, &format!("/v2/t/app/blobs/{layer}"), "", b"").await;
    assert_eq!(head.status, StatusCode::OK);
    let pushed = push_on(&servers[1], "t/app", "v1", &content, layer).await;
    assert!(servers[1].registry.content().has(&layer).unwrap());
    assert_eq!(tag(&servers[0], "t/app", "v1").await, Some(pushed.manifest));
    stop(servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_a_push_goes_on_and_says_so_and_the_leader_makes_it_good() {
    let (trust, store) = (Trust::new(), Arc::new(MemoryStore::new()));
    let first = join(&trust, &store, 1).await;
    // A server that was there once and is not reachable now.
    join(&trust, &store, 2).await.stop().await;
    first.wait("the other to be gone", |core| core.agents.gathered.peers().is_empty()).await;
    let pushed = push(&first, "t/app", "v1", 3, 100_000).await;
    let warning = pushed.answer.headers["warning"].to_str().unwrap();
    assert!(warning.starts_with("299 - ") && warning.contains("one server only"), "{warning}");
    let manifest = json!({ "app": "shop", "team": "t", "process": { "port": 80 } });
    let request = api::operation::DeployRequest {
        manifest: manifest.as_object().unwrap().clone(),
        image: Some("t/app:v1".into()),
        environment: None,
        dry_run: false,
    };
    first.core.deploy(&Caller::platform(), request).await.unwrap();
    // A new server joins: it learns of the image, and gets a copy since a deployment names it.
    let servers = vec![first, join(&trust, &store, 3).await];
    acquainted(&servers).await;
    assert_eq!(tag(&servers[1], "t/app", "v1").await, Some(pushed.manifest));
    has(&servers[1], pushed.layer).await;
    stop(servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_of_one_tag_to_two_servers_end_alike() {
    let servers = cluster(2).await;
    for round in 0..5 {
        let one = push(&servers[0], "t/app", "latest", 10 + round, 1000);
        let two = push(&servers[1], "t/app", "latest", 20 + round, 1000);
        let (one, two) = tokio::join!(one, two);
        let means = tag(&servers[0], "t/app", "latest").await.unwrap();
        assert!([one.manifest, two.manifest].contains(&means));
        assert_eq!(tag(&servers[1], "t/app", "latest").await, Some(means));
        // Both images stay, by their digests, on both.
        for server in &servers {
            for pushed in [&one, &two] {
                let name = pushed.manifest.to_string();
                assert_eq!(tag(server, "t/app", &name).await, Some(pushed.manifest));
            }
        }
    }
    stop(servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_on_one_server_is_deleted_on_all() {
    let servers = cluster(2).await;
    let old = push(&servers[0], "t/app", "old", 31, 1000).await;
    let used = push(&servers[0], "t/app", "used", 32, 1000).await;
    let delete = |server: usize, name: String| {
        let path = format!("/v2/t/app/manifests/{name}");
        let server = &servers[server];
        async move { ask(server, Method::DELETE, &path, "", b"").await.status }
    };
    assert_eq!(delete(1, "old".to_owned()).await, StatusCode::ACCEPTED);
    assert_eq!(tag(&servers[0], "t/app", "old").await, None);
    assert_eq!(delete(0, "old".to_owned()).await, StatusCode::NOT_FOUND);
    assert_eq!(delete(0, old.manifest.to_string()).await, StatusCode::ACCEPTED);
    assert_eq!(tag(&servers[1], "t/app", &old.manifest.to_string()).await, None);
    let manifest = json!({ "app": "shop", "team": "t", "process": { "port": 80 } });
    let request = api::operation::DeployRequest {
        manifest: manifest.as_object().unwrap().clone(),
        image: Some("t/app:used".into()),
        environment: None,
        dry_run: false,
    };
    servers[0].core.deploy(&Caller::platform(), request).await.unwrap();
    assert_eq!(delete(1, used.manifest.to_string()).await, StatusCode::FORBIDDEN);
    assert!(tag(&servers[0], "t/app", "used").await.is_some());
    // Lists follow on both.
    for server in &servers {
        let registry = server.registry.clone();
        let mut left = Vec::new();
        for _ in 0..500 {
            let images = registry.list(None).await.unwrap();
            left = images.iter().map(|image| image.digest).collect();
            if left == [used.manifest] {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(left, [used.manifest]);
    }
    stop(servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_from_before_are_written_down_when_a_server_starts() {
    let (trust, store) = (Trust::new(), Arc::new(MemoryStore::new()));
    let dir = tempfile::tempdir().unwrap();
    let registry = server::oci::Registry::open(dir.path(), server::oci::Options::default());
    let before = World::with_registry(
        &trust,
        "s1",
        (store.clone(), store.clone()),
        Lead::Alone,
        (Arc::new(registry.unwrap()), dir),
        async |registry| {
            let router = registry.router(Arc::new(Open), Arc::new(NoUse));
            let content = b"layer".to_vec();
            for (method, path, media, body) in image_requests(&content) {
                let request = Request::builder()
                    .method(method)
                    .uri(path)
                    .header("authorization", "Bearer x")
                    .header("content-type", media)
                    .header("content-length", body.len())
                    .body(Body::from(body))
                    .unwrap();
                let answer = router.clone().oneshot(request).await.unwrap();
                assert_eq!(answer.status(), StatusCode::CREATED);
            }
        },
    )
    .await;
    assert!(tag(&before, "t/old", "v1").await.is_some());
    let view = before.core.view();
    assert_eq!((view.images.len(), view.image_tags.len()), (1, 1));
    before.stop().await;
}

/// Nothing is in use.
struct NoUse;

#[async_trait::async_trait]
impl server::oci::InUse for NoUse {
    async fn in_use(&self) -> Result<Vec<server::oci::ImageUse>, server::oci::InUseError> {
        Ok(Vec::new())
    }
}

fn image_requests(layer: &[u8]) -> Vec<(Method, String, &'static str, Vec<u8>)> {
    let upload = |content: &[u8]| {
        let path = format!("/v2/t/old/blobs/uploads/?digest={}", Digest::of(content));
        (Method::POST, path, "application/octet-stream", content.to_vec())
    };
    let config = json!({ "architecture": "amd64", "os": "linux" }).to_string();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {
            "mediaType": CONFIG,
            "digest": Digest::of(config.as_bytes()).to_string(),
            "size": config.len(),
        },
        "layers": [{
            "mediaType": LAYER,
            "digest": Digest::of(layer).to_string(),
            "size": layer.len(),
        }],
    });
    let path = "/v2/t/old/manifests/v1".to_owned();
    let put = (Method::PUT, path, MANIFEST, manifest.to_string().into_bytes());
    vec![upload(layer), upload(config.as_bytes()), put]
}
