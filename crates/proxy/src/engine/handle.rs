//! A request from its head to its route: what the client may say, who it is for, and what it looks
//! like when it goes on.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use api::ingress::{Protocol, Route};
use http::header::{
    CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{PathAndQuery, Scheme};
use http::{Method, Request, Response, Uri, Version, request};
use http_body::Body as _;
use hyper::body::Incoming;

use super::answer::{Own, respond, wants_json};
use super::client::ClientState;
use super::forward::{Outgoing, forward};
use super::request_body::SharedBody;
use super::response_body::ResponseBody;
use super::ticket::Ticket;
use crate::decide::{hop, route};

/// Answers one request.
pub(crate) async fn handle(
    client: Rc<ClientState>,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let (mut parts, body) = request.into_parts();
    let mut ticket = Ticket::begin(&client, parts.method.clone(), parts.uri.clone(), parts.version);
    match prepare(&client, &mut parts, body, &mut ticket) {
        Ok(outgoing) => forward(outgoing, ticket).await,
        Err(own) => respond(&own, wants_json(&parts.headers), ticket),
    }
}

/// Everything before the first attempt. Nothing here waits.
fn prepare(
    client: &ClientState,
    parts: &mut request::Parts,
    body: Incoming,
    ticket: &mut Ticket,
) -> Result<Outgoing, Own> {
    if parts.method == Method::CONNECT {
        return Err(Own::MethodNotAllowed);
    }
    let host = host_of(parts)?;
    ticket.host = Some(host.clone());
    let text = host.to_str().map_err(|_| Own::Bad("the host is not readable"))?;
    let name = match text {
        "" => Cow::Borrowed(""),
        text => route::normalise_host(text).ok_or(Own::Bad("the host is malformed"))?,
    };
    let local = Rc::clone(&ticket.local);
    let Some(index) = local.compiled.http.find(&name, parts.uri.path()) else {
        return Err(Own::NoRoute(name.chars().take(80).collect()));
    };
    ticket.set_route(index);
    let route = &local.compiled.table.routes[index];
    if route.redirect_to_https && !client.https {
        return Err(Own::Redirect(https_location(
            &name,
            &parts.uri,
            local.compiled.table.https_port,
        )));
    }
    let upgrade = match (parts.version, route.protocol) {
        (Version::HTTP_11, Protocol::Http1) => hop::wanted_upgrade(&parts.headers),
        _ => None,
    };
    let body = body_of(parts, body, route)?;
    ticket.body.clone_from(&body);
    hop::remove(&mut parts.headers);
    let trusted = &local.compiled.table.trusted_proxies;
    client.peer.borrow_mut().apply(&mut parts.headers, &host, trusted);
    let uri = match route.protocol {
        Protocol::Http1 => shape_for_h1(parts, host, body.is_some(), upgrade.as_ref())?,
        Protocol::H2c => shape_for_h2(parts, &host)?,
    };
    Ok(Outgoing {
        method: parts.method.clone(),
        uri,
        headers: std::mem::take(&mut parts.headers),
        body,
        upgrade,
    })
}

/// The host asked for: the target's authority beats the header (RFC 9112 §3.2.2). HTTP/1.0 may go
/// without; two different ones are an attack.
fn host_of(parts: &request::Parts) -> Result<HeaderValue, Own> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let header = hosts.next();
    if hosts.next().is_some() {
        return Err(Own::Bad("more than one host header"));
    }
    if let Some(authority) = parts.uri.authority() {
        if authority.as_str().contains('@') {
            return Err(Own::Bad("the target names a user"));
        }
        return HeaderValue::from_str(authority.as_str())
            .map_err(|_| Own::Bad("the target is malformed"));
    }
    match header {
        Some(host) => Ok(host.clone()),
        None if parts.version < Version::HTTP_11 => Ok(HeaderValue::from_static("")),
        None => Err(Own::Bad("the host header is missing")),
    }
}

fn https_location(host: &str, uri: &Uri, port: Option<u16>) -> String {
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    match port {
        None | Some(443) => format!("https://{host}{path}"),
        Some(port) => format!("https://{host}:{port}{path}"),
    }
}

fn body_of(
    parts: &request::Parts,
    body: Incoming,
    route: &Route,
) -> Result<Option<Rc<SharedBody>>, Own> {
    if body.is_end_stream() {
        return Ok(None);
    }
    let known = body.size_hint().exact();
    if let (Some(limit), Some(length)) = (route.max_body_bytes, known)
        && length > limit
    {
        return Err(Own::TooLarge);
    }
    if parts.version < Version::HTTP_2
        && parts.headers.contains_key(CONTENT_LENGTH)
        && parts.headers.contains_key(TRANSFER_ENCODING)
    {
        return Err(Own::Bad("both content-length and transfer-encoding"));
    }
    let stall = Duration::from_millis(route.idle_timeout_ms);
    Ok(Some(SharedBody::new(body, route.max_body_bytes, stall)))
}

/// Origin form, one host, one framing (RFC 9112 §3.2.1, §6.3); cookies joined (RFC 9113 §8.2.3).
fn shape_for_h1(
    parts: &mut request::Parts,
    host: HeaderValue,
    has_body: bool,
    upgrade: Option<&HeaderValue>,
) -> Result<Uri, Own> {
    let headers = &mut parts.headers;
    if let Some(protocol) = upgrade {
        headers.insert(http::header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
    if has_body && !headers.contains_key(CONTENT_LENGTH) {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if parts.version >= Version::HTTP_2 {
        join_cookies(headers);
    }
    if parts.uri.authority().is_none() {
        if parts.version < Version::HTTP_11 {
            headers.entry(HOST).or_insert(host);
        }
        return Ok(std::mem::take(&mut parts.uri));
    }
    headers.insert(HOST, host);
    let path = parts.uri.path_and_query().cloned();
    Ok(Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/"))))
}

fn shape_for_h2(parts: &mut request::Parts, host: &HeaderValue) -> Result<Uri, Own> {
    parts.headers.remove(HOST);
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(Scheme::HTTP);
    let authority =
        if host.is_empty() { "localhost" } else { host.to_str().unwrap_or("localhost") };
    uri.authority = authority.parse().ok();
    let path = parts.uri.path_and_query().cloned();
    uri.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    Uri::from_parts(uri).map_err(|_| Own::Bad("the target is malformed"))
}

fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    if cookies.next().is_none() || cookies.next().is_none() {
        return;
    }
    let all: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}
