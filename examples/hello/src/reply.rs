//! What to answer: a pure function of a request's head and the settings, and how an answer is
//! written down.

use std::io::Write;
use std::time::Duration;

use crate::http::Head;
use crate::settings::Settings;

/// The longest delay of `/slow`.
const MAX_DELAY_MS: u64 = 60_000;

/// The most that `/bytes` answers.
const MAX_BYTES: u64 = 1 << 30;

/// An answer that is decided and not yet written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The media type of the content.
    pub(crate) content_type: &'static str,
    /// What to send.
    pub(crate) content: Content,
    /// How long to wait first.
    pub(crate) delay: Option<Duration>,
    /// Whether only the head is sent.
    pub(crate) head_only: bool,
}

/// An answer's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// This text.
    Text(String),
    /// The number of bytes of the request's body, known when it has arrived.
    Received,
    /// So many bytes of filling.
    Filling(u64),
}

impl Reply {
    /// A short text.
    pub(crate) fn text(status: u16, text: impl Into<String>) -> Self {
        Self {
            status,
            content_type: "text/plain",
            content: Content::Text(text.into()),
            delay: None,
            head_only: false,
        }
    }

    /// Decides the answer to a request.
    pub(crate) fn to(head: &Head<'_>, settings: &Settings) -> Self {
        let mut reply = if matches!(head.method, "GET" | "HEAD" | "POST" | "PUT") {
            Self::at_path(head, settings)
        } else {
            Self::text(405, "method not allowed\n")
        };
        reply.head_only = head.method == "HEAD";
        reply
    }

    fn at_path(head: &Head<'_>, settings: &Settings) -> Self {
        match head.path {
            "/" if head.wants_text => Self::who_as_text(settings),
            "/" => Self::who(settings),
            "/plain" => Self::who_as_text(settings),
            "/healthz" if settings.unhealthy => Self::text(503, "unhealthy\n"),
            "/healthz" => Self::text(200, "ok\n"),
            "/headers" => Self::text(200, format!("{}\n", head.text)),
            "/slow" => match number(head.query, "ms", MAX_DELAY_MS) {
                Some(ms) => Self { delay: Some(Duration::from_millis(ms)), ..Self::who(settings) },
                None => Self::text(400, format!("ms must be 0 to {MAX_DELAY_MS}\n")),
            },
            "/bytes" => match number(head.query, "n", MAX_BYTES) {
                Some(n) => Self {
                    content_type: "application/octet-stream",
                    content: Content::Filling(n),
                    ..Self::text(200, "")
                },
                None => Self::text(400, format!("n must be 0 to {MAX_BYTES}\n")),
            },
            "/upload" => Self { content: Content::Received, ..Self::text(200, "") },
            _ => Self::text(404, "not found\n"),
        }
    }

    fn who(settings: &Settings) -> Self {
        let fields = [
            ("app", "hello"),
            ("version", env!("CARGO_PKG_VERSION")),
            ("instance", &settings.instance),
            ("release", &settings.release),
            ("environment", &settings.environment),
        ];
        let fields = fields.map(|(name, value)| format!("\"{name}\":{}", json_string(value)));
        let text = format!("{{{}}}\n", fields.join(","));
        Self { content_type: "application/json", ..Self::text(200, text) }
    }

    fn who_as_text(settings: &Settings) -> Self {
        let Settings { instance, release, environment, .. } = settings;
        let version = env!("CARGO_PKG_VERSION");
        let text = format!(
            "hello {version} from instance {instance}, release {release}, in {environment}\n"
        );
        Self::text(200, text)
    }

    /// Appends the head and all but the filling to `out`; gives what filling is to follow.
    pub(crate) fn write(&self, out: &mut Vec<u8>, received: u64, keep_alive: bool) -> u64 {
        let counted;
        let (text, filling) = match &self.content {
            Content::Text(text) => (text.as_str(), 0),
            Content::Received => {
                counted = format!("{received}\n");
                (counted.as_str(), 0)
            }
            Content::Filling(n) => ("", *n),
        };
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            431 => "Request Header Fields Too Large",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            505 => "HTTP Version Not Supported",
            _ => "Unknown",
        };
        let length = text.len() as u64 + filling;
        let Self { status, content_type, .. } = self;
        let close = if keep_alive { "" } else { "connection: close\r\n" };
        let allow = if *status == 405 { "allow: GET, HEAD, POST, PUT\r\n" } else { "" };
        write!(
            out,
            "HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\n\
             content-length: {length}\r\n{allow}{close}\r\n"
        )
        .expect("writing to memory does not fail");
        if self.head_only {
            return 0;
        }
        out.extend_from_slice(text.as_bytes());
        filling
    }
}

/// The number of a query's parameter, when it is there and not over `most`.
fn number(query: &str, name: &str, most: u64) -> Option<u64> {
    query
        .split('&')
        .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        .and_then(|value| value.parse().ok())
        .filter(|value| *value <= most)
}

/// A JSON string (RFC 8259 §7).
fn json_string(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse_head;

    fn settings() -> Settings {
        Settings::read(|name| name.strip_prefix("FREEHOLD_").map(str::to_lowercase)).unwrap()
    }

    fn ask(line: &str, settings: &Settings) -> Reply {
        let text = format!("{line} HTTP/1.1\r\n\r\n");
        let (head, _) = parse_head(text.as_bytes()).unwrap().unwrap();
        Reply::to(&head, settings)
    }

    #[test]
    fn paths_are_answered() {
        for (line, status) in [
            ("GET /", 200),
            ("GET /plain?x", 200),
            ("HEAD /healthz", 200),
            ("POST /upload", 200),
            ("GET /slow?ms=60000", 200),
            ("GET /slow?ms=60001", 400),
            ("GET /slow", 400),
            ("GET /bytes?a=1&n=5", 200),
            ("GET /bytes?n=-5", 400),
            ("GET /other", 404),
            ("DELETE /", 405),
        ] {
            assert_eq!(ask(line, &settings()).status, status, "{line}");
        }
        let sick = Settings { unhealthy: true, ..settings() };
        assert_eq!(ask("GET /healthz", &sick).status, 503);
    }

    #[test]
    fn the_answer_says_who_answers() {
        let Content::Text(text) = ask("GET /", &settings()).content else { panic!("no text") };
        assert!(text.contains(r#""instance":"instance","release":"release""#), "{text}");
        let odd = Settings { instance: "a\"\\\n".to_owned(), ..settings() };
        let Content::Text(text) = ask("GET /", &odd).content else { panic!("no text") };
        assert!(text.contains(r#""instance":"a\"\\\u000a""#), "{text}");
    }

    #[test]
    fn lengths_are_those_of_the_content() {
        let mut out = Vec::new();
        assert_eq!(ask("GET /bytes?n=7", &settings()).write(&mut out, 0, true), 7);
        assert!(out.ends_with(b"content-length: 7\r\n\r\n"));
        out.clear();
        assert_eq!(ask("HEAD /bytes?n=7", &settings()).write(&mut out, 0, false), 0);
        assert!(out.ends_with(b"content-length: 7\r\nconnection: close\r\n\r\n"));
        out.clear();
        assert_eq!(ask("PUT /upload", &settings()).write(&mut out, 1234, true), 0);
        assert!(out.ends_with(b"content-length: 5\r\n\r\n1234\n"));
    }
}
