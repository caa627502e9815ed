//! A request from its route to a response: choose, attempt, and try elsewhere what may be.

use std::rc::Rc;
use std::time::Duration;

use api::ingress::{Protocol, Route};
use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use http::{Method, Request, Response, StatusCode, Uri, Version};

use super::answer::{Own, respond, wants_json};
use super::attempt::{self, Answer, Failure, Kind};
use super::endpoint::Endpoint;
use super::request_body::{AttemptBody, BodyError, SharedBody};
use super::response_body::{ResponseBody, Source};
use super::ticket::{Lease, Ticket};
use super::tunnel::Tunnel;
use crate::decide::eject::Outcome;
use crate::decide::hop;
use crate::decide::retry::{Failed, MAX_ATTEMPTS, Sent, is_idempotent, may_retry};

/// A request ready to go to an instance.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Rc<SharedBody>>,
    pub(crate) upgrade: Option<HeaderValue>,
}

impl Outgoing {
    /// The request for one attempt. The headers are copied only when a failure after sending may
    /// be followed by another attempt.
    fn request(&mut self, keep: bool, protocol: Protocol) -> Request<AttemptBody> {
        let body = match &self.body {
            None => AttemptBody::None,
            Some(body) => AttemptBody::Shared { body: Rc::clone(body), next: 0 },
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() =
            if keep { self.headers.clone() } else { std::mem::take(&mut self.headers) };
        *request.version_mut() = match protocol {
            Protocol::Http1 => Version::HTTP_11,
            Protocol::H2c => Version::HTTP_2,
        };
        request
    }
}

/// Forwards a request and returns the response for the client.
pub(crate) async fn forward(mut out: Outgoing, mut ticket: Box<Ticket>) -> Response<ResponseBody> {
    let local = Rc::clone(&ticket.local);
    let index = ticket.route.expect("only routed requests are forwarded");
    let route = &local.compiled.table.routes[index];
    let groups = &local.compiled.groups[index];
    let json = wants_json(&out.headers);
    let idempotent = is_idempotent(&out.method);
    let repeatable = idempotent || route.protocol == Protocol::H2c;
    let timeout = Duration::from_millis(route.response_timeout_ms);
    let mut tried: Vec<Rc<Endpoint>> = Vec::new();
    let mut last: Option<Kind> = None;
    for attempts in 1..=MAX_ATTEMPTS {
        let worker = &ticket.client.worker;
        let Some(endpoint) = local.choose(worker, groups, &tried) else { break };
        ticket.retries = attempts - 1;
        ticket.lease = Some(Lease::new(Rc::clone(&endpoint)));
        let request = out.request(repeatable && attempts < MAX_ATTEMPTS, route.protocol);
        let result = match route.protocol {
            Protocol::Http1 => attempt::h1(&endpoint, request, idempotent, timeout).await,
            Protocol::H2c => attempt::h2(&endpoint, request, timeout).await,
        };
        let failure = match result {
            Ok(answer) => return answered(answer, &out, ticket, route).await,
            Err(failure) => failure,
        };
        if let Some(error) = out.body.as_ref().and_then(|body| body.error.get()) {
            return respond(&own_for_body(error), json, ticket);
        }
        note_failure(&ticket, &endpoint, &failure, &mut tried);
        last = Some(failure.kind);
        let failed = Failed {
            sent: failure.sent,
            idempotent,
            body_whole: out.body.as_ref().is_none_or(|body| body.is_whole()),
            response_begun: false,
            attempts,
        };
        if failure.kind == Kind::Late || !may_retry(failed) {
            break;
        }
        if !repeatable && let Some(mut request) = failure.request {
            out.headers = std::mem::take(request.headers_mut());
        }
    }
    let own = match last {
        None => Own::Unavailable,
        Some(Kind::Unreachable)
            if local.choose(&ticket.client.worker, groups, &tried).is_none() =>
        {
            Own::Unavailable
        }
        Some(Kind::Unreachable | Kind::Broken) => Own::BadGateway,
        Some(Kind::Late) => Own::GatewayTimeout,
    };
    ticket.error = Some(match last {
        None => "no instance in service",
        Some(Kind::Unreachable) => "instance unreachable",
        Some(Kind::Broken) => "instance broke off",
        Some(Kind::Late) => "instance too slow",
    });
    respond(&own, json, ticket)
}

fn own_for_body(error: BodyError) -> Own {
    match error {
        BodyError::TooLarge => Own::TooLarge,
        BodyError::Stalled => Own::BodyTimeout,
        BodyError::Broken => Own::Bad("the request body broke off"),
    }
}

fn note_failure(
    ticket: &Ticket,
    endpoint: &Rc<Endpoint>,
    failure: &Failure,
    tried: &mut Vec<Rc<Endpoint>>,
) {
    let now = ticket.client.worker.clock.now_ms();
    if failure.stale && failure.kind == Kind::Broken {
        // Its neighbours in the pool are likely closed too; a new connection will tell.
        endpoint.drop_idle();
        if failure.sent == Sent::Perhaps {
            endpoint.note(Outcome::Failed, now);
        }
        return;
    }
    let outcome = match failure.kind {
        Kind::Unreachable => Outcome::Unreachable,
        Kind::Broken | Kind::Late => Outcome::Failed,
    };
    endpoint.note(outcome, now);
    debug_assert!(tried.len() < MAX_ATTEMPTS as usize, "one entry an attempt");
    tried.push(Rc::clone(endpoint));
}

/// Turns an instance's response into the client's.
async fn answered(
    (mut response, source): Answer,
    out: &Outgoing,
    mut ticket: Box<Ticket>,
    route: &Route,
) -> Response<ResponseBody> {
    let status = response.status();
    ticket.status = status.as_u16();
    let worker = Rc::clone(&ticket.client.worker);
    if let Some(lease) = &ticket.lease {
        let outcome = match status.as_u16() {
            502..=504 => Outcome::Failed,
            _ => Outcome::Answered,
        };
        lease.endpoint.note(outcome, worker.clock.coarse_ms());
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return switch(response, source, out, ticket, route).await;
    }
    hop::remove(response.headers_mut());
    if worker.is_draining() && ticket.version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    *response.version_mut() = Version::HTTP_11;
    let stall = Duration::from_millis(route.idle_timeout_ms);
    response.map(|()| ResponseBody::new(source, ticket, stall))
}

/// The instance agreed to another protocol: both connections become a tunnel.
async fn switch(
    mut response: Response<()>,
    source: Source,
    out: &Outgoing,
    mut ticket: Box<Ticket>,
    route: &Route,
) -> Response<ResponseBody> {
    let (Source::H1 { incoming, connection: Some(mut connection) }, Some(protocol)) =
        (source, &out.upgrade)
    else {
        ticket.error = Some("instance switched protocols unasked");
        return respond(&Own::BadGateway, false, ticket);
    };
    drop(incoming);
    attempt::switched(&mut connection).await;
    let chosen = response.headers().get(UPGRADE).cloned().unwrap_or_else(|| protocol.clone());
    hop::remove(response.headers_mut());
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, chosen);
    let (stream, early) = connection.into_stream();
    let client = Rc::clone(&ticket.client);
    let idle = Duration::from_millis(route.idle_timeout_ms);
    let tunnel = Tunnel { stream, early, idle, ticket: Some(ticket) };
    *client.tunnel.borrow_mut() = Some(Box::new(tunnel));
    response.map(|()| ResponseBody::nothing())
}
