//! Kernel settings under `/proc/sys/net`, which show the calling thread's network namespace.
//!
//! Writes only what differs. It must not touch settings of links that are not ours, except through
//! [`ensure_forwarding`], which says what it did.

use std::fs;
use std::io;
use std::path::Path;

use thiserror::Error;

/// A kernel setting could not be read or written.
#[derive(Debug, Error)]
#[error("{doing} kernel setting {name}")]
pub struct SysctlError {
    doing: &'static str,
    name: String,
    #[source]
    source: io::Error,
}

/// One setting: its path beneath `/proc/sys`, the value wanted, and whether a kernel without it is
/// fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sysctl {
    /// Path beneath `/proc/sys`, with slashes.
    pub name: &'static str,
    /// The value to be written.
    pub value: &'static str,
    /// `true` when a kernel that lacks the setting (IPv6 compiled out) needs no such value.
    pub optional: bool,
}

/// What every instance's namespace gets: any user may bind low ports and send ICMP echo requests;
/// no IPv6 on the instance's link (the platform's network is IPv4, and a link-local address would
/// be a way around the filter; `::1` stays); redirects are not believed.
pub const INSTANCE: &[Sysctl] = &[
    Sysctl { name: "net/ipv4/ip_unprivileged_port_start", value: "0", optional: false },
    Sysctl { name: "net/ipv4/ping_group_range", value: "0\t2147483647", optional: false },
    Sysctl { name: "net/ipv6/conf/default/disable_ipv6", value: "1", optional: true },
    Sysctl { name: "net/ipv4/conf/all/accept_redirects", value: "0", optional: false },
    Sysctl { name: "net/ipv4/conf/default/accept_redirects", value: "0", optional: false },
];

/// What [`ensure_forwarding`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarding {
    /// The host forwarded IPv4 already.
    AlreadyOn,
    /// It did not; now it does. The operator should be told, since it concerns the whole host.
    TurnedOn,
}

/// Sets each of `settings` in the calling thread's network namespace.
///
/// # Errors
/// When a setting cannot be written, or a required one does not exist.
pub fn apply(settings: &[Sysctl]) -> Result<(), SysctlError> {
    for setting in settings {
        match ensure(setting.name, setting.value) {
            Err(error) if setting.optional && error.source.kind() == io::ErrorKind::NotFound => {}
            result => result.map(drop)?,
        }
    }
    Ok(())
}

/// Turns IPv4 forwarding on for the whole host, without which no packet leaves an instance.
///
/// # Errors
/// When the setting cannot be read or written.
pub fn ensure_forwarding() -> Result<Forwarding, SysctlError> {
    match ensure("net/ipv4/ip_forward", "1")? {
        true => Ok(Forwarding::TurnedOn),
        false => Ok(Forwarding::AlreadyOn),
    }
}

/// The value of a setting, trimmed.
///
/// # Errors
/// When it cannot be read, also because the kernel has no such setting.
pub fn read(name: &str) -> Result<String, SysctlError> {
    fs::read_to_string(Path::new("/proc/sys").join(name))
        .map(|text| text.trim().to_owned())
        .map_err(|source| SysctlError { doing: "reading", name: name.to_owned(), source })
}

/// Settings of a link that faces instances: it forwards, never routes to loopback, sends and
/// believes no redirects (all traffic between instances passes the host on purpose), and has no
/// IPv6.
pub(crate) fn apply_port(link: &str) -> Result<(), SysctlError> {
    for (setting, value) in [
        ("forwarding", "1"),
        ("route_localnet", "0"),
        ("send_redirects", "0"),
        ("accept_redirects", "0"),
    ] {
        ensure(&format!("net/ipv4/conf/{link}/{setting}"), value)?;
    }
    match ensure(&format!("net/ipv6/conf/{link}/disable_ipv6"), "1") {
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map(drop),
    }
}

/// Writes a setting unless it has the value; `true` when it was written.
fn ensure(name: &str, value: &str) -> Result<bool, SysctlError> {
    if read(name)? == value {
        return Ok(false);
    }
    fs::write(Path::new("/proc/sys").join(name), value).map_err(|source| SysctlError {
        doing: "writing",
        name: name.to_owned(),
        source,
    })?;
    Ok(true)
}
