//! One call: which server it goes to, when it is made again, and what its answer means.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::error::{ApiError, ErrorCode};
use api::protocol::SecretValue;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_rustls::TlsConnector;

use crate::address::Address;
use crate::connect::{self, Connector};
use crate::error::{ClientError, Unreached};

/// The header that says which authorities the cluster has.
const AUTHORITIES: HeaderName = HeaderName::from_static("freehold-authorities");

/// The header that carries revisions.
const REVISION: HeaderName = HeaderName::from_static("freehold-revision");

/// How long an answer may take to begin, and where it is small to end: a deployment asks a registry
/// off the cluster, which has 30 s of its own.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Pauses before all addresses are tried again: a server that is being restarted comes back within
/// them, and who typed a wrong address does not wait.
const PAUSES: [Duration; 2] = [Duration::from_millis(150), Duration::from_millis(600)];

/// Bytes of the largest answer that is held whole: 100,000 instances of 600 bytes.
const MAX_ANSWER: usize = 64 << 20;

/// How to reach a cluster.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The servers, `https://HOST:PORT`; scheme and port may be left out.
    pub addresses: Vec<String>,
    /// Who asks; none only for what needs no token.
    pub token: Option<SecretValue>,
    /// The authorities whose servers are trusted, PEM; none means those of the machine.
    pub ca_pem: Option<String>,
}

/// A client of one cluster. Cheap to clone; clones share connections and the revision seen.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    addresses: Vec<Address>,
    /// The address that answered last.
    current: AtomicUsize,
    authorization: Option<HeaderValue>,
    /// The highest revision that any answer carried.
    revision: AtomicU64,
    /// What the last answer said of the cluster's authorities.
    authorities: Mutex<Option<String>>,
    pool: legacy::Client<Connector, Full<Bytes>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("addresses", &self.inner.addresses).finish_non_exhaustive()
    }
}

/// Whether a call may be made again when it is not known what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// It may: made twice it does what it does once.
    Safe,
    /// Only when it certainly was not begun.
    OnlyUnsent,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) again: Again,
}

impl Call {
    /// A call without body. Made again freely unless it is a POST or PATCH (RFC 9110 §9.2.2).
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        let again = if method.is_idempotent() { Again::Safe } else { Again::OnlyUnsent };
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        Self { method, path: path.into(), headers, body: Bytes::new(), again }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(crate) fn json<T: Serialize>(mut self, body: &T) -> Self {
        let body = serde_json::to_vec(body).expect("kinds have text keys only, so they are JSON");
        self.body = body.into();
        self.header(CONTENT_TYPE, "application/json")
    }

    pub(crate) fn body(mut self, media_type: &str, body: Bytes) -> Self {
        self.body = body;
        self.header(CONTENT_TYPE, media_type)
    }

    pub(crate) fn safe_again(mut self) -> Self {
        self.again = Again::Safe;
        self
    }

    fn what(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) address: Address,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether an earlier try of the same call may have been carried out.
    pub(crate) repeated: bool,
}

/// An answer whose body is still coming.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) address: Address,
    pub(crate) response: Response<Incoming>,
    repeated: bool,
}

/// Why one try failed.
struct Failure {
    unreached: Unreached,
    /// Whether the server may have begun.
    sent: bool,
}

impl Client {
    /// Makes a client. Nothing is connected yet.
    ///
    /// # Errors
    /// When an address, the token or the authorities are malformed, or no address is given.
    pub fn new(config: &Config) -> Result<Self, ClientError> {
        let addresses: Result<Vec<Address>, _> =
            config.addresses.iter().map(|address| address.parse()).collect();
        let addresses = addresses?;
        if addresses.is_empty() {
            return Err(ClientError::NoAddress);
        }
        let authorization = config.token.as_ref().map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.0.trim()))
                .map_err(|_| ClientError::Token)?;
            value.set_sensitive(true);
            Ok::<_, ClientError>(value)
        });
        let tls = connect::tls(config.ca_pem.as_deref())?;
        Ok(Self::of(addresses, authorization.transpose()?, tls))
    }

    /// Makes a client that has no token and speaks TLS as it is told: for machines that join, and
    /// for servers among themselves. Nothing is connected yet.
    ///
    /// # Errors
    /// When an address is malformed, or none is given.
    pub fn with_tls(addresses: &[String], tls: ClientConfig) -> Result<Self, ClientError> {
        let addresses: Result<Vec<Address>, _> =
            addresses.iter().map(|address| address.parse()).collect();
        let addresses = addresses?;
        if addresses.is_empty() {
            return Err(ClientError::NoAddress);
        }
        Ok(Self::of(addresses, None, Arc::new(tls)))
    }

    fn of(
        addresses: Vec<Address>,
        authorization: Option<HeaderValue>,
        tls: Arc<ClientConfig>,
    ) -> Self {
        let connector = Connector { tls: TlsConnector::from(tls) };
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .http2_keep_alive_interval(Duration::from_secs(10))
            .http2_keep_alive_timeout(Duration::from_secs(5))
            .http2_initial_stream_window_size(1 << 20)
            .http2_initial_connection_window_size(4 << 20)
            .build(connector);
        Self {
            inner: Arc::new(Inner {
                addresses,
                current: AtomicUsize::new(0),
                authorization,
                revision: AtomicU64::new(0),
                authorities: Mutex::new(None),
                pool,
            }),
        }
    }

    /// The servers' addresses, as given.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.inner.addresses
    }

    /// The highest revision seen in any answer; zero before the first.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.inner.revision.load(Ordering::Relaxed)
    }

    /// Notes a revision that was seen elsewhere: later calls wait for it.
    pub fn saw_revision(&self, revision: u64) {
        self.inner.revision.fetch_max(revision, Ordering::Relaxed);
    }

    /// Makes a call whose answer is a JSON value.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        let answer = self.fetch(&call).await?;
        if !answer.status.is_success() {
            return Err(refusal(&answer, &call));
        }
        serde_json::from_slice(&answer.body).map_err(|error| ClientError::Answer {
            address: answer.address,
            what: call.what(),
            reason: error.to_string(),
        })
    }

    /// Makes a call whose answer is that it was done. What a repeated removal does not find any
    /// more was removed by the first.
    pub(crate) async fn done(&self, call: Call) -> Result<(), ClientError> {
        let answer = self.fetch(&call).await?;
        let removed = call.method == Method::DELETE
            && answer.repeated
            && answer.status == StatusCode::NOT_FOUND;
        if answer.status.is_success() || removed {
            return Ok(());
        }
        Err(refusal(&answer, &call))
    }

    /// Makes a call whose answer comes bit by bit; refusals are errors.
    pub(crate) async fn open(&self, call: &Call) -> Result<Opened, ClientError> {
        let opened = self.send(call, |opened| async move { Ok(opened) }).await?;
        if opened.response.status().is_success() {
            return Ok(opened);
        }
        let answer = whole(opened).await.map_err(|f| ClientError::Lost(f.unreached))?;
        Err(refusal(&answer, call))
    }

    /// Makes a call and takes its answer whole, whatever its status.
    pub(crate) async fn fetch(&self, call: &Call) -> Result<Answer, ClientError> {
        self.send(call, whole).await
    }

    /// Tries the addresses in turn, beginning with the one that answered last.
    async fn send<T, F>(&self, call: &Call, finish: impl Fn(Opened) -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let inner = &*self.inner;
        let start = inner.current.load(Ordering::Relaxed);
        let mut unreached: Vec<Option<Unreached>> = vec![None; inner.addresses.len()];
        let mut repeated = false;
        for pause in [Duration::ZERO].into_iter().chain(PAUSES) {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            for step in 0..inner.addresses.len() {
                let index = (start + step) % inner.addresses.len();
                let address = &inner.addresses[index];
                match self.attempt(address, call, repeated, &finish).await {
                    Ok(answer) => {
                        inner.current.store(index, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Err(failure) if failure.sent && call.again == Again::OnlyUnsent => {
                        return Err(ClientError::Lost(failure.unreached));
                    }
                    Err(failure) => {
                        tracing::debug!(reason = %failure.unreached, "a server does not answer");
                        repeated |= failure.sent;
                        unreached[index] = Some(failure.unreached);
                    }
                }
            }
        }
        Err(ClientError::Unreachable(unreached.into_iter().flatten().collect()))
    }

    /// One try at one address.
    async fn attempt<T, F>(
        &self,
        address: &Address,
        call: &Call,
        repeated: bool,
        finish: &impl Fn(Opened) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let fail = |cause: String, sent: bool| Failure {
            unreached: Unreached { address: address.clone(), cause },
            sent,
        };
        let request =
            self.request(address, call).map_err(|error| fail(error.to_string(), false))?;
        let answer = async {
            let response = match self.inner.pool.request(request).await {
                Ok(response) => response,
                Err(error) => return Err(fail(chain(&error), !error.is_connect())),
            };
            self.note(response.headers());
            if response.status() == StatusCode::SERVICE_UNAVAILABLE && self.others() {
                // Another server may have what this one lacks.
                let opened = Opened { address: address.clone(), response, repeated };
                let answer = whole(opened).await?;
                return Err(fail(refusal(&answer, call).to_string(), true));
            }
            finish(Opened { address: address.clone(), response, repeated }).await
        };
        match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Ok(answer) => answer,
            Err(_) => {
                let text = format!("no answer within {} s", ANSWER_WITHIN.as_secs());
                Err(fail(text, true))
            }
        }
    }

    fn others(&self) -> bool {
        self.inner.addresses.len() > 1
    }

    fn request(&self, address: &Address, call: &Call) -> http::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(format!("{address}{}", call.path))
            .body(Full::new(call.body.clone()))?;
        let headers = request.headers_mut();
        headers.extend(call.headers.clone());
        if let Some(authorization) = &self.inner.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let revision = self.revision();
        if revision > 0 {
            headers.insert(REVISION, HeaderValue::from(revision));
        }
        Ok(request)
    }

    /// What the last answer said of the cluster's authorities: the SHA-256 of their PEM text, where
    /// they were ever exchanged.
    #[must_use]
    pub fn authorities_seen(&self) -> Option<String> {
        self.inner.authorities.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, headers: &HeaderMap) {
        if let Some(digest) = headers.get(AUTHORITIES).and_then(|value| value.to_str().ok()) {
            let mut seen = self.inner.authorities.lock().unwrap_or_else(PoisonError::into_inner);
            *seen = Some(digest.to_owned());
        }
        let revision = headers.get(REVISION).and_then(|value| value.to_str().ok());
        if let Some(revision) = revision.and_then(|text| text.parse().ok()) {
            self.saw_revision(revision);
        }
    }
}

/// Takes an answer's body whole.
async fn whole(opened: Opened) -> Result<Answer, Failure> {
    let Opened { address, response, repeated } = opened;
    let (parts, body) = response.into_parts();
    match Limited::new(body, MAX_ANSWER).collect().await {
        Ok(body) => Ok(Answer {
            address,
            status: parts.status,
            headers: parts.headers,
            body: body.to_bytes(),
            repeated,
        }),
        Err(error) => {
            let cause = format!("the answer broke off: {error}");
            Err(Failure { unreached: Unreached { address, cause }, sent: true })
        }
    }
}

/// The error that an answer says.
pub(crate) fn refusal(answer: &Answer, call: &Call) -> ClientError {
    if let Ok(error) = serde_json::from_slice::<ApiError>(&answer.body) {
        return ClientError::Api(error);
    }
    let text = String::from_utf8_lossy(&answer.body);
    let text: String = text.trim().chars().take(200).collect();
    let message =
        format!("{} answered {} to {}: {text}", answer.address, answer.status, call.what());
    ClientError::Api(ApiError::new(code_of(answer.status), message))
}

/// The code that fits a status which came without one.
pub(crate) fn code_of(status: StatusCode) -> ErrorCode {
    match status.as_u16() {
        401 => ErrorCode::Unauthenticated,
        403 => ErrorCode::Forbidden,
        404 => ErrorCode::NotFound,
        409 | 412 => ErrorCode::Conflict,
        413 => ErrorCode::TooLarge,
        429 | 502..=504 | 507 => ErrorCode::Unavailable,
        400..=499 => ErrorCode::Invalid,
        _ => ErrorCode::Internal,
    }
}

/// What an error of the pool says, without its own generic first words.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(next) = cause {
        let part = next.to_string();
        if !text.contains(&part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
        cause = next.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}
