//! A host rehearsed inside a network namespace, with an outside machine and instances.
//!
//! Everything runs on threads inside namespaces made here; the machine's own namespace is never
//! configured. Dropping the world removes its files and with them all namespaces and links.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ipnet::Ipv4Net;
use net::Slug;
use net::link::{Bridge, InstanceLink, attach, ensure_bridge};
use net::namespace::{self, Namespace};
use net::nft::{Base, Ruleset};

/// Answers here take microseconds; this is for a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long silence is listened to where a packet shall be dropped.
const SILENCE: Duration = Duration::from_millis(700);
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
pub(crate) const UPLINK: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root for network namespaces");
    }
    root
}

pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) host: Namespace,
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("instances")).unwrap();
        let host = Namespace::create(&directory.path().join("host"), &[]).unwrap();
        host.run(|| sh("ip link set lo up")).unwrap();
        Self { directory, host }
    }

    /// A machine beyond the host's uplink, that knows no way back to instances.
    pub(crate) fn outside(&self) -> Namespace {
        let outside = Namespace::create(&self.directory.path().join("outside"), &[]).unwrap();
        let path = outside.path().display().to_string();
        self.host
            .run(|| {
                sh("ip link add uplink type veth peer name far");
                let holder = format!("nsenter --net={path}");
                sh(&format!("ip link set far netns {path}"));
                sh(&format!("ip addr add {UPLINK}/24 dev uplink; ip link set uplink up"));
                sh(&format!("{holder} ip addr add {OUTSIDE}/24 dev far"));
                sh(&format!("{holder} ip link set far up; {holder} ip link set lo up"));
                sh(&format!("ip route add default via {OUTSIDE}"));
            })
            .unwrap();
        outside
    }

    pub(crate) fn instances(&self) -> PathBuf {
        self.directory.path().join("instances")
    }

    pub(crate) fn link(&self, base: &Base, number: u8) -> InstanceLink {
        let [a, b, c, _] = base.subnet.network().octets();
        InstanceLink {
            slug: base.slug.clone(),
            namespace: self.instances().join(format!("{}-{number}", base.slug)),
            address: Ipv4Addr::new(a, b, c, number),
            gateway: base.gateway(),
            mtu: 1500,
        }
    }

    pub(crate) fn attach(&self, base: &Base, number: u8) -> Namespace {
        let link = self.link(base, number);
        self.host.run(|| attach(&link).unwrap()).unwrap();
        Namespace::open(&link.namespace).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for directory in [self.instances(), self.directory.path().to_owned()] {
            for path in namespace::list(&directory).unwrap() {
                if path.is_file() {
                    namespace::delete(&path).unwrap();
                }
            }
        }
    }
}

pub(crate) fn base(slug: &str, third: u8) -> Base {
    Base {
        slug: Slug::new(slug).unwrap(),
        subnet: Ipv4Net::new(Ipv4Addr::new(10, third, 0, 0), 24).unwrap(),
        cluster: Ipv4Net::new(Ipv4Addr::new(10, third, 0, 0), 16).unwrap(),
        services: Ipv4Net::new(Ipv4Addr::new(10, third + 1, 0, 0), 16).unwrap(),
        tunnel: None,
    }
}

/// Bridge, forwarding and rules, inside the host.
pub(crate) fn install(world: &World, rules: &Ruleset) {
    let base = &rules.base;
    let address = Ipv4Net::new(base.gateway(), base.subnet.prefix_len()).unwrap();
    let bridge = Bridge { slug: base.slug.clone(), address, services: base.services, mtu: 1500 };
    world
        .host
        .run(|| {
            ensure_bridge(&bridge).unwrap();
            net::sysctl::ensure_forwarding().unwrap();
            net::nft::apply(&net::nft::render_full(rules)).unwrap();
        })
        .unwrap();
}

pub(crate) fn sh(script: &str) -> String {
    let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{script}: {text}");
    String::from_utf8(output.stdout).unwrap()
}

/// Serves TCP inside a namespace for the rest of the process: answers `name peer-address`.
pub(crate) fn serve(inside: &Namespace, at: impl Into<SocketAddr>, name: &'static str) {
    let at = at.into();
    let listener = inside.run(|| TcpListener::bind(at)).unwrap().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let peer = stream.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
            // The peer may have gone already.
            let _ = write!(stream, "{name} {peer}");
        }
    });
}

/// Answers each datagram inside a namespace for the rest of the process.
pub(crate) fn serve_udp(inside: &Namespace, at: SocketAddrV4, name: &'static str) {
    let socket = inside.run(|| UdpSocket::bind(at)).unwrap().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(name.as_bytes(), peer);
        }
    });
}

pub(crate) fn ask(inside: &Namespace, address: Ipv4Addr, port: u16) -> io::Result<String> {
    inside.run(|| ask_here(address, port)).unwrap()
}

/// Asks where silence is expected.
pub(crate) fn no_answer(inside: &Namespace, address: Ipv4Addr, port: u16) -> bool {
    inside.run(|| connect(address, port, SILENCE)).unwrap().is_err()
}

pub(crate) fn ask_here(address: Ipv4Addr, port: u16) -> io::Result<String> {
    let mut stream = connect(address, port, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn connect(address: Ipv4Addr, port: u16, within: Duration) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&SocketAddr::from((address, port)), within)
}

pub(crate) fn ask_udp(inside: &Namespace, address: Ipv4Addr, port: u16) -> io::Result<String> {
    inside
        .run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.connect((address, port))?;
            socket.send(b"?")?;
            let mut buffer = [0; 64];
            let length = socket.recv(&mut buffer)?;
            Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
        })
        .unwrap()
}
