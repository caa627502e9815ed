//! The way into the lab from the machine that carries it: a process that listens on the loopback
//! and passes connections to the servers. Nothing of the lab gets out by it. It sits in the lab's
//! network namespace, where `down` finds it.

use std::fs::OpenOptions;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use net::namespace::Namespace;
use rustix::thread::LinkNameSpaceType;
use serde::{Deserialize, Serialize};

use crate::directory::{Lab, read, write};
use crate::failure::LabError;
use crate::process::Process;

/// Connections at once: two threads each, 16 KiB of stack touched.
const MAX_CONNECTIONS: usize = 256;

/// How long a server may take to answer a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How long the door may take to open.
const OPEN_WITHIN: Duration = Duration::from_secs(10);

/// An open door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// One for each server, in the plan's order, on this machine's loopback.
    pub addresses: Vec<SocketAddr>,
    process: Process,
}

/// Opens the door, or finds it open; `arguments` of the binary `exe` lead to [`serve`].
pub(crate) fn ensure(lab: &Lab, exe: &Path, arguments: &[String]) -> Result<Door, LabError> {
    if let Some(door) = open(lab) {
        return Ok(door);
    }
    let path = lab.path("door.log");
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let log = log.map_err(LabError::file("open", &path))?;
    let failed = |source| LabError::System { doing: "open the lab's door".to_owned(), source };
    let mut child = Command::new(exe)
        .arg0("freehold")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let begin = Instant::now();
    loop {
        if let Some(door) = open(lab) {
            return Ok(door);
        }
        let ended = child.try_wait().map_err(failed)?;
        if ended.is_some() || begin.elapsed() > OPEN_WITHIN {
            let why = io::Error::other(format!("it ended or is late; see {}", path.display()));
            return Err(failed(why));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The door as it is now, if it is open.
pub(crate) fn open(lab: &Lab) -> Option<Door> {
    read::<Door>(&lab.path("door.json")).ok().filter(|door| door.process.is_alive())
}

/// Serves the door until the process is killed.
///
/// # Errors
/// It cannot listen, or there is no such lab.
pub fn serve(lab: &Lab) -> Result<(), LabError> {
    let failed = |source| LabError::System { doing: "listen on the loopback".to_owned(), source };
    let _ = rustix::process::setsid();
    let before = read::<Door>(&lab.path("door.json")).map(|door| door.addresses);
    let before = before.unwrap_or_default();
    let mut listeners = Vec::new();
    for (index, server) in lab.plan()?.servers().into_iter().enumerate() {
        let server: SocketAddr = server.parse().expect("a plan's servers are addresses");
        // The same port as before, when it is free, so that exported variables stay good.
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let wanted = before.get(index).copied().unwrap_or(any);
        let listener = TcpListener::bind(wanted).or_else(|_| TcpListener::bind(any));
        listeners.push((listener.map_err(failed)?, server));
    }
    let addresses: io::Result<Vec<SocketAddr>> =
        listeners.iter().map(|(listener, _)| listener.local_addr()).collect();
    let addresses = addresses.map_err(failed)?;
    let namespace = Namespace::open(&lab.namespace())?;
    // From here on this thread, and all that it starts, connects inside the lab.
    rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(LabError::system("enter the lab's network"))?;
    let own = i32::try_from(std::process::id()).ok().and_then(Process::of);
    let process = own.expect("this process runs");
    write(&lab.path("door.json"), &Door { addresses, process })?;
    // Machines alone have no servers: the door is there and leads nowhere.
    while listeners.is_empty() {
        std::thread::park();
    }
    let connections = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for (listener, server) in &listeners {
            let connections = connections.clone();
            scope.spawn(move || accept(listener, *server, &connections));
        }
    });
    Ok(())
}

fn accept(listener: &TcpListener, server: SocketAddr, connections: &Arc<AtomicUsize>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Out of descriptors, most likely.
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        if connections.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
            connections.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let counted = connections.clone();
        let serve = move || {
            if let Err(error) = pass(&stream, server) {
                eprintln!("{server}: {error}");
            }
            counted.fetch_sub(1, Ordering::Relaxed);
        };
        if std::thread::Builder::new().spawn(serve).is_err() {
            connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Passes bytes both ways until both ends are done.
fn pass(client: &TcpStream, server: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect_timeout(&server, CONNECT_WITHIN)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    std::thread::scope(|scope| {
        scope.spawn(|| one_way(client, &server));
        one_way(&server, client);
    });
    Ok(())
}

fn one_way(mut from: &TcpStream, mut to: &TcpStream) {
    // How a connection ended is for its two ends to know.
    let clean = io::copy(&mut from, &mut to).is_ok();
    let how = if clean { Shutdown::Write } else { Shutdown::Both };
    let _ = to.shutdown(how);
}
