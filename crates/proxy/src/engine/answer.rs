//! Answers of the proxy's own: short, plain, naming the route and never what is behind it.

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
    RETRY_AFTER,
};
use http::{Response, StatusCode, Version};

use super::response_body::ResponseBody;
use super::ticket::Ticket;

/// What the proxy says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Own {
    /// The request makes no sense.
    Bad(&'static str),
    /// Tunnels are not offered.
    MethodNotAllowed,
    /// The host is served by no route.
    NoRoute(String),
    /// Beyond the route's limit.
    TooLarge,
    /// The client's body stood still.
    BodyTimeout,
    /// No instance in service.
    Unavailable,
    /// The instance broke off or could not be reached.
    BadGateway,
    /// The instance was too slow.
    GatewayTimeout,
    /// Plain http to https.
    Redirect(String),
}

impl Own {
    fn status(&self) -> StatusCode {
        match self {
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoRoute(_) => StatusCode::NOT_FOUND,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::GatewayTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Redirect(_) => StatusCode::PERMANENT_REDIRECT,
        }
    }

    fn reason(&self, route: &str) -> String {
        match self {
            Self::Bad(what) => (*what).into(),
            Self::MethodNotAllowed => "CONNECT is not offered here".into(),
            Self::NoRoute(host) => format!("no route for host {host:?} and this path"),
            Self::TooLarge => format!("the request body is larger than route {route} allows"),
            Self::BodyTimeout => "the request body did not come in time".into(),
            Self::Unavailable => format!("no instance of route {route} is in service"),
            Self::BadGateway => format!("an instance of route {route} broke off"),
            Self::GatewayTimeout => format!("no instance of route {route} answered in time"),
            Self::Redirect(location) => format!("moved to {location}"),
        }
    }

    /// After these the rest of the request's body cannot be trusted or is not wanted.
    fn closes(&self) -> bool {
        matches!(self, Self::Bad(_) | Self::TooLarge | Self::BodyTimeout | Self::MethodNotAllowed)
    }
}

/// Whether the client prefers JSON: it names it in `Accept`.
pub(crate) fn wants_json(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().any(|value| {
        value.as_bytes().windows(16).any(|part| part.eq_ignore_ascii_case(b"application/json"))
    })
}

/// Makes the response and writes the status into the ticket.
pub(crate) fn respond(own: &Own, json: bool, mut ticket: Box<Ticket>) -> Response<ResponseBody> {
    let status = own.status();
    ticket.status = status.as_u16();
    let reason = own.reason(ticket.stats().map_or("", |stats| stats.name.as_str()));
    let (kind, text) = if json {
        ("application/json", serde_json::json!({ "error": reason }).to_string() + "\n")
    } else {
        ("text/plain; charset=utf-8", reason + "\n")
    };
    let close = own.closes() && ticket.version < Version::HTTP_2;
    let mut response = Response::new(ResponseBody::text(Bytes::from(text), ticket));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    match own {
        Own::Unavailable => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Own::MethodNotAllowed => {
            headers.insert(
                ALLOW,
                HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            );
        }
        Own::Redirect(location) => {
            headers.remove(CACHE_CONTROL);
            if let Ok(location) = HeaderValue::from_str(location) {
                headers.insert(LOCATION, location);
            }
        }
        _ => {}
    }
    response
}
