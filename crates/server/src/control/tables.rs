//! Publishing: what agents are sent, whole, when it changed or when they do not have it yet.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use api::id::{Generation, HostId};
use api::ingress::Certificate;
use api::manifest::Spec;
use api::protocol::Down;
use api::time::Timestamp;
use bytes::Bytes;
use plan::acknowledge::Tracker;
use plan::snapshot::Snapshot;
use plan::tables::{Tables, finish, tables};

use crate::core::{Core, Kind, SpecKey, View};

/// Publishes tables and assignments, and tracks who has them.
pub(super) struct Publisher {
    pub(super) tracker: Tracker,
    generation: Generation,
    last: Option<Tables>,
    certificates: (u64, Vec<Certificate>),
}

impl Publisher {
    /// Generations of a later term are above those of all earlier ones.
    pub(super) fn new(term: u64) -> Self {
        Self {
            tracker: Tracker::default(),
            generation: Generation(term << 32),
            last: None,
            certificates: (0, Vec::new()),
        }
    }

    /// Makes the tables of a snapshot, and sends them where they are not yet.
    pub(super) fn publish(
        &mut self,
        core: &Core,
        view: &View,
        snapshot: &Snapshot,
        now: Timestamp,
    ) {
        let alive = snapshot.hosts.values().filter(|host| !host.is_down());
        self.tracker.set_hosts(alive.map(|host| &host.name), now);
        for (host, acknowledge) in core.agents.acknowledged() {
            self.tracker.acknowledge(&host, acknowledge, now);
        }
        self.read_certificates(core, view);
        let mut new = tables(snapshot);
        new.ingress.https_port = core.https_port;
        finish(&mut new, self.generation, self.certificates.1.clone());
        if self.last.as_ref() != Some(&new) {
            self.generation = self.generation.next();
            new.network.generation = self.generation;
            new.ingress.generation = self.generation;
            self.tracker.publish(self.generation, &new.serving, now);
            self.last = Some(new);
        }
        self.send_tables(core, view);
    }

    /// Opens the keys of certificates when one of them changed.
    fn read_certificates(&mut self, core: &Core, view: &View) {
        let mut digest = DefaultHasher::new();
        for row in view.certificates.values() {
            (&row.certificate.name, row.revision.0).hash(&mut digest);
        }
        let digest = digest.finish();
        if self.certificates.0 == digest {
            return;
        }
        let mut certificates = Vec::with_capacity(view.certificates.len());
        for row in view.certificates.values() {
            match core.open(&row.key(), 1, &row.sealed) {
                Ok(key) => certificates.push(Certificate {
                    hosts: row.certificate.hosts.clone(),
                    cert_chain_pem: row.certificate.chain_pem.clone(),
                    key_pem: key.0,
                }),
                Err(error) => tracing::error!(name = row.certificate.name, %error, "open a key"),
            }
        }
        self.certificates = (digest, certificates);
    }

    fn send_tables(&self, core: &Core, view: &View) {
        let Some(last) = &self.last else { return };
        let (registries, digest) = core.registries(view);
        let mut network: Option<Bytes> = None;
        let mut ingress: Option<Bytes> = None;
        for (host, sent) in core.agents.sent() {
            if sent.registries != Some(digest) {
                let down = Down::Registries { registries: registries.clone() };
                core.agents.send(&host, &down, |sent| sent.registries = Some(digest));
            }
            if sent.tables == Some(self.generation) {
                continue;
            }
            let serves = view.hosts.get(host.as_str()).is_some_and(|host| {
                host.labels.get("ingress").is_some_and(|label| label == "true")
            });
            if serves {
                let frame =
                    ingress.get_or_insert_with(|| encode(&Down::Ingress(last.ingress.clone())));
                core.agents.send_encoded(&host, frame.clone(), |_| {});
            }
            let frame = network.get_or_insert_with(|| encode(&Down::Network(last.network.clone())));
            let generation = self.generation;
            core.agents.send_encoded(&host, frame.clone(), |sent| sent.tables = Some(generation));
        }
    }

    /// Sends hosts their assignments where they do not have them yet.
    pub(super) fn assign(&self, core: &Core, view: &View, specs: &BTreeMap<SpecKey, Arc<Spec>>) {
        for (host, sent) in core.agents.sent() {
            let assignment = assignment_of(view, &host);
            let (workloads, digest) = core.workloads(view, &assignment, specs);
            let key = Some((assignment.generation, digest));
            if sent.assignment != key {
                let down = Down::Assignment { assignment, workloads };
                core.agents.send(&host, &down, |sent| sent.assignment = key);
            }
        }
    }
}

fn assignment_of(view: &View, host: &HostId) -> api::assignment::Assignment {
    let row = view.assignments.get(host.as_str());
    row.map_or_else(
        || api::assignment::Assignment::empty(host.clone()),
        |row| row.document.body.clone(),
    )
}

fn encode(down: &Down) -> Bytes {
    match api::frame::encode(down) {
        Ok(frame) => Bytes::from(frame),
        Err(error) => {
            tracing::error!(%error, "encode a table");
            Bytes::new()
        }
    }
}
