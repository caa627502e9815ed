//! Every request's way: which endpoint, who asks, what they asked; and what endpoints share.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use super::answer::{self, Refusal};
use super::login::{self, Asker};
use crate::oci::endpoint::{Endpoint, NoEndpoint};
use crate::oci::page::Page;
use crate::oci::{Access, Action, InUse, Registry, RegistryError, RepositoryName};

/// Says which protocol this is; old clients of Docker look for it.
const API_VERSION: (HeaderName, HeaderValue) = (
    HeaderName::from_static("docker-distribution-api-version"),
    HeaderValue::from_static("registry/2.0"),
);

pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// What every endpoint needs.
pub(super) struct Service {
    pub(super) registry: Registry,
    pub(super) access: Arc<dyn Access>,
    pub(super) in_use: Arc<dyn InUse>,
}

/// A request whose sender is known.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) query: Vec<(String, String)>,
    pub(super) asker: Asker,
}

impl Registry {
    /// The registry's endpoints, all under `/v2`. A request extension
    /// [`PeerHost`](crate::oci::PeerHost), set by the listener, identifies hosts of the cluster.
    pub fn router(&self, access: Arc<dyn Access>, in_use: Arc<dyn InUse>) -> Router {
        let service = Arc::new(Service { registry: self.clone(), access, in_use });
        Router::new()
            .route("/v2", any(serve))
            .route("/v2/", any(serve))
            .route("/v2/{*path}", any(serve))
            .with_state(service)
    }
}

async fn serve(State(service): State<Arc<Service>>, request: Request) -> Response {
    // Boxed: the futures of the endpoints are large.
    let mut response = match Box::pin(service.answer(request)).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    };
    let (name, value) = API_VERSION;
    response.headers_mut().insert(name, value);
    response
}

impl Service {
    async fn answer(&self, request: Request) -> Result<Response, Refusal> {
        let (parts, body) = request.into_parts();
        let asker = login::identify(&*self.access, &parts).await?;
        let endpoint = Endpoint::parse(parts.uri.path()).map_err(|none| match none {
            NoEndpoint::Unknown => Refusal::not_found(parts.uri.path()),
            NoEndpoint::Name(error) => Refusal::from(RegistryError::from(error)),
        })?;
        let query = Query::try_from_uri(&parts.uri).map_err(|_| Refusal::query())?;
        let call = Call { method: parts.method, headers: parts.headers, query: query.0, asker };
        match endpoint {
            Endpoint::Base => base(&call),
            Endpoint::Catalog => self.catalog(&call).await,
            Endpoint::Blob(repository, digest) => self.blob(&call, repository, &digest).await,
            Endpoint::Uploads(repository) => self.uploads(&call, body, repository).await,
            Endpoint::Upload(repository, id) => self.upload(&call, body, repository, id).await,
            Endpoint::Manifest(repository, name) => {
                self.manifest(&call, body, repository, &name).await
            }
            Endpoint::Tags(repository) => self.tags(&call, &repository).await,
            Endpoint::Referrers(repository, digest) => {
                self.referrers(&call, &repository, &digest).await
            }
        }
    }

    /// Refuses what the asker may not do.
    pub(super) async fn allow(
        &self,
        asker: &Asker,
        repository: &RepositoryName,
        action: Action,
    ) -> Result<(), Refusal> {
        match asker {
            Asker::Host(_) if action == Action::Pull => Ok(()),
            Asker::Host(host) => Err(Refusal::denied(&format!(
                "host {host} may pull, but not {action} repository {repository}"
            ))),
            Asker::Caller(who) => {
                self.access.authorize(who, repository, action).await.map_err(Refusal::from)
            }
        }
    }
}

impl Call {
    /// A parameter of the query; the first, if it is there several times.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A header, if it is text.
    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn page(&self) -> Result<Page, Refusal> {
        Page::new(self.parameter("n"), self.parameter("last")).map_err(|_| Refusal::page())
    }

    /// Whether the client has this content already (RFC 9110 §13.1.2). Digests are strong tags.
    pub(super) fn has_already(&self, tag: &str) -> bool {
        self.header(header::IF_NONE_MATCH).is_some_and(|given| {
            given.split(',').any(|one| {
                let one = one.trim();
                one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
            })
        })
    }
}

/// `GET /v2/`: the registry is here, and the secret is good.
fn base(call: &Call) -> Result<Response, Refusal> {
    match call.method {
        Method::GET | Method::HEAD => Ok(answer::json("{}".to_owned())),
        _ => Err(Refusal::method(&call.method, "GET, HEAD")),
    }
}
