//! Virtual addresses: what operators decide about them, and what is shown of them. Who holds one is
//! agreed among its hosts; servers only say who may.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use api::error::{ApiError, ErrorCode};
use api::event::Event;
use api::host::Host;
use api::id::HostId;
use api::network::{VipKey, VipTable};
use api::protocol::SecretValue;
use api::registry::Registry;
use api::release::Image;
use api::vip::{VipCandidateView, VipChoice, VipHolder, VipRequest, VipView, VirtualAddress};
use plan::vip::{candidates, published};

use super::image::Held;
use super::{Change, Core, Kind, StoredVipKey, View};

/// The most addresses: every ingress host listens on those of its segment.
const MOST: usize = 64;

/// The most addresses in a server's certificate beside its own; it has room for a hundred names.
const MOST_NAMED: usize = 64;

impl Core {
    /// Makes a virtual address.
    ///
    /// # Errors
    /// When it exists, or nobody could hold it.
    pub async fn create_vip(&self, request: VipRequest) -> Result<VirtualAddress, ApiError> {
        let view = self.view();
        if view.vips.contains_key(&request.address.to_string()) {
            let message = format!("virtual address {} exists", request.address);
            return Err(ApiError::new(ErrorCode::Conflict, message)
                .hint(format!("freehold route vip set {} changes it", request.address)));
        }
        if view.vips.len() >= MOST {
            let message = format!("there are {MOST} virtual addresses: no more are possible");
            return Err(ApiError::new(ErrorCode::Blocked, message));
        }
        let VipRequest { address, segment, choice } = request;
        let vip = VirtualAddress { address, segment: segment.trunc(), choice, created: self.now() };
        self.check_vip(&view, &vip)?;
        let mut change = Change::new().create(&vip);
        if view.vip_keys.is_empty() {
            change = change.create(&self.new_vip_key()?);
        }
        self.commit(change).await?;
        self.tell_vip("vip.added", format!("virtual address {address} of {segment} was added"));
        Ok(vip)
    }

    /// Changes who may hold a virtual address, and who is preferred.
    ///
    /// # Errors
    /// When there is none, or nobody could hold it.
    pub async fn put_vip(
        &self,
        address: Ipv4Addr,
        choice: VipChoice,
    ) -> Result<VirtualAddress, ApiError> {
        let view = self.view();
        let row = view.vips.get(&address.to_string()).ok_or_else(|| unknown(address))?;
        let vip = VirtualAddress { choice, ..row.document.body.clone() };
        self.check_vip(&view, &vip)?;
        self.commit(Change::new().update(row, vip.clone())).await?;
        self.tell_vip("vip.changed", format!("who may hold virtual address {address} was changed"));
        Ok(vip)
    }

    /// Removes a virtual address: who holds it gives it up.
    ///
    /// # Errors
    /// When there is none.
    pub async fn delete_vip(&self, address: Ipv4Addr) -> Result<(), ApiError> {
        let view = self.view();
        let row = view.vips.get(&address.to_string()).ok_or_else(|| unknown(address))?;
        self.commit(Change::new().delete(row)).await?;
        self.tell_vip("vip.removed", format!("virtual address {address} was removed"));
        Ok(())
    }

    /// All virtual addresses, with who holds each.
    #[must_use]
    pub fn vips(&self) -> Vec<VipView> {
        let view = self.view();
        let hosts = hosts(&view);
        let mut vips: Vec<VipView> =
            view.vips.values().map(|row| self.vip_view(&row.document.body, &hosts)).collect();
        vips.sort_by_key(|view| view.vip.address);
        vips
    }

    /// One virtual address, with who holds it.
    ///
    /// # Errors
    /// When there is none.
    pub fn vip(&self, address: Ipv4Addr) -> Result<VipView, ApiError> {
        let view = self.view();
        let row = view.vips.get(&address.to_string()).ok_or_else(|| unknown(address))?;
        Ok(self.vip_view(&row.document.body, &hosts(&view)))
    }

    /// What ingress hosts are to know, with generation 0. Without a key, nothing can be held.
    #[must_use]
    pub fn vip_table(&self, view: &View) -> VipTable {
        let vips = published(view.vips.values().map(|row| &row.document.body), &hosts(view));
        let key = match view.vip_keys.values().next() {
            Some(row) => self.open(&row.key(), 1, &row.sealed),
            None => Ok(SecretValue(String::new())),
        };
        let key = key.unwrap_or_else(|error| {
            tracing::error!(%error, "open the key of virtual addresses");
            SecretValue(String::new())
        });
        VipTable { vips, key: VipKey(key.0), ..VipTable::default() }
    }

    /// Where the ingress is reached: the virtual addresses of all segments; where there is none,
    /// the hosts that serve it. Sorted.
    #[must_use]
    pub fn entries(&self, view: &View) -> Vec<Ipv4Addr> {
        let mut all: Vec<Ipv4Addr> = view.vips.values().map(|row| row.address).collect();
        if all.is_empty() {
            all = ingress_hosts(view).map(|host| host.address).collect();
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The addresses that servers' certificates name beside their own: the virtual ones, then those
    /// of the hosts that serve the ingress, as many as fit.
    #[must_use]
    pub fn entry_addresses(&self, view: &View) -> BTreeSet<IpAddr> {
        let vips: BTreeSet<Ipv4Addr> = view.vips.values().map(|row| row.address).collect();
        let hosts: BTreeSet<Ipv4Addr> = ingress_hosts(view).map(|host| host.address).collect();
        let all = vips.iter().chain(hosts.difference(&vips));
        all.take(MOST_NAMED).map(|address| IpAddr::V4(*address)).collect()
    }

    /// Pins an image reference to its content, see [`super::Resolver::pin`]. The cluster's own
    /// registry may be written by every address at which it answers.
    ///
    /// # Errors
    /// Those of [`super::Resolver::pin`].
    pub async fn pin(
        &self,
        reference: &str,
        registries: &[Registry],
    ) -> Result<(Image, Option<Held>), ApiError> {
        let view = self.view();
        self.resolver.pin(reference, registries, |host| is_own_registry(&view, host)).await
    }

    fn vip_view(&self, vip: &VirtualAddress, hosts: &[&Host]) -> VipView {
        let holders = self.agents.gathered.holders(vip.address);
        let mut candidates = candidates(vip, hosts);
        candidates.sort_by_key(|c| std::cmp::Reverse((c.priority, c.address)));
        let candidates: Vec<VipCandidateView> = candidates
            .into_iter()
            .map(|c| VipCandidateView {
                connected: self.agents.gathered.is_connected(&c.host),
                host: c.host,
                priority: c.priority,
            })
            .collect();
        let holders = holders.into_iter().map(|(host, since)| VipHolder { host, since });
        let holders: Vec<VipHolder> = holders.collect();
        let problem = problem(vip, &candidates, &holders, hosts);
        VipView { vip: vip.clone(), holders, candidates, problem }
    }

    fn check_vip(&self, view: &View, vip: &VirtualAddress) -> Result<(), ApiError> {
        let invalid = |message: String| Err(ApiError::new(ErrorCode::Invalid, message));
        if let Some(problem) = vip.problem() {
            return invalid(problem);
        }
        let address = vip.address;
        for (range, what) in [(self.instance_range, "instances"), (self.service_range, "services")]
        {
            if range.contains(&address) {
                return invalid(format!("{address} is of {range}, where {what} have addresses"));
            }
        }
        if let Some(host) = view.hosts.values().find(|host| host.address == address) {
            return invalid(format!("{address} is the address of host {}", host.name));
        }
        let at = |server: &str| {
            let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
            host.parse() == Ok(address)
        };
        if let Some(server) = view.servers.values().find(|server| at(&server.address)) {
            return invalid(format!("{address} is the address of server {}", server.name));
        }
        for host in vip.choice.hosts.iter().chain(&vip.choice.prefer) {
            let Some(row) = view.hosts.get(host.as_str()) else {
                let message = format!("there is no host {host}");
                return Err(ApiError::new(ErrorCode::Invalid, message).hint("freehold host list"));
            };
            if !vip.segment.contains(&row.address) {
                let message =
                    format!("host {host} has address {}, not of {}", row.address, vip.segment);
                return Err(ApiError::new(ErrorCode::Invalid, message)
                    .hint("an address can only move between hosts of its own network"));
            }
        }
        Ok(())
    }

    fn new_vip_key(&self) -> Result<StoredVipKey, ApiError> {
        // Its secret is 32 random bytes in hexadecimal.
        let value = SecretValue(pki::mint().0.reveal().to_string());
        let path = format!("{}{}", StoredVipKey::PREFIX, StoredVipKey::NAME);
        Ok(StoredVipKey { sealed: self.seal(&path, 1, &value)? })
    }

    fn tell_vip(&self, kind: &str, message: String) {
        self.events.record(Event {
            at: self.now(),
            kind: kind.to_owned(),
            app: None,
            environment: None,
            release: None,
            instance: None,
            host: None,
            message,
        });
    }
}

/// Whether an image reference's host is one of the places where the cluster's registry answers.
fn is_own_registry(view: &View, host: &str) -> bool {
    let mut servers = view.servers.values();
    if servers.any(|server| server.address == host) {
        return true;
    }
    let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
    let port_of = |address: &str| address.rsplit_once(':').is_some_and(|(_, its)| its == port);
    match name.parse::<Ipv4Addr>() {
        Ok(_) if view.vips.contains_key(name) => true,
        Ok(ip) if ingress_hosts(view).any(|host| host.address == ip) => {
            view.servers.values().any(|server| port_of(&server.address))
        }
        _ => false,
    }
}

/// Refuses a host that would have a virtual address as its own.
pub(super) fn refuse_vip(view: &View, address: Ipv4Addr) -> Result<(), ApiError> {
    if !view.vips.contains_key(&address.to_string()) {
        return Ok(());
    }
    let message = format!("{address} is a virtual address of the cluster, not a host's own");
    Err(ApiError::new(ErrorCode::Invalid, message).hint("give the host's own: --address IP"))
}

/// Refuses a server that others would reach at a virtual address: they would meet whichever server
/// its holder passes them on to.
pub(super) fn refuse_vip_of_server(view: &View, address: &str) -> Result<(), ApiError> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    if !view.vips.contains_key(host) {
        return Ok(());
    }
    let message = format!("{host} is a virtual address of the cluster, not a server's own");
    Err(ApiError::new(ErrorCode::Invalid, message)
        .hint("give where this server alone is reached: --address HOST:PORT"))
}

/// The hosts that serve the ingress.
pub(crate) fn ingress_hosts(view: &View) -> impl Iterator<Item = &Host> {
    view.hosts.values().map(|row| &row.document.body).filter(|host| host.serves_ingress())
}

/// Whether a host serves the ingress.
pub(crate) fn serves_ingress(view: &View, host: &HostId) -> bool {
    view.hosts.get(host.as_str()).is_some_and(|row| row.serves_ingress())
}

fn hosts(view: &View) -> Vec<&Host> {
    view.hosts.values().map(|row| &row.document.body).collect()
}

fn unknown(address: Ipv4Addr) -> ApiError {
    let message = format!("there is no virtual address {address}");
    ApiError::new(ErrorCode::NotFound, message).hint("freehold route vip list")
}

fn problem(
    vip: &VirtualAddress,
    candidates: &[VipCandidateView],
    holders: &[VipHolder],
    hosts: &[&Host],
) -> Option<String> {
    let segment = vip.segment;
    if candidates.is_empty() {
        let near = hosts.iter().any(|host| segment.contains(&host.address));
        return Some(match near {
            true => "no host of its segment that was chosen serves the ingress".to_owned(),
            false => format!("no host has an address of {segment}"),
        });
    }
    if let [only] = candidates {
        return Some(format!("only host {} can hold it", only.host));
    }
    match holders {
        [] if candidates.iter().all(|candidate| !candidate.connected) => {
            Some("none of its hosts is connected: who holds it is not known".to_owned())
        }
        [] => Some("no connected host holds it".to_owned()),
        [_] => None,
        _ => Some("more than one host says that it holds it".to_owned()),
    }
}
