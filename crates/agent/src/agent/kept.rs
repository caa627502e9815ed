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
        observe: or_none(vault, "observe", "the list of hosts to probe"),
        // Those of the configuration remain.
        servers: or_none(vault, "servers", "the list of servers"),
        // The file of the authorities remains.
        authorities: or_none(vault, "authorities", "the generation of the authorities"),
        // The command finds it again.
        domain: or_none(vault, "domain", "the last failure domain"),
        // Nothing is fetched ahead of need until a server says what.
        warm: or_none(vault, "warm", "the list of images to have"),
        // Only counts and times: better without than not at all.
        status: or_none(vault, "status", "the last report"),
    })
}

/// Something that the agent can do without: when it cannot be read, that is told.
fn or_none<T: serde::de::DeserializeOwned>(
    vault: &Vault,
    name: &'static str,
    what: &str,
) -> Option<T> {
    vault.load(name).unwrap_or_else(|error| {
        tracing::warn!(error = told(&error), "{what} is lost");
        None
    })
}
