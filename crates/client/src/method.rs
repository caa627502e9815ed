//! One method for each endpoint.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use api::app::App;
use api::authority::{AuthorityView, RotateRequest};
use api::certificate::Certificate;
use api::deployment::Deployment;
use api::environment::Environment;
use api::event::Event;
use api::host::Host;
use api::id::{AppName, EnvironmentName, HostId, ReleaseNumber, SecretName, TeamName};
use api::instance::Instance;
use api::join::{
    HandoverAnswer, HandoverRequest, HostJoinRequest, HostJoined, JoinToken, JoinTokenAnswer,
    JoinTokenRequest, RenewAnswer, RenewRequest, ServerJoinRequest, ServerJoined,
};
use api::operation::{
    AppStatus, CertificateRequest, ControllerView, DeployAnswer, DeployRequest, EnvironmentRequest,
    HostView, ImageView, LogQuery, PromoteRequest, RollbackRequest, RouteView, SecretRequest,
    TeamRequest, TokenAnswer, TokenRequest, VersionView,
};
use api::registry::Registry;
use api::release::Release;
use api::secret::Secret;
use api::server::{NetReport, SafeModeView, ServerView};
use api::team::Team;
use api::time::Timestamp;
use api::token::{Role, Token};
use api::vip::{VipChoice, VipRequest, VipView, VirtualAddress};
use http::Method;
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::call::{Call, Client};
use crate::error::{ClientError, Unreached};
use crate::log::LogStream;
use crate::watch::Watch;

/// Who a token belongs to: `GET /v1/whoami`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whoami {
    /// The token's name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The team it is limited to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamName>,
}

/// What a collection of images removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// What was removed, for people; empty when nothing was.
    pub result: String,
}

/// Which events are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Only those about this app.
    pub app: Option<AppName>,
    /// Only the newest, at most so many; none is 100.
    pub limit: Option<u32>,
    /// Only those after this time.
    pub since: Option<Timestamp>,
}

/// Writes a name so that it is one segment of a path (RFC 3986 §3.3).
pub(crate) fn segment(name: &str) -> String {
    escape(name, "-._~:@")
}

/// Writes a value so that it is one value of a query (RFC 3986 §3.4).
fn value(text: &str) -> String {
    escape(text, "-._~:/")
}

fn escape(text: &str, kept: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// A path with those of its query's fields that are set.
fn with_query(path: &str, fields: &[(&str, Option<String>)]) -> String {
    let mut text = path.to_owned();
    let set = fields.iter().filter_map(|(name, field)| Some((name, field.as_deref()?)));
    for (i, (name, field)) in set.enumerate() {
        text.push(if i == 0 { '?' } else { '&' });
        text.push_str(&format!("{name}={}", value(field)));
    }
    text
}

fn get(path: impl Into<String>) -> Call {
    Call::new(Method::GET, path)
}

fn put(path: impl Into<String>) -> Call {
    Call::new(Method::PUT, path)
}

fn post(path: impl Into<String>) -> Call {
    Call::new(Method::POST, path)
}

fn delete(path: impl Into<String>) -> Call {
    Call::new(Method::DELETE, path)
}

/// The cluster itself. Every method fails with [`ClientError`]; each names the endpoint it calls.
#[expect(clippy::missing_errors_doc, reason = "said once above for all of them")]
impl Client {
    /// `GET /v1/version`.
    pub async fn version(&self) -> Result<VersionView, ClientError> {
        self.json(get("/v1/version")).await
    }

    /// `GET /healthz`: whether a server answers and has its store.
    pub async fn health(&self) -> Result<(), ClientError> {
        self.done(get("/healthz")).await
    }

    /// `GET /v1/whoami`.
    pub async fn whoami(&self) -> Result<Whoami, ClientError> {
        self.json(get("/v1/whoami")).await
    }

    /// `GET /v1/authority`: the cluster's authorities, and how far an exchange of them is.
    pub async fn authority(&self) -> Result<AuthorityView, ClientError> {
        self.json(get("/v1/authority")).await
    }

    /// `POST /v1/authority/rotate`: exchanges the authority, or goes on with that.
    pub async fn rotate_authority(
        &self,
        request: &RotateRequest,
    ) -> Result<AuthorityView, ClientError> {
        self.json(post("/v1/authority/rotate").json(request)).await
    }

    /// `GET /v1/openapi.json`.
    pub async fn openapi(&self) -> Result<Value, ClientError> {
        self.json(get("/v1/openapi.json")).await
    }

    /// `GET /v1/controllers`.
    pub async fn controllers(&self) -> Result<Vec<ControllerView>, ClientError> {
        self.json(get("/v1/controllers")).await
    }

    /// `GET /v1/events`, the oldest first.
    pub async fn events(&self, query: &EventQuery) -> Result<Vec<Event>, ClientError> {
        let fields = [
            ("app", query.app.as_ref().map(ToString::to_string)),
            ("limit", query.limit.map(|limit| limit.to_string())),
            ("since", query.since.map(|since| since.to_string())),
        ];
        self.json(get(with_query("/v1/events", &fields))).await
    }

    /// `GET /v1/watch`: changes of these kinds, of `app`, `certificate`, `deployment`,
    /// `environment`, `event`, `host`, `instance`, `release` and `team`. The first thing it says is
    /// to list, unless it is to begin after a revision that was seen.
    #[must_use]
    pub fn watch(&self, kinds: &[&str], after: Option<u64>) -> Watch {
        Watch::new(self.clone(), kinds, after)
    }

    /// `GET /v1/backup`: writes a backup of the store; gives its size in bytes. What was written
    /// before an error is no backup.
    pub async fn backup<W: AsyncWrite + Unpin>(&self, out: &mut W) -> Result<u64, ClientError> {
        let failed = |cause| ClientError::Io { what: "write the backup".into(), cause };
        let opened = self.open(&get("/v1/backup")).await?;
        let address = opened.address;
        let mut body = opened.response.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                let cause = error.to_string();
                ClientError::Lost(Unreached { address: address.clone(), cause })
            })?;
            if let Ok(data) = frame.into_data() {
                out.write_all(&data).await.map_err(failed)?;
                bytes += data.len() as u64;
            }
        }
        out.flush().await.map_err(failed)?;
        Ok(bytes)
    }
}

/// Teams, tokens and secrets.
#[expect(clippy::missing_errors_doc, reason = "every method fails with what the server answers")]
impl Client {
    /// `GET /v1/teams`.
    pub async fn teams(&self) -> Result<Vec<Team>, ClientError> {
        self.json(get("/v1/teams")).await
    }

    /// `GET /v1/teams/NAME`.
    pub async fn team(&self, name: &TeamName) -> Result<Team, ClientError> {
        self.json(get(format!("/v1/teams/{name}"))).await
    }

    /// `POST /v1/teams`.
    pub async fn create_team(&self, request: &TeamRequest) -> Result<Team, ClientError> {
        self.json(post("/v1/teams").json(request)).await
    }

    /// `DELETE /v1/teams/NAME`.
    pub async fn delete_team(&self, name: &TeamName) -> Result<(), ClientError> {
        self.done(delete(format!("/v1/teams/{name}"))).await
    }

    /// `GET /v1/tokens`.
    pub async fn tokens(&self) -> Result<Vec<Token>, ClientError> {
        self.json(get("/v1/tokens")).await
    }

    /// `POST /v1/tokens`: the answer is the only place that shows the token.
    pub async fn create_token(&self, request: &TokenRequest) -> Result<TokenAnswer, ClientError> {
        self.json(post("/v1/tokens").json(request)).await
    }

    /// `DELETE /v1/tokens/ID`.
    pub async fn revoke_token(&self, id: &str) -> Result<(), ClientError> {
        self.done(delete(format!("/v1/tokens/{}", segment(id)))).await
    }

    /// `GET /v1/secrets`: of the caller's team, or of all; without values.
    pub async fn secrets(&self) -> Result<Vec<Secret>, ClientError> {
        self.json(get("/v1/secrets")).await
    }

    /// `PUT /v1/secrets/TEAM/ENVIRONMENT/NAME`.
    pub async fn put_secret(
        &self,
        team: &TeamName,
        environment: &EnvironmentName,
        name: &SecretName,
        request: &SecretRequest,
    ) -> Result<Secret, ClientError> {
        self.json(put(format!("/v1/secrets/{team}/{environment}/{name}")).json(request)).await
    }

    /// `DELETE /v1/secrets/TEAM/ENVIRONMENT/NAME`.
    pub async fn delete_secret(
        &self,
        team: &TeamName,
        environment: &EnvironmentName,
        name: &SecretName,
    ) -> Result<(), ClientError> {
        self.done(delete(format!("/v1/secrets/{team}/{environment}/{name}"))).await
    }
}

/// Apps, releases and what runs of them.
#[expect(clippy::missing_errors_doc, reason = "every method fails with what the server answers")]
impl Client {
    /// `GET /v1/apps`.
    pub async fn apps(&self) -> Result<Vec<App>, ClientError> {
        self.json(get("/v1/apps")).await
    }

    /// `GET /v1/apps/APP`.
    pub async fn app(&self, app: &AppName) -> Result<App, ClientError> {
        self.json(get(format!("/v1/apps/{app}"))).await
    }

    /// `DELETE /v1/apps/APP`: its instances are drained and stopped, then it goes.
    pub async fn delete_app(&self, app: &AppName) -> Result<(), ClientError> {
        self.done(delete(format!("/v1/apps/{app}"))).await
    }

    /// `GET /v1/apps/APP/releases`, the oldest first.
    pub async fn releases(&self, app: &AppName) -> Result<Vec<Release>, ClientError> {
        self.json(get(format!("/v1/apps/{app}/releases"))).await
    }

    /// `GET /v1/apps/APP/releases/NUMBER`.
    pub async fn release(
        &self,
        app: &AppName,
        number: ReleaseNumber,
    ) -> Result<Release, ClientError> {
        self.json(get(format!("/v1/apps/{app}/releases/{number}"))).await
    }

    /// `POST /v1/deploy`. Made twice it does what it does once.
    pub async fn deploy(&self, request: &DeployRequest) -> Result<DeployAnswer, ClientError> {
        self.json(post("/v1/deploy").json(request).safe_again()).await
    }

    /// `POST /v1/apps/APP/promote`. Made twice it does what it does once.
    pub async fn promote(
        &self,
        app: &AppName,
        request: &PromoteRequest,
    ) -> Result<DeployAnswer, ClientError> {
        self.json(post(format!("/v1/apps/{app}/promote")).json(request).safe_again()).await
    }

    /// `POST /v1/apps/APP/rollback`. Made again by itself only when it names the release: without
    /// one, twice would be back to where it began.
    pub async fn rollback(
        &self,
        app: &AppName,
        request: &RollbackRequest,
    ) -> Result<DeployAnswer, ClientError> {
        let call = post(format!("/v1/apps/{app}/rollback")).json(request);
        let again = request.release.is_some() || request.dry_run;
        self.json(if again { call.safe_again() } else { call }).await
    }

    /// `GET /v1/apps/APP/status`, in the order of the pipeline.
    pub async fn status(&self, app: &AppName) -> Result<Vec<AppStatus>, ClientError> {
        self.json(get(format!("/v1/apps/{app}/status"))).await
    }

    /// `GET /v1/apps/APP/logs`.
    pub async fn logs(&self, app: &AppName, query: &LogQuery) -> Result<LogStream, ClientError> {
        let fields = [
            ("environment", query.environment.as_ref().map(ToString::to_string)),
            ("instance", query.instance.as_ref().map(ToString::to_string)),
            ("tail", query.tail.map(|tail| tail.to_string())),
            ("follow", query.follow.then(|| "true".to_owned())),
        ];
        let path = with_query(&format!("/v1/apps/{app}/logs"), &fields);
        Ok(LogStream::new(self.open(&get(path)).await?))
    }

    /// `GET /v1/instances`.
    pub async fn instances(
        &self,
        app: Option<&AppName>,
        environment: Option<&EnvironmentName>,
    ) -> Result<Vec<Instance>, ClientError> {
        let fields = [
            ("app", app.map(ToString::to_string)),
            ("environment", environment.map(ToString::to_string)),
        ];
        self.json(get(with_query("/v1/instances", &fields))).await
    }

    /// `GET /v1/deployments`.
    pub async fn deployments(&self) -> Result<Vec<Deployment>, ClientError> {
        self.json(get("/v1/deployments")).await
    }

    /// `GET /v1/routes`.
    pub async fn routes(&self) -> Result<Vec<RouteView>, ClientError> {
        self.json(get("/v1/routes")).await
    }
}

/// Environments, hosts, certificates, registries and images.
#[expect(clippy::missing_errors_doc, reason = "every method fails with what the server answers")]
impl Client {
    /// `GET /v1/environments`, in the order of the pipeline.
    pub async fn environments(&self) -> Result<Vec<Environment>, ClientError> {
        self.json(get("/v1/environments")).await
    }

    /// `GET /v1/environments/NAME`.
    pub async fn environment(&self, name: &EnvironmentName) -> Result<Environment, ClientError> {
        self.json(get(format!("/v1/environments/{name}"))).await
    }

    /// `PUT /v1/environments/NAME`.
    pub async fn put_environment(
        &self,
        name: &EnvironmentName,
        request: &EnvironmentRequest,
    ) -> Result<Environment, ClientError> {
        self.json(put(format!("/v1/environments/{name}")).json(request)).await
    }

    /// `DELETE /v1/environments/NAME`.
    pub async fn delete_environment(&self, name: &EnvironmentName) -> Result<(), ClientError> {
        self.done(delete(format!("/v1/environments/{name}"))).await
    }

    /// `GET /v1/hosts`.
    pub async fn hosts(&self) -> Result<Vec<HostView>, ClientError> {
        self.json(get("/v1/hosts")).await
    }

    /// `GET /v1/hosts/NAME`.
    pub async fn host(&self, name: &HostId) -> Result<HostView, ClientError> {
        self.json(get(format!("/v1/hosts/{name}"))).await
    }

    /// `POST /v1/hosts/NAME/drain`: its instances move off, and it takes no new ones.
    pub async fn drain_host(&self, name: &HostId) -> Result<Host, ClientError> {
        self.json(post(format!("/v1/hosts/{name}/drain")).safe_again()).await
    }

    /// `DELETE /v1/hosts/NAME`: it leaves for good.
    pub async fn remove_host(&self, name: &HostId, force: bool) -> Result<Host, ClientError> {
        let fields = [("force", force.then(|| true.to_string()))];
        self.json(delete(with_query(&format!("/v1/hosts/{name}"), &fields))).await
    }

    /// `POST /v1/hosts/NAME/undrain`: it takes instances again.
    pub async fn undrain_host(&self, name: &HostId) -> Result<Host, ClientError> {
        self.json(post(format!("/v1/hosts/{name}/undrain")).safe_again()).await
    }

    /// `PUT /v1/hosts/NAME/labels`: all its labels.
    pub async fn put_host_labels(
        &self,
        name: &HostId,
        labels: &BTreeMap<String, String>,
    ) -> Result<Host, ClientError> {
        self.json(put(format!("/v1/hosts/{name}/labels")).json(labels)).await
    }

    /// `GET /v1/vips`.
    pub async fn vips(&self) -> Result<Vec<VipView>, ClientError> {
        self.json(get("/v1/vips")).await
    }

    /// `GET /v1/vips/ADDRESS`.
    pub async fn vip(&self, address: Ipv4Addr) -> Result<VipView, ClientError> {
        self.json(get(format!("/v1/vips/{address}"))).await
    }

    /// `POST /v1/vips`.
    pub async fn create_vip(&self, request: &VipRequest) -> Result<VirtualAddress, ClientError> {
        self.json(post("/v1/vips").json(request)).await
    }

    /// `PUT /v1/vips/ADDRESS`: who may hold it, and who is preferred.
    pub async fn put_vip(
        &self,
        address: Ipv4Addr,
        choice: &VipChoice,
    ) -> Result<VirtualAddress, ClientError> {
        self.json(put(format!("/v1/vips/{address}")).json(choice)).await
    }

    /// `DELETE /v1/vips/ADDRESS`: who holds it gives it up.
    pub async fn delete_vip(&self, address: Ipv4Addr) -> Result<(), ClientError> {
        self.done(delete(format!("/v1/vips/{address}"))).await
    }

    /// `GET /v1/certificates`: without keys.
    pub async fn certificates(&self) -> Result<Vec<Certificate>, ClientError> {
        self.json(get("/v1/certificates")).await
    }

    /// `PUT /v1/certificates/NAME`.
    pub async fn put_certificate(
        &self,
        name: &str,
        request: &CertificateRequest,
    ) -> Result<Certificate, ClientError> {
        self.json(put(format!("/v1/certificates/{}", segment(name))).json(request)).await
    }

    /// `DELETE /v1/certificates/NAME`.
    pub async fn delete_certificate(&self, name: &str) -> Result<(), ClientError> {
        self.done(delete(format!("/v1/certificates/{}", segment(name)))).await
    }

    /// `GET /v1/registries`: without passwords.
    pub async fn registries(&self) -> Result<Vec<Registry>, ClientError> {
        self.json(get("/v1/registries")).await
    }

    /// `PUT /v1/registries/HOST`.
    pub async fn put_registry(&self, registry: &Registry) -> Result<Registry, ClientError> {
        let path = format!("/v1/registries/{}", segment(&registry.host));
        self.json(put(path).json(registry)).await
    }

    /// `DELETE /v1/registries/HOST`.
    pub async fn delete_registry(&self, host: &str) -> Result<(), ClientError> {
        self.done(delete(format!("/v1/registries/{}", segment(host)))).await
    }

    /// `GET /v1/images`: of the cluster's own registry.
    pub async fn images(&self) -> Result<Vec<ImageView>, ClientError> {
        self.json(get("/v1/images")).await
    }

    /// `DELETE /v1/images/REPOSITORY`: one tag or digest of it.
    pub async fn delete_image(&self, repository: &str, reference: &str) -> Result<(), ClientError> {
        let path = format!("/v1/images/{}", escape(repository, "-._~/"));
        let fields = [("reference", Some(reference.to_owned()))];
        self.done(delete(with_query(&path, &fields))).await
    }

    /// `POST /v1/images/collect-garbage`.
    pub async fn collect_garbage(&self) -> Result<Collected, ClientError> {
        self.json(post("/v1/images/collect-garbage").safe_again()).await
    }
}

/// Joining, and certificates.
#[expect(clippy::missing_errors_doc, reason = "every method fails with what the server answers")]
impl Client {
    /// `GET /v1/join-tokens`.
    pub async fn join_tokens(&self) -> Result<Vec<JoinToken>, ClientError> {
        self.json(get("/v1/join-tokens")).await
    }

    /// `POST /v1/join-tokens`: the answer is the only place that shows the token.
    pub async fn create_join_token(
        &self,
        request: &JoinTokenRequest,
    ) -> Result<JoinTokenAnswer, ClientError> {
        self.json(post("/v1/join-tokens").json(request)).await
    }

    /// `DELETE /v1/join-tokens/ID`.
    pub async fn revoke_join_token(&self, id: &str) -> Result<(), ClientError> {
        self.done(delete(format!("/v1/join-tokens/{}", segment(id)))).await
    }

    /// `POST /v1/join/host`. The same key may ask again with the same token.
    pub async fn join_host(&self, request: &HostJoinRequest) -> Result<HostJoined, ClientError> {
        self.json(post("/v1/join/host").json(request).safe_again()).await
    }

    /// `POST /v1/join/server`. The same key may ask again with the same token.
    pub async fn join_server(
        &self,
        request: &ServerJoinRequest,
    ) -> Result<ServerJoined, ClientError> {
        self.json(post("/v1/join/server").json(request).safe_again()).await
    }

    /// `POST /v1/join/handover`, for clients that show a server's certificate.
    pub async fn hand_over(
        &self,
        request: &HandoverRequest,
    ) -> Result<HandoverAnswer, ClientError> {
        self.json(post("/v1/join/handover").json(request).safe_again()).await
    }

    /// `GET /v1/servers`.
    pub async fn servers(&self) -> Result<Vec<ServerView>, ClientError> {
        self.json(get("/v1/servers")).await
    }

    /// `GET /v1/safe-mode`.
    pub async fn safe_mode(&self) -> Result<SafeModeView, ClientError> {
        self.json(get("/v1/safe-mode")).await
    }

    /// `POST /v1/safe-mode/accept`: what was lost is lost.
    pub async fn accept_losses(&self) -> Result<SafeModeView, ClientError> {
        self.json(post("/v1/safe-mode/accept").safe_again()).await
    }

    /// `GET /v1/net/doctor`.
    pub async fn net_doctor(&self) -> Result<NetReport, ClientError> {
        self.json(get("/v1/net/doctor")).await
    }

    /// `POST /agent/v1/renew`.
    pub async fn renew(&self, request: &RenewRequest) -> Result<RenewAnswer, ClientError> {
        self.json(post("/agent/v1/renew").json(request).safe_again()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_one_segment() {
        assert_eq!(segment("registry.example:5000"), "registry.example:5000");
        assert_eq!(segment("a/b ?#ä"), "a%2Fb%20%3F%23%C3%A4");
        assert_eq!(segment(".."), "..");
    }

    #[test]
    fn queries_hold_what_is_set() {
        let fields = [("a", None), ("b", Some("x y&z".into())), ("c", Some("1".into()))];
        assert_eq!(with_query("/p", &fields), "/p?b=x%20y%26z&c=1");
        assert_eq!(with_query("/p", &[("a", None)]), "/p");
    }
}
