//! Which kind of document stands under which key. One place decides both, so that no two kinds can
//! meet.

use api::app::App;
use api::assignment::Assignment;
use api::certificate::Certificate;
use api::deployment::Deployment;
use api::environment::Environment;
use api::event::Event;
use api::host::Host;
use api::id::{AppName, EnvironmentName};
use api::join::{JoinRole, JoinToken};
use api::registry::Registry;
use api::release::Release;
use api::secret::Secret;
use api::server::Server;
use api::status::HostStatus;
use api::team::Team;
use api::time::Timestamp;
use api::token::Token;
use pki::{Sealed, TokenHash};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::document::Schema;

/// A kind of document: how it is written and where it stands.
pub trait Kind: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Its schema in this version.
    const SCHEMA: Schema;
    /// What its keys begin with, ending in `/`.
    const PREFIX: &'static str;
    /// The rest of its key.
    fn name(&self) -> String;

    /// Its whole key.
    fn key(&self) -> String {
        format!("{}{}", Self::PREFIX, self.name())
    }
}

macro_rules! kinds {
    ($($kind:ty, $prefix:literal, |$body:ident| $name:expr;)*) => {$(
        impl Kind for $kind {
            const SCHEMA: Schema = Schema::new($prefix, 1).keeping_newer();
            const PREFIX: &'static str = concat!($prefix, "/");
            fn name(&self) -> String {
                let $body = self;
                $name.to_string()
            }
        }
    )*};
}

kinds! {
    Team, "team", |team| team.name;
    App, "app", |app| app.name;
    Release, "release", |release| release_name(&release.app, release.number.0);
    Environment, "environment", |environment| environment.name;
    Deployment, "deployment", |d| place_name(&d.environment, &d.app);
    Host, "host", |host| host.name;
    Assignment, "assignment", |assignment| assignment.host;
    HostStatus, "status", |status| status.host;
    Server, "server", |server| server.name;
    ServiceAddress, "service", |service| place_name(&service.environment, &service.app);
    StoredToken, "token", |token| token.token.id;
    StoredJoinToken, "join-token", |token| token.token.id;
    StoredMember, "member", |member| member_name(member.role, &member.name);
    StoredSecret, "secret", |s| secret_name(&s.secret);
    StoredCertificate, "certificate", |certificate| certificate.certificate.name;
    StoredRegistry, "registry", |registry| registry.registry.host;
    StoredEvent, "event", |event| event_name(event);
}

/// The name of a release: numbers padded, so that keys are in their order.
#[must_use]
pub fn release_name(app: &AppName, number: u32) -> String {
    format!("{app}/{number:010}")
}

/// The name of an event: in the order of time, those of one millisecond by number, and apart from
/// those of other servers.
fn event_name(event: &StoredEvent) -> String {
    let name = format!("{:016}-{:04}", event.event.at.0, event.number);
    if event.server.is_empty() { name } else { format!("{name}-{}", event.server) }
}

/// The name of what exists once per app and environment.
#[must_use]
pub fn place_name(environment: &EnvironmentName, app: &AppName) -> String {
    format!("{environment}/{app}")
}

/// The name of the record of a host or server.
#[must_use]
pub fn member_name(role: JoinRole, name: &str) -> String {
    match role {
        JoinRole::Host => format!("host/{name}"),
        JoinRole::Server => format!("server/{name}"),
    }
}

/// The name of a secret.
#[must_use]
pub fn secret_name(secret: &Secret) -> String {
    format!("{}/{}/{}", secret.team, secret.environment, secret.name)
}

/// The virtual address of an app in an environment. A second key, `service-address/ADDRESS`, made
/// in the same transaction, keeps addresses unique.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAddress {
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The address.
    pub address: std::net::Ipv4Addr,
}

impl ServiceAddress {
    /// The key that holds the address for it.
    #[must_use]
    pub fn claim(&self) -> String {
        format!("service-address/{}", self.address)
    }
}

/// A token with the hash of its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredToken {
    /// What is shown of it.
    pub token: Token,
    /// The hash of its secret.
    pub hash: TokenHash,
}

/// A join token with the hash of its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredJoinToken {
    /// What is shown of it.
    pub token: JoinToken,
    /// The hash of its secret.
    pub hash: TokenHash,
}

/// A host or server that joined by a token: whose key stands for its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMember {
    /// What it is.
    pub role: JoinRole,
    /// Its name.
    pub name: String,
    /// The fingerprint of its public key.
    pub key: String,
    /// When it joined, or took another's place.
    pub joined: Timestamp,
}

/// A secret with its sealed value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSecret {
    /// What is shown of it.
    pub secret: Secret,
    /// The sealed value.
    pub sealed: Sealed,
}

/// A certificate with its sealed key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCertificate {
    /// What is shown of it.
    pub certificate: Certificate,
    /// The sealed key.
    pub sealed: Sealed,
}

/// A registry without its password, and that sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRegistry {
    /// What is shown of it; without password.
    pub registry: Registry,
    /// The sealed password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
}

/// An event with a number that tells those of one millisecond apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEvent {
    /// The event.
    pub event: Event,
    /// Counts up in one server.
    pub number: u32,
    /// The server that recorded it; empty for those of older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub server: String,
}
