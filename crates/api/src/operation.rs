//! What users ask the cluster to do and what it answers: the bodies of the API's requests that are
//! not the kinds themselves.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::deployment::Deployment;
use crate::digest::Digest;
use crate::id::{AppName, EnvironmentName, HostId, InstanceId, ReleaseNumber, TeamName};
use crate::instance::Instance;
use crate::protocol::SecretValue;
use crate::time::Timestamp;
use crate::token::{Role, Token};

/// `POST /v1/deploy`: makes a release and rolls it out in an environment. The same image digest and
/// manifest as a release that exists make no new one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeployRequest {
    /// The manifest as JSON: what the TOML file says.
    pub manifest: Map<String, Value>,
    /// The image; goes before the manifest's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The environment; none is the first of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// Only say what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /v1/apps/APP/promote`: rolls out in an environment what runs completely in another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PromoteRequest {
    /// Where it runs; none is the first environment of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<EnvironmentName>,
    /// Where it goes; none is the next one of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<EnvironmentName>,
    /// Only say what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /v1/apps/APP/rollback`: rolls out an earlier release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RollbackRequest {
    /// Where; none is the last environment of the pipeline that the app runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// The release; none is the one that ran completely before the present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseNumber>,
    /// Only say what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

/// The answer to deploy, promote and rollback.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeployAnswer {
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The release.
    pub release: ReleaseNumber,
    /// What its image is.
    pub digest: Digest,
    /// The deployment's number; in a dry run the one it would have.
    pub deployment: u32,
    /// Whether the release was made by this request.
    pub new_release: bool,
    /// Whether nothing was to be done: this release runs here, or is being rolled out, already.
    pub unchanged: bool,
    /// What changes in the resolved manifest against what runs, as lines of a diff.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// What the first steps of the plan would be; only in a dry run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<String>,
    /// What is allowed but should be known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// How an app is in one environment: `GET /v1/apps/APP/status`, a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppStatus {
    /// The app.
    pub app: AppName,
    /// The team that owns it.
    pub team: TeamName,
    /// The environment.
    pub environment: EnvironmentName,
    /// What should run.
    pub deployment: Deployment,
    /// The release that instances are wanted of now.
    pub release: Option<ReleaseNumber>,
    /// How many instances are wanted.
    pub wanted: u32,
    /// How many of them are in service.
    pub in_service: u32,
    /// Public names and ports.
    pub routes: Vec<String>,
    /// Its address inside the environment.
    pub service_address: Option<String>,
    /// What keeps it from its goal, for people; empty when it is there.
    pub why: Vec<String>,
    /// Hosts that have the release's image and run none of it: an instance that moves there waits
    /// for no fetch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warm: Vec<HostId>,
    /// Hosts that are to have it ahead of need and do not report it yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warming: Vec<HostId>,
    /// Its instances.
    pub instances: Vec<Instance>,
}

/// A host as listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostView {
    /// The host.
    #[serde(flatten)]
    pub host: crate::host::Host,
    /// Whether its agent is connected to a server.
    pub connected: bool,
    /// The agent's version.
    pub version: String,
    /// What it has to give.
    pub capacity: crate::host::Capacity,
    /// What its instances are guaranteed of that.
    pub used: crate::host::Capacity,
    /// How many instances are assigned to it.
    pub instances: u32,
    /// What is amiss with it, for people: its clock, its settings, its failure domain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// A public name or port as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteView {
    /// `host/path`, or `tcp/PORT`.
    pub route: String,
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// How many instances take its traffic.
    pub endpoints: u32,
    /// Whether a certificate of its name is known.
    pub tls: bool,
    /// Where it is reached: what its name should stand for in DNS. The virtual addresses of all
    /// segments; where there is none, the hosts that serve the ingress.
    #[serde(default)]
    pub addresses: Vec<std::net::Ipv4Addr>,
    /// Requests that the proxies answered since they started; of a TCP route connections.
    #[serde(default)]
    pub requests: u64,
    /// Of those, answered with a 5xx status or broken off.
    #[serde(default)]
    pub failed: u64,
    /// Attempts beyond the first.
    #[serde(default)]
    pub retries: u64,
    /// Half of the requests took no longer, in microseconds (the bound of a histogram's bucket).
    #[serde(default)]
    pub p50_us: Option<u64>,
    /// 99 of 100 requests took no longer, in microseconds.
    #[serde(default)]
    pub p99_us: Option<u64>,
}

/// `POST /v1/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenRequest {
    /// Whose it is.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The team it is limited to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamName>,
    /// How long it lives; none is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<crate::unit::Millis>,
}

/// The answer to it: the only time the token itself is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenAnswer {
    /// What is kept of it.
    pub token: Token,
    /// The token itself.
    pub secret: SecretValue,
}

/// `PUT /v1/secrets/TEAM/ENVIRONMENT/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRequest {
    /// The value.
    pub value: SecretValue,
}

/// `PUT /v1/certificates/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRequest {
    /// The host names to serve it for; empty means those in the certificate.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The chain, leaf first, PEM.
    pub chain_pem: String,
    /// The leaf's key, PEM.
    pub key_pem: SecretValue,
}

/// `PUT /v1/environments/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentRequest {
    /// Its place in the pipeline.
    pub order: u32,
    /// Labels a host must carry for its instances.
    #[serde(default)]
    pub host_labels: BTreeMap<String, String>,
}

/// `POST /v1/teams`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TeamRequest {
    /// Its name.
    pub name: TeamName,
    /// What people should know about it.
    #[serde(default)]
    pub description: String,
}

/// A repository of the cluster's own registry as listed: `GET /v1/images`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageView {
    /// The repository.
    pub repository: String,
    /// The tag; none for what is only reachable by digest.
    pub tag: Option<String>,
    /// The digest of the manifest or index.
    pub digest: Digest,
    /// Bytes of all its blobs.
    pub size: u64,
    /// When it was pushed.
    pub pushed: Timestamp,
    /// The releases that use it, `APP@NUMBER`.
    pub used_by: Vec<String>,
    /// The hosts that have it, ready to run.
    #[serde(default)]
    pub hosts: Vec<HostId>,
}

/// A controller as listed: `GET /v1/controllers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ControllerView {
    /// Its name.
    pub name: String,
    /// How often it runs even if nothing changes, in milliseconds.
    pub period_ms: u64,
    /// How often it has run.
    pub runs: u64,
    /// How often it failed.
    pub failures: u64,
    /// When it ran last.
    pub last_run: Option<Timestamp>,
    /// How long that took, in milliseconds.
    pub last_took_ms: u64,
    /// What it found or why it failed, for people.
    pub last_result: String,
}

/// Which instances' lines `GET /v1/apps/APP/logs` gives; the query's fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogQuery {
    /// Only of this environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// Only of this instance, also when it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// The last lines of each instance; none is 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<u32>,
    /// Go on with new lines.
    #[serde(default)]
    pub follow: bool,
}

/// Who and what answers: `GET /v1/version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VersionView {
    /// The binary's version.
    pub version: String,
    /// The cluster's name.
    pub cluster: String,
    /// The host this server runs on, when it is known.
    pub host: Option<HostId>,
}
