//! One endpoint: from a request to a call of its handler, in the order that keeps strangers out:
//! who asks, may they, then the query, then the body.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::response::Response;
use http::Method;
use http::header::{AUTHORIZATION, HeaderMap};
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use pki::PeerIdentity;
use schemars::{Schema, SchemaGenerator};
use store::Revision;
use tokio_util::sync::CancellationToken;

use super::answer::{self, REVISION};
use super::gives::Gives;
use super::roles::Allowed;
use super::takes::{self, Asks, Field, Takes};
use crate::core::{Caller, Core};
use crate::oci::Registry;
use crate::trust::Trust;

/// Bytes of the largest body: four manifests of 256 KiB, and room for what JSON adds.
pub(super) const MAX_BODY: usize = 1 << 20;

/// What handlers work on.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) core: Arc<Core>,
    pub(super) registry: Arc<Registry>,
    pub(super) trust: Arc<Trust>,
    /// Ends answers that would go on for ever.
    pub(super) stop: CancellationToken,
}

/// A request that was let in and understood.
pub(super) struct Call<B = (), Q = ()> {
    pub(super) core: Arc<Core>,
    pub(super) registry: Arc<Registry>,
    pub(super) trust: Arc<Trust>,
    pub(super) stop: CancellationToken,
    /// Who asks.
    pub(super) caller: Caller,
    /// The member of the cluster whose certificate the connection showed.
    pub(super) peer: Option<PeerIdentity>,
    pub(super) headers: HeaderMap,
    segments: BTreeMap<String, String>,
    pub(super) query: Q,
    pub(super) body: B,
}

impl<B, Q> Call<B, Q> {
    /// A part of the path, by its name in the table.
    ///
    /// # Errors
    /// [`ErrorCode::Invalid`] when it is not of its kind.
    pub(super) fn segment<T: FromStr>(&self, name: &str) -> Result<T, ApiError>
    where
        T::Err: std::fmt::Display,
    {
        let text = self.segments.get(name).map_or("", String::as_str);
        text.parse().map_err(|error: T::Err| ApiError::new(ErrorCode::Invalid, error.to_string()))
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Response, ApiError>> + Send>>;
type Handler = dyn Fn(Admitted) -> Answering + Send + Sync;

/// A request that was let in; its query and body are not read yet.
struct Admitted {
    context: Context,
    caller: Caller,
    parts: Parts,
    body: Body,
    fields: Arc<[Field]>,
    segments: BTreeMap<String, String>,
}

/// An entry of the table.
pub(super) struct Endpoint {
    /// Its method.
    pub(super) method: Method,
    /// Its path, `{name}` for a segment and `{*name}` for several.
    pub(super) path: &'static str,
    /// Its name, unique.
    pub(super) name: &'static str,
    /// Who may use it.
    pub(super) allowed: Allowed,
    /// What it does, a sentence.
    pub(super) summary: &'static str,
    pub(super) documented: Documented,
    handler: Arc<Handler>,
}

/// The types of an endpoint, for the document.
pub(super) struct Documented {
    pub(super) body: fn(&mut SchemaGenerator) -> Option<Schema>,
    pub(super) fields: fn(&mut SchemaGenerator) -> Vec<Field>,
    pub(super) answer: fn(&mut SchemaGenerator) -> Option<Schema>,
    pub(super) status: u16,
    pub(super) what: &'static str,
    pub(super) media_type: &'static str,
}

impl Endpoint {
    /// An endpoint with its handler. What it takes and gives is documented from its types.
    pub(super) fn new<B, Q, A, H, F>(
        (method, path): (Method, &'static str),
        name: &'static str,
        allowed: Allowed,
        summary: &'static str,
        handler: H,
    ) -> Self
    where
        B: Takes,
        Q: Asks,
        A: Gives,
        H: Fn(Call<B, Q>) -> F + Copy + Send + Sync + 'static,
        F: Future<Output = Result<A, ApiError>> + Send + 'static,
    {
        let documented = Documented {
            body: B::schema,
            fields: takes::fields::<Q>,
            answer: A::schema,
            status: A::STATUS.as_u16(),
            what: A::WHAT,
            media_type: A::MEDIA_TYPE,
        };
        let handler = move |admitted: Admitted| -> Answering {
            Box::pin(async move {
                let call = read::<B, Q>(admitted).await?;
                handler(call).await.map(Gives::respond)
            })
        };
        let handler = Arc::new(handler);
        Self { method, path, name, allowed, summary, documented, handler }
    }

    /// What answers requests for it.
    pub(super) fn service(
        &self,
        context: Context,
    ) -> impl Fn(Request) -> Responding + Clone + use<> {
        let mut generator = SchemaGenerator::default();
        let route = Arc::new(Route {
            allowed: self.allowed,
            what: format!("{} {}", self.method, self.path),
            reads: self.method.is_safe(),
            fields: (self.documented.fields)(&mut generator).into(),
            handler: self.handler.clone(),
            context,
        });
        move |request| Box::pin(respond(route.clone(), request))
    }
}

/// An answer on its way.
pub(super) type Responding = Pin<Box<dyn Future<Output = Response> + Send>>;

struct Route {
    allowed: Allowed,
    what: String,
    reads: bool,
    fields: Arc<[Field]>,
    handler: Arc<Handler>,
    context: Context,
}

async fn respond(route: Arc<Route>, request: Request) -> Response {
    let core = route.context.core.clone();
    let mut shown = core.view().revision;
    let admitted = admit(&route, request).await;
    let answered = match admitted {
        Ok(admitted) => {
            // A reader may see more than this revision, never less; a writer sees what it wrote.
            shown = core.view().revision;
            (route.handler)(admitted).await
        }
        Err(error) => Err(error),
    };
    let mut response = answered.unwrap_or_else(|error| answer::refuse(&error));
    let revision = if route.reads { shown } else { core.view().revision };
    answer::note_revision(&mut response, revision);
    response
}

/// Lets a request in, or does not.
async fn admit(route: &Route, request: Request) -> Result<Admitted, ApiError> {
    let (mut parts, body) = request.into_parts();
    let core = &route.context.core;
    let caller = match route.allowed {
        Allowed::Open => Caller { name: String::new(), role: api::token::Role::Viewer, team: None },
        Allowed::Roles(_) => authenticate(core, &parts.headers).await?,
    };
    route.allowed.check(&caller, &route.what)?;
    if let Some(revision) = wanted_revision(&parts.headers)? {
        core.wait_for(revision).await;
    }
    let segments = RawPathParams::from_request_parts(&mut parts, &()).await;
    let segments = segments.map_err(|rejection| {
        ApiError::new(ErrorCode::Invalid, format!("read the path: {}", rejection.body_text()))
    })?;
    let segments =
        segments.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let (context, fields) = (route.context.clone(), route.fields.clone());
    Ok(Admitted { context, caller, parts, body, fields, segments })
}

/// Finds out who asks. A token may have been made a moment ago by way of another server, so one
/// that is not known is looked for again once the view has what the request wants to see.
async fn authenticate(core: &Core, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let missing = || {
        ApiError::new(ErrorCode::Unauthenticated, "this needs a token")
            .hint("send Authorization: Bearer TOKEN; the CLI takes it from FREEHOLD_TOKEN")
    };
    let header = headers.get(AUTHORIZATION).ok_or_else(missing)?;
    let header = header.to_str().map_err(|_| missing())?;
    let (scheme, token) = header.split_once(' ').ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    match core.authenticate(token) {
        Ok(caller) => Ok(caller),
        Err(error) => match wanted_revision(headers)? {
            Some(revision) if revision > core.view().revision => {
                core.wait_for(revision).await;
                core.authenticate(token)
            }
            _ => Err(error),
        },
    }
}

/// The revision that the asker has seen.
fn wanted_revision(headers: &HeaderMap) -> Result<Option<Revision>, ApiError> {
    let Some(value) = headers.get(REVISION) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    let malformed = || ApiError::new(ErrorCode::Invalid, "Freehold-Revision is not a number");
    number.map(|number| Some(Revision(number))).ok_or_else(malformed)
}

/// Reads query and body.
async fn read<B: Takes, Q: Asks>(admitted: Admitted) -> Result<Call<B, Q>, ApiError> {
    let Admitted { context, caller, parts, body, fields, segments } = admitted;
    let invalid = |what: &str, error: String| {
        ApiError::new(ErrorCode::Invalid, format!("{what} is not what this path takes: {error}"))
    };
    takes::only_known(&parts.uri, &fields)?;
    let query = Q::read(&parts.uri).map_err(|error| invalid("the query", error))?;
    let bytes = match Limited::new(body, MAX_BODY).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("the body is larger than {MAX_BODY} bytes");
            return Err(ApiError::new(ErrorCode::TooLarge, message));
        }
        Err(error) => return Err(invalid("the body", format!("it broke off: {error}"))),
    };
    let body = B::read(&bytes).map_err(|error| invalid("the body", error))?;
    let Context { core, registry, trust, stop } = context;
    let (headers, peer) = (parts.headers, parts.extensions.get().cloned());
    Ok(Call { core, registry, trust, stop, caller, peer, headers, segments, query, body })
}
