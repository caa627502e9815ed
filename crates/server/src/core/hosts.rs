//! Hosts: their coming, and what operators decide about them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use api::error::{ApiError, ErrorCode};
use api::host::{DomainPath, Host, HostState};
use api::id::HostId;
use api::protocol::Place;
use api::vip::VirtualAddress;
use ipnet::Ipv4Net;

use super::vips::refuse_vip;
use super::{Change, Core, Kind};

/// The size of a host's part of the instances' range: 253 instances.
const HOST_PREFIX: u8 = 24;

impl Core {
    /// Makes sure that a host whose certificate was checked is known, and where it stands. The
    /// first time it gets the subnet that it asks for, when that is free, else the lowest free /24
    /// of the instances' range.
    ///
    /// # Errors
    /// When it was removed, its address is a virtual one, the range is used up, or the store
    /// refuses.
    pub async fn welcome(&self, name: &HostId, place: &Place) -> Result<(), ApiError> {
        loop {
            let view = self.view();
            if let Some(error) = self.removed_host(name) {
                return Err(error);
            }
            let row = view.hosts.get(name.as_str());
            // One that it has already was checked; the others' addresses are checked against it.
            let other = place.address.filter(|a| row.is_none_or(|row| row.address != *a));
            if let Some(address) = other {
                refuse_vip(&view, address)?;
            }
            if let Some(row) = row {
                let mut host = row.document.body.clone();
                settle(&mut host, place);
                if host == row.document.body {
                    return Ok(());
                }
                let (before, after) = (row.domain.clone(), host.domain.clone());
                let mut change = Change::new().update(row, host);
                if let Some(address) = other {
                    let vip = format!("{}{address}", VirtualAddress::PREFIX);
                    change = change.when(store::Compare::absent(vip));
                }
                match self.commit(change).await {
                    Err(error) if error.code == ErrorCode::Conflict => {
                        // It may be a virtual address that our view does not have yet.
                        self.wait_for(store::Revision(view.revision.0 + 1)).await;
                        continue;
                    }
                    Err(error) => return Err(error),
                    Ok(_) if before == after => return Ok(()),
                    Ok(_) => {
                        let message = moved(name, &before, &after);
                        self.tell_of(name, "host.moved", message);
                        return Ok(());
                    }
                }
            }
            let taken: Vec<Ipv4Net> = view.hosts.values().map(|row| row.subnet).collect();
            let subnet = first_subnet(self.instance_range, &taken, place.subnet);
            let Some(subnet) = subnet else {
                let message = format!("all subnets of {} are taken", self.instance_range);
                return Err(ApiError::new(ErrorCode::Blocked, message));
            };
            let mut host = Host {
                name: name.clone(),
                domain: DomainPath::default(),
                labels: BTreeMap::from([("ingress".to_owned(), "true".to_owned())]),
                subnet,
                address: Ipv4Addr::LOCALHOST,
                state: HostState::Ready,
                joined: self.now(),
                down_since: None,
            };
            settle(&mut host, place);
            // The key of the subnet keeps two hosts that join at once apart.
            let claim = format!("host-subnet/{subnet}");
            let claimed = store::Op::put(claim.clone(), name.to_string());
            let change =
                Change::new().create(&host).when(store::Compare::absent(claim)).then(claimed);
            match self.commit(change).await {
                Err(error) if error.code == ErrorCode::Conflict => {}
                other => return other.map(|_| ()),
            }
        }
    }

    /// Sets whether a host takes instances.
    ///
    /// # Errors
    /// When there is no such host.
    pub async fn set_host_state(&self, name: &HostId, state: HostState) -> Result<Host, ApiError> {
        self.change_host(name, |host| host.state = state).await
    }

    /// Sets a host's labels, whole.
    ///
    /// # Errors
    /// When there is no such host.
    pub async fn set_host_labels(
        &self,
        name: &HostId,
        labels: BTreeMap<String, String>,
    ) -> Result<Host, ApiError> {
        self.change_host(name, |host| host.labels = labels).await
    }

    async fn change_host(
        &self,
        name: &HostId,
        change: impl FnOnce(&mut Host),
    ) -> Result<Host, ApiError> {
        let view = self.view();
        let Some(row) = view.hosts.get(name.as_str()) else {
            return Err(ApiError::new(ErrorCode::NotFound, format!("there is no host {name}"))
                .hint("freehold host list"));
        };
        let mut host = row.document.body.clone();
        change(&mut host);
        if host != row.document.body {
            self.commit(Change::new().update(row, host.clone())).await?;
        }
        Ok(host)
    }
}

/// That a host stands elsewhere now.
fn moved(name: &HostId, before: &DomainPath, after: &DomainPath) -> String {
    let from = if before.levels().is_empty() { "nowhere".to_owned() } else { before.to_string() };
    format!("host {name} moved from failure domain {from} to {after}")
}

/// Takes over where a host says it stands.
fn settle(host: &mut Host, place: &Place) {
    if let Some(domain) = &place.domain {
        host.domain.clone_from(domain);
    }
    if let Some(address) = place.address {
        host.address = address;
    }
}

/// The subnet of a new host: what it asks for, when that is of the range's parts and free.
fn first_subnet(range: Ipv4Net, taken: &[Ipv4Net], asked: Option<Ipv4Net>) -> Option<Ipv4Net> {
    let prefix = HOST_PREFIX.max(range.prefix_len());
    let fits = |asked: &Ipv4Net| {
        asked.prefix_len() == prefix && range.contains(asked) && !taken.contains(&asked.trunc())
    };
    asked.filter(fits).map(|asked| asked.trunc()).or_else(|| free_subnet(range, taken))
}

/// The lowest /24 (or the whole range, when it is smaller) that no host has.
pub(super) fn free_subnet(range: Ipv4Net, taken: &[Ipv4Net]) -> Option<Ipv4Net> {
    let prefix = HOST_PREFIX.max(range.prefix_len());
    range.subnets(prefix).ok()?.find(|subnet| !taken.contains(subnet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_are_given_lowest_first_until_there_is_none() {
        let range: Ipv4Net = "10.9.0.0/23".parse().unwrap();
        let first = free_subnet(range, &[]).unwrap();
        assert_eq!(first.to_string(), "10.9.0.0/24");
        let second = free_subnet(range, &[first]).unwrap();
        assert_eq!(second.to_string(), "10.9.1.0/24");
        assert_eq!(free_subnet(range, &[first, second]), None);
        for (asked, given) in [
            ("10.9.1.0/24", "10.9.1.0/24"),
            ("10.9.0.0/24", "10.9.1.0/24"),
            ("10.9.0.0/23", "10.9.1.0/24"),
            ("10.8.1.0/24", "10.9.1.0/24"),
        ] {
            let given_now = first_subnet(range, &[first], Some(asked.parse().unwrap()));
            assert_eq!(given_now, Some(given.parse().unwrap()), "{asked}");
        }
        let small: Ipv4Net = "10.9.0.0/27".parse().unwrap();
        assert_eq!(free_subnet(small, &[]), Some(small));
    }
}
