//! Which kind of document stands under which key. One place decides both, so that no two kinds can
//! meet.

use api::about::HostAbout;
use api::app::App;
use api::assignment::Assignment;
use api::authority::{Phase, Trusts};
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
use api::vip::VirtualAddress;
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
    StoredAuthority, "authority", |_it| StoredAuthority::NAME;
    StoredAcceptance, "safe-mode", |_it| StoredAcceptance::NAME;
    StoredAbout, "about", |about| member_name(about.role, &about.name);
    VirtualAddress, "vip", |vip| vip.address;
    StoredVipKey, "vip-key", |_key| StoredVipKey::NAME;
    StoredImage, "image", |image| image_name(&image.repository, image.digest.as_str());
    StoredTag, "image-tag", |tag| format!("{}:{}", tag.repository, tag.tag);
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

/// The name of an image of the cluster's registry.
#[must_use]
pub fn image_name(repository: &str, digest: &str) -> String {
    format!("{repository}@{digest}")
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
    /// When it was removed: from then on its certificate is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Timestamp>,
}

/// That an operator accepted what was lost, and safe mode with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAcceptance {
    /// Losses up to this time, by the clock that they were noted with.
    pub upto: Timestamp,
    /// The name of the operator's token.
    pub by: String,
    /// When that was.
    pub at: Timestamp,
}

impl StoredAcceptance {
    /// The rest of the only key of its kind.
    pub const NAME: &'static str = "accepted";
}

/// The cluster's authorities, since they were exchanged for the first time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAuthority {
    /// Counts up with each change of what is to be trusted or signs.
    pub generation: u64,
    /// How far an exchange is.
    pub phase: Phase,
    /// All that are to be trusted, PEM, the one that signs first.
    pub authorities_pem: String,
    /// The one that takes the other's place; none when nothing is exchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<StoredSuccessor>,
    /// When the last exchange began.
    pub began: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Whether the successor does not sign before an operator says so.
    #[serde(default)]
    pub held: bool,
    /// Who is not waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// The server whose turn it is to start its etcd anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_turn: Option<String>,
}

impl StoredAuthority {
    /// The rest of the only key of its kind.
    pub const NAME: &'static str = "cluster";
}

/// An authority that takes another's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSuccessor {
    /// Its certificate, PEM.
    pub certificate_pem: String,
    /// What the one before says of it: a certificate of its key, PEM.
    pub word_pem: String,
    /// Its key, sealed; here until all servers have it.
    pub sealed: Sealed,
    /// The version with which it is sealed.
    pub version: u32,
}

/// What a server or host says of itself. Written only when it is something else than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAbout {
    /// What it is.
    pub role: JoinRole,
    /// Its name.
    pub name: String,
    /// What it trusts and shows.
    pub trusts: Trusts,
    /// Of a host, what else it says, and what of that is amiss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostAbout>,
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

/// An image of the cluster's registry: that it is there. Its content is on servers. Written anew
/// when a release of it is made, so that a deletion based on an older look fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredImage {
    /// Its repository.
    pub repository: String,
    /// The digest of its manifest or index.
    pub digest: api::digest::Digest,
    /// The media type of that.
    pub media_type: String,
    /// Bytes of the manifest and of what it names.
    pub size: u64,
    /// When it was last pushed.
    pub pushed: Timestamp,
    /// Who pushed it.
    pub pusher: String,
}

/// A tag of the cluster's registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTag {
    /// Its repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// The image that it means.
    pub digest: api::digest::Digest,
    /// When it was last pushed.
    pub pushed: Timestamp,
}

/// What adverts of virtual addresses are authenticated with, sealed; made with the first address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredVipKey {
    /// The sealed key.
    pub sealed: Sealed,
}

impl StoredVipKey {
    /// The name of the only one.
    pub const NAME: &'static str = "cluster";
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
