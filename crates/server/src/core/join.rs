//! Machines that come into the cluster with a join token, and certificates that are renewed. Who
//! may come in is decided in `invite`; here it is written down and signed.

use api::error::{ApiError, ErrorCode};
use api::event::Event;
use api::host::{Host, HostState};
use api::id::HostId;
use api::join::{
    CLOCK_OFF_MAX, Handover, HandoverAnswer, HandoverRequest, HostJoinRequest, HostJoined,
    JoinRole, JoinTokenUse, RenewAnswer, RenewRequest, ServerJoinRequest, ServerJoined,
};
use api::protocol::SecretValue;
use ipnet::Ipv4Net;
use pki::{PeerIdentity, PeerRole, ServerNames, SigningRequest};

use super::hosts::free_subnet;
use super::invite::{Joiner, clocks_apart, invited, word};
use super::view::Row;
use super::vips::refuse_vip;
use super::{Change, Core, StoredJoinToken, StoredMember, View, member_name, store_error};
use crate::trust::Trust;

/// How often a change is tried again that others got ahead of: each time one of them is done.
const TRIES: usize = 50;

impl Core {
    /// Lets a machine in as a host.
    ///
    /// # Errors
    /// Why it may not come in; then nothing was written.
    pub async fn join_host(
        &self,
        trust: &Trust,
        request: HostJoinRequest,
    ) -> Result<HostJoined, ApiError> {
        let signing = read_request(&request.request_pem)?;
        let joiner = Joiner {
            token: &request.token,
            role: JoinRole::Host,
            name: request.name.as_str(),
            key: signing.key(),
            replace: request.replace,
            time: request.time,
        };
        let authority = trust.signs()?;
        let (name, none) = (request.name.as_str(), ServerNames::default());
        let certificate_pem =
            authority.sign_request(&signing, (PeerRole::Host, name), &none, trust.now());
        let certificate_pem = certificate_pem.map_err(|error| invalid(&error))?;
        let mut subnet = None;
        self.let_in(trust, &joiner, |view, change| {
            let row = view.hosts.get(name);
            let host = self.host_of(view, &request, row.map(AsRef::as_ref), trust)?;
            subnet = Some(host.subnet);
            Ok(match row {
                Some(row) => change.update(row, host),
                None => {
                    // The key of the subnet keeps two hosts that join at once apart.
                    let claim = format!("host-subnet/{}", host.subnet);
                    let claimed = store::Op::put(claim.clone(), name.to_owned());
                    change.create(&host).when(store::Compare::absent(claim)).then(claimed)
                }
            })
        })
        .await?;
        Ok(HostJoined {
            cluster: self.cluster.clone(),
            certificate_pem,
            authorities_pem: trust.bundle().to_pem(),
            servers: self.servers(),
            subnet: subnet.expect("who was let in has a subnet"),
            instance_range: self.instance_range,
            service_range: self.service_range,
        })
    }

    /// Lets a machine in as a server. What it needs besides it gets by its certificate.
    ///
    /// # Errors
    /// Why it may not come in; then nothing was written.
    pub async fn join_server(
        &self,
        trust: &Trust,
        request: ServerJoinRequest,
    ) -> Result<ServerJoined, ApiError> {
        let signing = read_request(&request.request_pem)?;
        let joiner = Joiner {
            token: &request.token,
            role: JoinRole::Server,
            name: request.name.as_str(),
            key: signing.key(),
            replace: request.replace,
            time: request.time,
        };
        // Before anything is said about the cluster.
        invited(&self.view(), &joiner, trust.timestamp())?;
        let etcd = trust.etcd.get();
        if etcd.is_empty() {
            let message = "the cluster's state is in SQLite, which one server alone can have";
            return Err(ApiError::new(ErrorCode::Blocked, message)
                .hint("move it to etcd first: freehold store move --help"));
        }
        let names = ServerNames { dns: request.dns_names, addresses: request.addresses };
        let who = (PeerRole::Server, request.name.as_str());
        let certificate_pem = trust.signs()?.sign_request(&signing, who, &names, trust.now());
        let certificate_pem = certificate_pem.map_err(|error| invalid(&error))?;
        self.let_in(trust, &joiner, |_, change| Ok(change)).await?;
        Ok(ServerJoined {
            cluster: self.cluster.clone(),
            certificate_pem,
            authorities_pem: trust.bundle().to_pem(),
            servers: self.servers(),
            instance_range: self.instance_range,
            service_range: self.service_range,
            https_port: self.https_port,
            etcd,
        })
    }

    /// Gives the cluster's keys to one of its servers, sealed for this request alone.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`] for everybody else.
    pub fn hand_over(
        &self,
        trust: &Trust,
        peer: Option<&PeerIdentity>,
        request: &HandoverRequest,
    ) -> Result<HandoverAnswer, ApiError> {
        let Some(peer) = peer.filter(|peer| peer.role() == PeerRole::Server) else {
            let message = "only a server with a certificate of the cluster may do this";
            return Err(ApiError::new(ErrorCode::Forbidden, message));
        };
        let (authority_pem, key) = trust.signs()?.export();
        let keys = Handover {
            authority_pem,
            authority_key_pem: SecretValue(key.to_string()),
            master_keys: SecretValue(self.keyring.export().to_string()),
        };
        let keys = serde_json::to_vec(&keys).expect("texts are JSON");
        let sealed = pki::hand_over(&request.public, &peer.to_string(), &keys);
        let sealed = sealed.map_err(|error| invalid(&error))?;
        tracing::info!(%peer, "handed the cluster's keys to a server");
        Ok(HandoverAnswer { sealed })
    }

    /// Signs a host's next certificate. That it holds the key of its last one, expired or not, is
    /// proof enough: the signature of the request is the proof, and the answer is of use to nobody
    /// who does not have the key.
    ///
    /// # Errors
    /// When the certificate is not one of ours or not this key's, or the host is gone or replaced.
    pub fn renew(&self, trust: &Trust, request: &RenewRequest) -> Result<RenewAnswer, ApiError> {
        let refuse = |message: String| ApiError::new(ErrorCode::Forbidden, message);
        let member = trust.bundle().member(&request.certificate_pem);
        let member = member.map_err(|error| refuse(error.to_string()))?;
        let signing = read_request(&request.request_pem)?;
        let (peer, name) = (&member.peer, member.peer.name());
        if peer.cluster() != self.cluster || peer.role() != PeerRole::Host {
            return Err(refuse(format!("renew {peer}: it is no host of this cluster")));
        }
        if signing.key() != member.key {
            let message =
                format!("renew the certificate of host {name}: the request has another key");
            return Err(refuse(message));
        }
        if !self.view().hosts.contains_key(name) || !self.admits(peer, &member.key.to_string()) {
            let message =
                format!("renew the certificate of host {name}: it was removed or replaced");
            return Err(refuse(message).hint("join again: freehold host token makes a token"));
        }
        self.note_clock(name, request, trust);
        let none = ServerNames::default();
        let signed =
            trust.signs()?.sign_request(&signing, (PeerRole::Host, name), &none, trust.now());
        tracing::info!(host = name, expired = ?member.validity.not_after, "renewed a certificate");
        Ok(RenewAnswer {
            certificate_pem: signed.map_err(|error| invalid(&error))?,
            authorities_pem: trust.bundle().to_pem(),
        })
    }

    /// Whether a member whose certificate was verified still is the one of that name: one that was
    /// removed, or whose place was taken, is not.
    #[must_use]
    pub fn admits(&self, peer: &PeerIdentity, key: &str) -> bool {
        self.unwelcome(peer, key).is_none()
    }

    /// Uses the token up and writes who came in, and what else `also` adds, at one revision.
    async fn let_in(
        &self,
        trust: &Trust,
        joiner: &Joiner<'_>,
        mut also: impl FnMut(&View, Change) -> Result<Change, ApiError>,
    ) -> Result<(), ApiError> {
        for _ in 0..TRIES {
            let view = self.view();
            let token = match invited(&view, joiner, trust.timestamp()) {
                Ok(token) => token,
                Err(error) => {
                    let (role, name) = (word(joiner.role), joiner.name);
                    let what = format!("refused {role} {name} with key {}: {error}", joiner.key);
                    self.refused("join.refused", name, &what);
                    return Err(error);
                }
            };
            let change = also(&view, use_up(&view, token, joiner, trust))?;
            match self.commit(change).await {
                // What got ahead is in the store; the next look shall show it.
                Err(error) if error.code == ErrorCode::Conflict => {
                    let status = self.store.status().await.map_err(|e| store_error(&e))?;
                    self.wait_for(status.revision).await;
                }
                Err(error) => return Err(error),
                Ok(_) => {
                    self.events.record(joined(joiner, trust));
                    return Ok(());
                }
            }
        }
        Err(ApiError::new(ErrorCode::Unavailable, "too many join at once; try again"))
    }

    /// The host that a request makes: a new one, or the same with what the request says anew.
    fn host_of(
        &self,
        view: &View,
        request: &HostJoinRequest,
        known: Option<&Row<Host>>,
        trust: &Trust,
    ) -> Result<Host, ApiError> {
        refuse_vip(view, request.address)?;
        if let Some(row) = known {
            let mut host = row.document.body.clone();
            host.address = request.address;
            host.domain = request.domain.clone();
            host.labels.extend(request.labels.clone());
            return Ok(host);
        }
        let taken: Vec<Ipv4Net> = view.hosts.values().map(|row| row.subnet).collect();
        let Some(subnet) = free_subnet(self.instance_range, &taken) else {
            let message = format!("all subnets of {} are taken", self.instance_range);
            return Err(ApiError::new(ErrorCode::Blocked, message));
        };
        Ok(Host {
            name: request.name.clone(),
            domain: request.domain.clone(),
            labels: request.labels.clone(),
            subnet,
            address: request.address,
            state: HostState::Ready,
            joined: trust.timestamp(),
            down_since: None,
        })
    }

    /// Where servers are reached: this one as far as it was told, and all that wrote themselves
    /// down.
    fn servers(&self) -> Vec<String> {
        let mut servers = vec![self.servers.address.clone()];
        for row in self.view().servers.values() {
            if !servers.contains(&row.address) {
                servers.push(row.address.clone());
            }
        }
        servers
    }

    /// Reports a clock that is off. After joining it is no reason to refuse anything.
    fn note_clock(&self, name: &str, request: &RenewRequest, trust: &Trust) {
        let now = trust.timestamp();
        let apart = clocks_apart(request.time, now);
        if apart > CLOCK_OFF_MAX {
            let message = format!("the clock of host {name} is off by {apart}");
            let host = HostId::new(name).ok();
            self.events.record(Event { host, ..event("host.clock_off", now, message) });
        }
    }
}

fn read_request(pem: &str) -> Result<SigningRequest, ApiError> {
    SigningRequest::from_pem(pem).map_err(|error| invalid(&error))
}

fn invalid(error: &dyn std::error::Error) -> ApiError {
    ApiError::new(ErrorCode::Invalid, error.to_string())
}

fn use_up(view: &View, token: &Row<StoredJoinToken>, joiner: &Joiner<'_>, trust: &Trust) -> Change {
    let (name, key, at) = (joiner.name.to_owned(), joiner.key.to_string(), trust.timestamp());
    let mut used = token.document.body.clone();
    used.token.used.get_or_insert(JoinTokenUse { name: name.clone(), key: key.clone(), at });
    let before = view.members.get(&member_name(joiner.role, &name));
    let member = StoredMember { role: joiner.role, name, key, joined: at, removed: None };
    Change::new().update(token, used).put(before.map(AsRef::as_ref), &member)
}

fn joined(joiner: &Joiner<'_>, trust: &Trust) -> Event {
    let (role, name) = (word(joiner.role), joiner.name);
    let (kind, what) = match joiner.replace {
        true => (format!("{role}.replaced"), "took the place of the one before"),
        false => (format!("{role}.joined"), "joined"),
    };
    let host = HostId::new(name).ok().filter(|_| joiner.role == JoinRole::Host);
    Event { host, ..event(&kind, trust.timestamp(), format!("{role} {name} {what}")) }
}

fn event(kind: &str, at: api::time::Timestamp, message: String) -> Event {
    Event {
        at,
        kind: kind.to_owned(),
        app: None,
        environment: None,
        release: None,
        instance: None,
        host: None,
        message,
    }
}
