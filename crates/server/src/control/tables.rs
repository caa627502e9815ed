//! Publishing: the leader makes the tables that agents are to have, and tracks who has them.

use std::hash::{DefaultHasher, Hash, Hasher};

use api::id::Generation;
use api::ingress::Certificate;
use api::time::Timestamp;
use plan::acknowledge::Tracker;
use plan::snapshot::Snapshot;
use plan::tables::{Tables, finish, tables};

use crate::core::{Core, Kind, View, serves_ingress};

/// Publishes tables and tracks who has them.
pub(super) struct Publisher {
    pub(super) tracker: Tracker,
    term: u64,
    generation: Generation,
    last: Option<Tables>,
    certificates: (u64, Vec<Certificate>),
}

impl Publisher {
    /// Generations of a later term are above those of all earlier ones.
    pub(super) fn new(term: u64) -> Self {
        Self {
            tracker: Tracker::default(),
            term,
            generation: Generation(term << 32),
            last: None,
            certificates: (0, Vec::new()),
        }
    }

    /// Makes the tables of a snapshot, and publishes them when they changed.
    pub(super) fn publish(
        &mut self,
        core: &Core,
        view: &View,
        snapshot: &Snapshot,
        now: Timestamp,
    ) {
        let alive = snapshot.hosts.values().filter(|host| !host.is_down());
        self.tracker.set_hosts(alive.map(|host| &host.name), now);
        for (host, mut acknowledge) in core.agents.gathered.acknowledged() {
            if !serves_ingress(view, &host) {
                // What its proxy had before it was told to end matters no more.
                acknowledge.ingress = None;
            }
            self.tracker.acknowledge(&host, acknowledge, now);
        }
        self.read_certificates(core, view);
        let mut new = tables(snapshot);
        new.ingress.https_port = core.https_port;
        finish(&mut new, self.generation, self.certificates.1.clone());
        if self.last.as_ref() == Some(&new) {
            return;
        }
        self.generation = self.generation.next();
        new.network.generation = self.generation;
        new.ingress.generation = self.generation;
        self.tracker.publish(self.generation, &new.serving, now);
        let (network, ingress) = (new.network.clone(), new.ingress.clone());
        core.servers.published.lead_tables(&core.agents.gathered, self.term, network, ingress);
        self.last = Some(new);
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
}
