//! Clients that others wrote, over TLS by the cluster's authority.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::Digest;
use image::manifest::Platform;
use image::pack::{Builder, Settings, Source};
use pki::{CertificateAuthority, ClientAuth, ServerNames, ServerTls, SwappableIdentity};
use server::oci::Options;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::world::{World, noise};

/// TLS for `axum::serve`.
struct Secured(TcpListener, TlsAcceptor);

impl axum::serve::Listener for Secured {
    type Io = tokio_rustls::server::TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.0.accept().await.unwrap();
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

struct Site {
    world: World,
    /// `127.0.0.1:PORT`
    host: String,
    scratch: tempfile::TempDir,
}

impl Site {
    /// The registry behind TLS, and a directory with the authority's certificate.
    async fn new() -> Self {
        pki::install_provider();
        let world = World::with(Options::default());
        let now = jiff::Timestamp::now();
        let authority = CertificateAuthority::create("test", now).unwrap();
        let addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        let names = ServerNames { dns: vec!["localhost".into()], addresses };
        let identity = authority.issue_server("s1", &names, now).unwrap();
        let config = pki::server_tls(&ServerTls {
            identity: SwappableIdentity::new(&identity).unwrap(),
            clients: ClientAuth::Optional(authority.bundle()),
            alpn: &[b"h2", b"http/1.1"],
            time: None,
        })
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let secured = Secured(listener, TlsAcceptor::from(std::sync::Arc::new(config)));
        let router = world.router();
        tokio::spawn(async move { axum::serve(secured, router).await });
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir(scratch.path().join("certs")).unwrap();
        std::fs::write(scratch.path().join("certs/ca.crt"), authority.bundle().to_pem()).unwrap();
        Self { world, host, scratch }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Builds an image with two layers and writes it as a layout.
    fn layout(&self, name: &str, seed: u64) -> Digest {
        let files = self.path(&format!("{name}-files"));
        std::fs::create_dir_all(&files).unwrap();
        std::fs::write(files.join("large"), noise(seed, 3_000_000)).unwrap();
        std::fs::write(files.join("small"), seed.to_string()).unwrap();
        let store = image::ContentStore::open(self.path(&format!("{name}-store"))).unwrap();
        let source =
            |from: &str, to: &str| Source { source: files.join(from), destination: to.to_owned() };
        let settings = Settings { entrypoint: Some(vec!["/small".into()]), ..Settings::default() };
        let built = Builder::new(None, Platform::host())
            .layer(vec![source("large", "/large")])
            .layer(vec![source("small", "/small")])
            .settings(settings)
            .build(&store)
            .unwrap();
        let images = [(Some("v1".to_owned()), built.digest)];
        image::layout::export_directory(&store, &images, &self.path(name)).unwrap();
        built.digest
    }
}

fn installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: needs {program}");
    }
    found
}

async fn run(site: &Site, program: &str, arguments: Vec<String>) -> Output {
    let (program, directory) = (program.to_owned(), site.scratch.path().to_owned());
    let shown = format!("{program} {}", arguments.join(" "));
    let work =
        move || Command::new(program).args(arguments).current_dir(directory).output().unwrap();
    let output = tokio::task::spawn_blocking(work).await.unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    println!("{shown}: {} {text}", output.status);
    output
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn digest_in_layout(layout: &Path) -> String {
    let index = std::fs::read(layout.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_copies_in_and_out() {
    if !installed("skopeo") {
        return;
    }
    let site = Site::new().await;
    let digest = site.layout("in", 1);
    let (host, certs) = (&site.host, site.path("certs").display().to_string());
    let layout = site.path("in").display().to_string();
    let push = format!(
        "copy --insecure-policy --dest-cert-dir {certs} --dest-creds anybody:admin oci:{layout}:v1 \
         docker://{host}/team/app:v1"
    );
    let wrong = push.replace("anybody:admin", "anybody:wrong");
    let refused = run(&site, "skopeo", words(&wrong)).await;
    assert!(!refused.status.success());
    let untrusting =
        run(&site, "skopeo", words(&push.replace(&format!("--dest-cert-dir {certs}"), ""))).await;
    assert!(!untrusting.status.success());
    assert!(run(&site, "skopeo", words(&push)).await.status.success());
    let found = site.world.registry.resolve("team/app", "v1").await.unwrap().unwrap();
    assert_eq!(found.digest, digest);
    let image = site.world.registry.config_of(digest).await.unwrap().unwrap().unwrap();
    assert_eq!((image.layers.len(), image.process.command()), (2, vec!["/small".to_owned()]));
    // Again: nothing to send. To another repository: mounted.
    assert!(run(&site, "skopeo", words(&push)).await.status.success());
    let elsewhere = push.replace("team/app:v1", "other/app:v2");
    assert!(run(&site, "skopeo", words(&elsewhere)).await.status.success());
    let out = site.path("out");
    let pull = format!(
        "copy --insecure-policy --src-cert-dir {certs} --src-creds anybody:reader \
         docker://{host}/team/app@{digest} oci:{}:v1",
        out.display()
    );
    assert!(run(&site, "skopeo", words(&pull)).await.status.success());
    assert_eq!(digest_in_layout(&out), digest.to_string());
    let list = format!("list-tags --cert-dir {certs} --creds x:reader docker://{host}/team/app");
    let tags = run(&site, "skopeo", words(&list)).await;
    assert!(String::from_utf8_lossy(&tags.stdout).contains("\"v1\""));
    let delete = format!("delete --cert-dir {certs} --creds x:admin docker://{host}/team/app:v1");
    assert!(run(&site, "skopeo", words(&delete)).await.status.success());
    assert_eq!(site.world.registry.resolve("team/app", "v1").await.unwrap(), None);
    assert!(site.world.registry.resolve("other/app", "v2").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_copies_an_index_whole_and_docker_formats() {
    if !installed("skopeo") {
        return;
    }
    let site = Site::new().await;
    site.layout("in", 2);
    let (host, certs) = (&site.host, site.path("certs").display().to_string());
    let layout = site.path("in").display().to_string();
    let push = format!(
        "copy --insecure-policy --format v2s2 --dest-cert-dir {certs} --dest-creds x:admin \
         oci:{layout}:v1 docker://{host}/docker/app:v1"
    );
    assert!(run(&site, "skopeo", words(&push)).await.status.success());
    let found = site.world.registry.resolve("docker/app", "v1").await.unwrap().unwrap();
    assert_eq!(found.media_type, "application/vnd.docker.distribution.manifest.v2+json");
    // From one repository to another, both here.
    let both = format!(
        "copy --insecure-policy --all --src-cert-dir {certs} --src-creds x:reader --dest-cert-dir \
         {certs} --dest-creds x:admin docker://{host}/docker/app:v1 docker://{host}/copy/app:v1"
    );
    assert!(run(&site, "skopeo", words(&both)).await.status.success());
    let copied = site.world.registry.resolve("copy/app", "v1").await.unwrap().unwrap();
    assert_eq!(copied.digest, found.digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn podman_logs_in_pushes_and_pulls() {
    if !installed("podman") {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root to keep podman's images in a directory of its own");
        return;
    }
    let site = Site::new().await;
    site.layout("in", 3);
    let (host, certs) = (&site.host, site.path("certs").display().to_string());
    let storage = format!(
        "--root {} --runroot {} --storage-driver vfs --log-level error",
        site.path("podman-root").display(),
        site.path("podman-run").display(),
    );
    let podman = |command: String| run(&site, "podman", words(&format!("{storage} {command}")));
    let auth = site.path("auth.json").display().to_string();
    let login = format!("login --authfile {auth} --cert-dir {certs} --username anybody");
    let bad = podman(format!("{login} --password wrong {host}")).await;
    assert!(!bad.status.success());
    assert!(podman(format!("{login} --password admin {host}")).await.status.success());
    // By a relative path: podman makes a name of it, which must be in lower case.
    let pulled = podman("pull --quiet oci:in:v1".to_owned()).await;
    assert!(pulled.status.success());
    let id = String::from_utf8(pulled.stdout).unwrap().trim().to_owned();
    let remote = format!("{host}/team/podman:v1");
    let access = format!("--authfile {auth} --cert-dir {certs}");
    let push = podman(format!("push {access} {id} docker://{remote}")).await;
    assert!(push.status.success());
    let found = site.world.registry.resolve("team/podman", "v1").await.unwrap().unwrap();
    let image = site.world.registry.config_of(found.digest).await.unwrap().unwrap().unwrap();
    assert_eq!(image.process.command(), ["/small"]);
    assert!(podman("rmi --all --force".to_owned()).await.status.success());
    let pull = podman(format!("pull --quiet {access} {remote}")).await;
    assert!(pull.status.success());
    assert_eq!(String::from_utf8(pull.stdout).unwrap().trim(), id);
    assert!(podman("rmi --all --force".to_owned()).await.status.success());
}
