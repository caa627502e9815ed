//! The listening sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use api::ingress::{IngressTable, TcpListen};
use proxy::control::{Listener, ListenerRole};
use rustix::net::sockopt::{set_ip_freebind, set_socket_reuseaddr, set_socket_reuseport};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

/// Connections that wait to be accepted: as many as the kernel allows by default (`somaxconn`).
const BACKLOG: i32 = 4096;

/// A port could not be had.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address} for the ingress")]
pub struct SocketError {
    /// Where.
    pub address: SocketAddr,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// The sockets by what they are for.
#[derive(Debug, Default)]
pub struct Sockets {
    open: BTreeMap<(u8, u16), (ListenerRole, OwnedFd)>,
    /// The port of the API, and its sockets by their address.
    gateway_port: u16,
    gateway: BTreeMap<IpAddr, OwnedFd>,
}

/// The TCP ports that a table's routes want.
#[must_use]
pub fn wanted_ports(table: &IngressTable) -> BTreeSet<u16> {
    let ports = table.tcp.iter().filter_map(|route| match route.listen {
        TcpListen::Port(port) => Some(port),
        TcpListen::Https => None,
    });
    ports.collect()
}

impl Sockets {
    /// None yet; those that a proxy had for the API are known by its port.
    #[must_use]
    pub fn new(gateway_port: u16) -> Self {
        Self { gateway_port, ..Self::default() }
    }

    /// Opens the API's sockets at exactly these addresses, as far as they can be had; gives the
    /// failures. An address need not be this host's at the moment.
    pub fn ensure_gateway(&mut self, addresses: &BTreeSet<IpAddr>) -> Vec<SocketError> {
        self.gateway.retain(|address, _| addresses.contains(address));
        let mut failures = Vec::new();
        for address in addresses.iter().filter(|_| self.gateway_port != 0) {
            if self.gateway.contains_key(address) {
                continue;
            }
            let at = SocketAddr::new(*address, self.gateway_port);
            match open_anywhere(at) {
                Ok(socket) => drop(self.gateway.insert(*address, socket)),
                Err(source) => failures.push(SocketError { address: at, source }),
            }
        }
        failures
    }

    /// Closes all of them.
    pub fn close(&mut self) {
        self.open.clear();
        self.gateway.clear();
    }

    /// Takes sockets back that a proxy had.
    pub fn adopt(&mut self, listeners: Vec<(Listener, OwnedFd)>) {
        for (listener, socket) in listeners {
            if listener.role == ListenerRole::Tcp(self.gateway_port) {
                self.gateway.insert(listener.address.ip(), socket);
                continue;
            }
            self.open.insert(key(listener.role), (listener.role, socket));
        }
    }

    /// Opens the socket for a role unless it is open at that address already.
    ///
    /// # Errors
    /// The address is taken or not there.
    pub fn ensure(&mut self, role: ListenerRole, address: SocketAddr) -> Result<(), SocketError> {
        if let Some((_, socket)) = self.open.get(&key(role))
            && address_of(socket).is_some_and(|bound| same(bound, address))
        {
            return Ok(());
        }
        self.open.remove(&key(role));
        let socket = open(address).map_err(|source| SocketError { address, source })?;
        self.open.insert(key(role), (role, socket));
        Ok(())
    }

    /// Opens the sockets for exactly these TCP ports beside http and https, as far as they can be
    /// had; gives the failures.
    pub fn ensure_ports(&mut self, host: IpAddr, ports: &BTreeSet<u16>) -> Vec<SocketError> {
        self.open.retain(|_, (role, _)| match role {
            ListenerRole::Tcp(port) => ports.contains(port),
            _ => true,
        });
        let each = ports.iter();
        each.filter_map(|port| {
            self.ensure(ListenerRole::Tcp(*port), SocketAddr::new(host, *port)).err()
        })
        .collect()
    }

    /// Keeps only these roles beside TCP ports.
    pub fn retain(&mut self, keep: impl Fn(ListenerRole) -> bool) {
        self.open.retain(|_, (role, _)| keep(*role));
    }

    /// All of them, to be handed over.
    #[must_use]
    pub fn all(&self) -> Vec<(ListenerRole, BorrowedFd<'_>)> {
        let gateway = ListenerRole::Tcp(self.gateway_port);
        let api = self.gateway.values().map(|socket| (gateway, socket.as_fd()));
        let routes = self.open.values().map(|(role, socket)| (*role, socket.as_fd()));
        routes.chain(api).collect()
    }

    /// Which are open.
    #[must_use]
    pub fn roles(&self) -> Vec<ListenerRole> {
        self.open.values().map(|(role, _)| *role).collect()
    }
}

fn key(role: ListenerRole) -> (u8, u16) {
    match role {
        ListenerRole::Http => (0, 0),
        ListenerRole::Https => (1, 0),
        ListenerRole::Tcp(port) => (2, port),
    }
}

fn open(address: SocketAddr) -> io::Result<OwnedFd> {
    listening(address, |_| Ok(()))
}

/// At an address that may come later. A server of this host that serves everywhere may share the
/// port: who asks for this address comes here, all others to the server.
fn open_anywhere(address: SocketAddr) -> io::Result<OwnedFd> {
    listening(address, |socket| {
        set_socket_reuseport(socket, true)?;
        if address.is_ipv4() {
            set_ip_freebind(socket, true)?;
        }
        Ok(())
    })
}

fn listening(
    address: SocketAddr,
    prepare: impl FnOnce(&OwnedFd) -> io::Result<()>,
) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    set_socket_reuseaddr(&socket, true)?;
    prepare(&socket)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn address_of(socket: &OwnedFd) -> Option<SocketAddr> {
    let copy = socket.try_clone().ok()?;
    TcpListener::from(copy).local_addr().ok()
}

/// Port 0 is whatever was given.
fn same(bound: SocketAddr, wanted: SocketAddr) -> bool {
    bound.ip() == wanted.ip() && (bound.port() == wanted.port() || wanted.port() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_stay_open_while_they_are_wanted() {
        let local = IpAddr::from([127, 0, 0, 1]);
        let mut sockets = Sockets::default();
        sockets.ensure(ListenerRole::Http, SocketAddr::new(local, 0)).unwrap();
        let bound = address_of(&sockets.open[&(0, 0)].1).unwrap();
        sockets.ensure(ListenerRole::Http, SocketAddr::new(local, 0)).unwrap();
        assert_eq!(address_of(&sockets.open[&(0, 0)].1), Some(bound));
        let mut other = Sockets::default();
        assert!(other.ensure(ListenerRole::Http, bound).is_err(), "the port is taken");
        let free = {
            let probe = TcpListener::bind((local, 0)).unwrap();
            probe.local_addr().unwrap().port()
        };
        assert!(sockets.ensure_ports(local, &BTreeSet::from([free])).is_empty());
        assert_eq!(sockets.roles(), [ListenerRole::Http, ListenerRole::Tcp(free)]);
        assert!(sockets.ensure_ports(local, &BTreeSet::new()).is_empty());
        assert_eq!(sockets.roles(), [ListenerRole::Http]);
    }

    #[test]
    fn the_api_is_served_at_addresses_that_come_later() {
        let later: IpAddr = "192.0.2.100".parse().unwrap();
        let free = {
            let probe = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            probe.local_addr().unwrap().port()
        };
        let mut sockets = Sockets::new(free);
        assert!(sockets.ensure_gateway(&BTreeSet::from([later])).is_empty());
        assert_eq!(sockets.all().len(), 1);
        let handed: Vec<(Listener, OwnedFd)> = sockets
            .all()
            .into_iter()
            .map(|(role, socket)| {
                let address = SocketAddr::new(later, free);
                (Listener { role, address }, socket.try_clone_to_owned().unwrap())
            })
            .collect();
        let mut next = Sockets::new(free);
        next.adopt(handed);
        drop(sockets);
        assert!(next.ensure_gateway(&BTreeSet::from([later])).is_empty(), "it is taken over");
        assert_eq!(next.all().len(), 1);
        assert!(next.ensure_gateway(&BTreeSet::new()).is_empty());
        assert_eq!(next.all().len(), 0);
        // A server at the same address does not share it.
        let server = TcpListener::bind(("127.0.0.1", free)).unwrap();
        let taken = next.ensure_gateway(&BTreeSet::from(["127.0.0.1".parse().unwrap()]));
        assert_eq!(taken[0].source.kind(), io::ErrorKind::AddrInUse);
        drop(server);
    }
}
