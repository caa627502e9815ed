//! Hosts that give layers to each other, with no server and no registry in reach: real TLS with
//! hosts' certificates, real stores on disk.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use agent::images::{Giver, Images, Neighbours, Origins};
use agent::link::Servers;
use api::id::HostId;
use api::registry::Registry;
use api::warm::Source;
use clock::Clock;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use image::{ContentStore, Digest};
use pki::{CertificateAuthority, SwappableAuthorities, SwappableIdentity};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// An image of one layer of `size` random-looking bytes; gives its digest and its layer's.
fn make_image(store: &ContentStore, size: usize) -> (Digest, Digest) {
    let mut header = [0u8; 512];
    header[..4].copy_from_slice(b"file");
    header[100..108].copy_from_slice(b"0000644\0");
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    header[136..148].copy_from_slice(b"00000000000\0");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut layer = header.to_vec();
    layer.extend((0..size).map(|i| u8::try_from(i * 7 % 253).unwrap()));
    layer.resize(layer.len().next_multiple_of(512) + 1024, 0);
    let diff_id = store.write(&layer).unwrap();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = serde_json::to_vec(&serde_json::json!({
        "architecture": architecture, "os": "linux", "config": { "Entrypoint": ["/file"] },
        "rootfs": { "type": "layers", "diff_ids": [diff_id.to_string()] },
    }))
    .unwrap();
    let config_digest = store.write(&config).unwrap();
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config_digest.to_string(),
            "size": config.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": diff_id.to_string(),
            "size": layer.len(),
        }],
    }))
    .unwrap();
    (store.write(&manifest).unwrap(), diff_id)
}

/// A registry over plain HTTP that gives what is in a store, until the answer's task is aborted.
async fn registry(store: ContentStore) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = async move {
        while let Ok((stream, _)) = listener.accept().await {
            let store = store.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let digest = request.uri().path().rsplit('/').next().unwrap().parse::<Digest>();
                let content = digest.ok().and_then(|digest| store.read(&digest, 1 << 24).ok());
                let (status, body) = match content {
                    Some(content) => (StatusCode::OK, content),
                    None => (StatusCode::NOT_FOUND, Vec::new()),
                };
                let mut answer = Response::new(Full::new(Bytes::from(body)));
                *answer.status_mut() = status;
                std::future::ready(Ok::<_, std::convert::Infallible>(answer))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    };
    (address, tokio::spawn(serve))
}

struct Host {
    name: HostId,
    images: Arc<Images>,
    neighbours: Arc<Neighbours>,
    giver: Arc<Giver>,
    address: SocketAddr,
    dir: tempfile::TempDir,
    serving: tokio::task::JoinHandle<()>,
}

impl Host {
    async fn new(authority: &CertificateAuthority, name: &str, registry: &str) -> Self {
        let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).try_init();
        let dir = tempfile::tempdir().unwrap();
        let identity = authority.issue_host(name, jiff::Timestamp::now()).unwrap();
        let identity = SwappableIdentity::new(&identity).unwrap();
        let authorities = SwappableAuthorities::new(authority.bundle()).unwrap();
        let clock = Clock::system();
        let (_, servers) = watch::channel(Servers::new(Vec::new(), Vec::new()));
        let origins = Origins::new(servers, &authorities, identity.clone(), &clock).unwrap();
        let images = Arc::new(Images::open(dir.path(), origins).unwrap());
        let plain = Registry {
            host: registry.to_owned(),
            username: None,
            password: None,
            ca_pem: None,
            proxy: None,
            plain_http: true,
        };
        images.set_registries(&[plain]).unwrap();
        let neighbours =
            Neighbours::new(authorities.clone(), identity.clone(), "north", clock.clone());
        let neighbours = Arc::new(neighbours);
        images.set_neighbours(neighbours.clone());
        let giver = Giver::new(images.clone(), &authorities, identity, "north", &clock).unwrap();
        let listener = Giver::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(giver.clone().run(listener));
        let name = HostId::new(name).unwrap();
        Self { name, images, neighbours, giver, address, dir, serving }
    }

    async fn ensure(&self, image: &api::release::Image) -> Result<(), String> {
        match self.images.ensure(image, &|_| ()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    /// From now on asks `source` for `image`, which `source` was told of, or not.
    fn sent_to(&self, source: &Host, image: &api::digest::Digest, admitted: bool) {
        let entry = Source { host: source.name.clone(), address: source.address };
        self.neighbours.set_sources(BTreeMap::from([(image.clone(), vec![entry])]));
        let askers = if admitted { vec![self.name.clone()] } else { Vec::new() };
        source.giver.set_askers(BTreeMap::from([(image.clone(), askers)]));
    }

    fn has_layer(&self, layer: &Digest) -> bool {
        self.dir.path().join("unpacked/layers").join(layer.hex()).join("fs").is_dir()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layer_comes_from_another_host_when_nothing_else_is_in_reach() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root to unpack layers with their owners");
        return;
    }
    let authority = CertificateAuthority::create("north", jiff::Timestamp::now()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let store = ContentStore::open(scratch.path()).unwrap();
    let (manifest, layer) = make_image(&store, 700_000);
    let (address, serving) = registry(store).await;
    let digest: api::digest::Digest = manifest.to_string().parse().unwrap();
    let image = api::release::Image {
        registry: Some(address.clone()),
        repository: "t/app".into(),
        tag: None,
        digest: digest.clone(),
    };
    let [a, b, c] = ["a", "b", "c"];
    let a = Host::new(&authority, a, &address).await;
    let b = Host::new(&authority, b, &address).await;
    let c = Host::new(&authority, c, &address).await;
    a.ensure(&image).await.unwrap();
    assert_eq!(*a.images.held().borrow(), std::slice::from_ref(&digest));
    // Every server and registry is gone.
    serving.abort();
    let _ = serving.await;
    b.ensure(&image).await.unwrap_err();
    b.sent_to(&a, &digest, true);
    b.ensure(&image).await.unwrap();
    assert!(b.has_layer(&layer));
    assert_eq!(*b.images.held().borrow(), std::slice::from_ref(&digest));
    // One who is not named gets nothing, not even a document.
    c.sent_to(&a, &digest, false);
    let refused = c.ensure(&image).await.unwrap_err();
    assert!(!c.has_layer(&layer), "{refused}");
    // Nor does a member of another cluster, though it is named.
    let other = CertificateAuthority::create("north", jiff::Timestamp::now()).unwrap();
    let stranger = Host::new(&other, "s", &address).await;
    stranger.sent_to(&a, &digest, true);
    stranger.ensure(&image).await.unwrap_err();
    // Who was given it gives it on, and a host that shows another's certificate is not believed.
    c.sent_to(&b, &digest, true);
    let wrong = Source { host: a.name.clone(), address: b.address };
    c.neighbours.set_sources(BTreeMap::from([(digest.clone(), vec![wrong])]));
    c.ensure(&image).await.unwrap_err();
    c.sent_to(&b, &digest, true);
    c.ensure(&image).await.unwrap();
    for host in [a, b, c, stranger] {
        host.serving.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_host_gives_wrongly_is_not_taken() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root to unpack layers with their owners");
        return;
    }
    let authority = CertificateAuthority::create("north", jiff::Timestamp::now()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let store = ContentStore::open(scratch.path()).unwrap();
    let (manifest, layer) = make_image(&store, 300_000);
    let (address, serving) = registry(store).await;
    let digest: api::digest::Digest = manifest.to_string().parse().unwrap();
    let image = api::release::Image {
        registry: Some(address.clone()),
        repository: "t/app".into(),
        tag: None,
        digest: digest.clone(),
    };
    let a = Host::new(&authority, "a", &address).await;
    let b = Host::new(&authority, "b", &address).await;
    a.ensure(&image).await.unwrap();
    // The copy rots on the giver's disk.
    let kept = ContentStore::open(a.dir.path().join("documents")).unwrap();
    let path = kept.path(&layer);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    b.sent_to(&a, &digest, true);
    // The registry makes it good.
    b.ensure(&image).await.unwrap();
    assert!(b.has_layer(&layer));
    serving.abort();
    let _ = serving.await;
    let c = Host::new(&authority, "c", &address).await;
    c.sent_to(&a, &digest, true);
    c.ensure(&image).await.unwrap_err();
    assert!(!c.has_layer(&layer));
    for host in [a, b, c] {
        host.serving.abort();
    }
}
