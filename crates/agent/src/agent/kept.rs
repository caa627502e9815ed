//! What an agent kept on its disk of servers' documents.

use std::sync::Arc;

use api::authority::Authorities;
use api::host::DomainPath;
use api::ingress::IngressTable;
use api::liveness::Observe;
use api::network::{NetworkTable, VipTable};
use api::registry::Registry;
use api::status::HostStatus;
use api::warm::Warm;

use super::AgentError;
use crate::converge::Documents;
use crate::failure::told;
use crate::state::Vault;

/// What was kept on disk.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) documents: Option<Documents>,
    pub(super) network: Option<NetworkTable>,
    pub(super) ingress: Option<Arc<IngressTable>>,
    pub(super) registries: Option<Vec<Registry>>,
    pub(super) vips: Option<VipTable>,
    pub(super) serve: Option<bool>,
    pub(super) observe: Option<Observe>,
    pub(super) servers: Option<Vec<String>>,
    pub(super) authorities: Option<Authorities>,
    pub(super) domain: Option<DomainPath>,
    pub(super) warm: Option<Warm>,
    pub(super) status: Option<HostStatus>,
}

pub(super) fn load(vault: &Vault) -> Result<Kept, AgentError> {
    Ok(Kept {
        documents: vault.load("assignment")?,
        network: vault.load("network")?,
        ingress: vault.load("ingress")?,
        registries: vault.load("registries")?,
        vips: vault.load("vips")?,
        serve: vault.load("serve")?,
        // Without it nothing is probed until a server says whom.
        observe: vault.load("observe").unwrap_or_else(|error| {
            tracing::warn!(error = told(&error), "the list of hosts to probe is lost");
            None
        }),
        // Those of the configuration remain.
        servers: vault.load("servers").unwrap_or_else(|error| {
            tracing::warn!(error = told(&error), "the list of servers is lost");
            None
        }),
        // The file of the authorities remains.
        authorities: vault.load("authorities").unwrap_or_else(|error| {
            tracing::warn!(error = told(&error), "the generation of the authorities is lost");
            None
        }),
        // The command finds it again.
        domain: vault.load("domain").unwrap_or_else(|error| {
            tracing::warn!(error = told(&error), "the last failure domain is lost");
            None
        }),
        // Nothing is fetched ahead of need until a server says what.
        warm: vault.load("warm").unwrap_or_else(|error| {
            tracing::warn!(error = told(&error), "the list of images to have is lost");
            None
        }),
        // Only counts and times: better without than not at all.
        status: vault.load("status").unwrap_or_else(|error| {
            tracing::warn!(error = told(&error), "the last report is lost");
            None
        }),
    })
}
