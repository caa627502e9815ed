//! The whole plumbing of one instance, and its undo.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::LinkError;
use crate::namespace::{self, Namespace, NamespaceError};
use crate::netlink::{Link, RouteSocket, Veth};
use crate::slug::{host_mac, instance_mac, port_address, port_name};
use crate::{Slug, sysctl};

/// Name of the link inside every instance.
const INSIDE: &str = "eth0";
/// A port starts at once where asking for it makes the kernel catch up (since 6.8), else within its
/// link watch's period of at most one second: 2,000 × 1 ms is twice that.
const RUNNING_TRIES: u32 = 2000;
const RUNNING_PAUSE: Duration = Duration::from_millis(1);

/// The wanted link of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceLink {
    /// Whose instance.
    pub slug: Slug,
    /// File for the instance's namespace, in a directory that exists.
    pub namespace: PathBuf,
    /// The instance's address, inside the bridge's subnet.
    pub address: Ipv4Addr,
    /// The bridge's address.
    pub gateway: Ipv4Addr,
    /// Largest packet in bytes; not above the bridge's.
    pub mtu: u32,
}

/// What [`attach`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Name of the host's end.
    pub port: String,
    /// `true` when namespace and link were there and right, and nothing was made anew.
    pub adopted: bool,
}

/// A host's end of an instance's link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The instance's address.
    pub address: Ipv4Addr,
}

/// Makes an instance's namespace with its kernel settings, loopback up, and a link with its address
/// and default route; or adopts what is already right and mends the rest. Safe from many threads at
/// once for different instances.
///
/// # Errors
/// When there is no bridge or the kernel refuses; a namespace made by this call is removed then.
pub fn attach(wanted: &InstanceLink) -> Result<Attached, LinkError> {
    let port = port_name(wanted.address);
    let mut host = RouteSocket::open()?;
    let bridge = wanted.slug.bridge();
    if host.link(&bridge)?.is_none() {
        return Err(LinkError::NoBridge { bridge, address: wanted.address });
    }
    let connection = Connection { wanted, port: &port };
    match Namespace::open(&wanted.namespace) {
        Ok(existing) => {
            let adopted = connection.adopt(&mut host, &existing)?;
            return Ok(Attached { port, adopted });
        }
        // An interrupted creation may have left an ordinary file.
        Err(NamespaceError::NotThere { .. }) => namespace::delete(&wanted.namespace)?,
        Err(error) => return Err(error.into()),
    }
    let inside = |own: BorrowedFd<'_>| {
        connection.make_veth(&mut host, own)?;
        connection.configure_inside()
    };
    let (_, result) = Namespace::create_and(&wanted.namespace, sysctl::INSTANCE, inside)?;
    if let Err(error) = result.and_then(|()| connection.finish(&mut host)) {
        if let Err(second) = detach(&wanted.namespace, wanted.address) {
            tracing::warn!(address = %wanted.address, error = %second, "undoing an attachment");
        }
        return Err(error);
    }
    Ok(Attached { port, adopted: false })
}

/// Removes an instance's link and namespace; what is already gone is fine.
///
/// # Errors
/// The first thing the kernel refused, after everything was tried.
pub fn detach(namespace: &Path, address: Ipv4Addr) -> Result<(), LinkError> {
    let link = RouteSocket::open().and_then(|mut host| host.delete_link(&port_name(address)));
    let file = namespace::delete(namespace);
    link?;
    file?;
    Ok(())
}

/// The ports of an installation, whether its bridge is there or not.
///
/// # Errors
/// When the kernel refuses to list links.
pub fn ports(slug: &Slug) -> Result<Vec<Port>, LinkError> {
    let group = slug.link_group();
    let links = RouteSocket::open()?.links()?;
    let port = |link: Link| Some(Port { address: port_address(&link.name)?, name: link.name });
    Ok(links.into_iter().filter(|link| link.group == group).filter_map(port).collect())
}

/// Removes every port, the namespaces in `directory` and the bridge of an installation.
///
/// # Errors
/// The first thing the kernel refused, after everything was tried.
pub fn remove_all(slug: &Slug, directory: &Path) -> Result<(), LinkError> {
    let mut first = Ok(());
    let mut keep = |result: Result<(), LinkError>| {
        if first.is_ok() {
            first = result;
        }
    };
    match ports(slug) {
        Ok(ports) => {
            for port in ports {
                let gone = RouteSocket::open().and_then(|mut host| host.delete_link(&port.name));
                keep(gone.map(drop).map_err(LinkError::from));
            }
        }
        Err(error) => keep(Err(error)),
    }
    match namespace::list(directory) {
        Ok(paths) => {
            for path in paths {
                keep(namespace::delete(&path).map_err(LinkError::from));
            }
        }
        Err(error) => keep(Err(error.into())),
    }
    keep(super::delete_bridge(slug));
    first
}

/// One attachment under way: the wish and what was found out about the host.
#[derive(Debug, Clone, Copy)]
struct Connection<'a> {
    wanted: &'a InstanceLink,
    port: &'a str,
}

impl Connection<'_> {
    /// Makes the pair; a leftover of the same name, whose other end is elsewhere, is replaced.
    fn make_veth(
        &self,
        host: &mut RouteSocket,
        namespace: BorrowedFd<'_>,
    ) -> Result<(), LinkError> {
        let veth = Veth {
            name: self.port,
            mac: host_mac(self.wanted.address),
            group: self.wanted.slug.link_group(),
            mtu: self.wanted.mtu,
            peer_name: INSIDE,
            peer_mac: instance_mac(self.wanted.address),
            peer_namespace: namespace,
        };
        let mut index = host.create_veth(&veth)?;
        if index.is_none() {
            host.delete_link(self.port)?;
            index = host.create_veth(&veth)?;
        }
        let index = index.ok_or(LinkError::Vanished { address: self.wanted.address })?;
        host.set_host_route(index, self.wanted.address, self.wanted.gateway)?;
        Ok(())
    }

    /// Addresses the instance's end; runs inside the instance's namespace.
    fn configure_inside(&self) -> Result<(), LinkError> {
        let mut inside = RouteSocket::open()?;
        let link = inside.bring_up(INSIDE, self.wanted.mtu)?;
        let link = link.ok_or(LinkError::Vanished { address: self.wanted.address })?;
        inside.set_host_address(link.index, self.wanted.address, self.wanted.gateway)?;
        Ok(())
    }

    /// Settings of the port, which only the host's side can make, and the wait until it sends: the
    /// kernel starts it a moment after the other end came up and drops what is sent until then.
    fn finish(&self, host: &mut RouteSocket) -> Result<(), LinkError> {
        sysctl::apply_port(self.port)?;
        for _ in 0..RUNNING_TRIES {
            match host.link(self.port)? {
                Some(link) if link.running => return Ok(()),
                Some(_) => std::thread::sleep(RUNNING_PAUSE),
                None => return Err(LinkError::Vanished { address: self.wanted.address }),
            }
        }
        Err(LinkError::NotRunning { address: self.wanted.address })
    }

    /// Checks both ends of an existing attachment and mends what is not as wanted. `true` when the
    /// link stayed.
    fn adopt(&self, host: &mut RouteSocket, namespace: &Namespace) -> Result<bool, LinkError> {
        let outside = host.link(self.port)?;
        let inner = namespace.run(|| -> Result<Option<Link>, LinkError> {
            sysctl::apply(sysctl::INSTANCE)?;
            let mut inside = RouteSocket::open()?;
            let link = inside.bring_up(INSIDE, self.wanted.mtu)?;
            if let Some(link) = &link {
                let whole = ipnet::Ipv4Net::new_assert(self.wanted.address, 32);
                for (index, address) in inside.addresses()? {
                    if index == link.index && address != whole {
                        inside.remove_address(index, address)?;
                    }
                }
            }
            Ok(link)
        })??;
        let right = outside.is_some()
            && inner.as_ref().is_some_and(|link| link.mac == instance_mac(self.wanted.address));
        let Some(outside) = outside.filter(|_| right) else {
            host.delete_link(self.port)?;
            namespace.run(|| self.replace_inside(host, namespace))??;
            self.finish(host)?;
            return Ok(false);
        };
        let group = self.wanted.slug.link_group();
        let mtu = self.wanted.mtu;
        if outside.group != group || !outside.up || outside.mtu != mtu {
            host.regroup(outside.index, group, mtu)?;
        }
        host.set_host_route(outside.index, self.wanted.address, self.wanted.gateway)?;
        namespace.run(|| self.configure_inside())??;
        self.finish(host)?;
        Ok(true)
    }

    /// A new pair for a namespace whose link is gone or foreign; runs inside it.
    fn replace_inside(
        &self,
        host: &mut RouteSocket,
        namespace: &Namespace,
    ) -> Result<(), LinkError> {
        RouteSocket::open()?.delete_link(INSIDE)?;
        self.make_veth(host, namespace.as_fd())?;
        self.configure_inside()
    }
}
