//! `[process]`: what runs in an instance, and what it may do and write.

use std::collections::BTreeMap;

use crate::unit::{Bytes, Millis};

use super::decode::table;
use super::word::words;

table! {
    /// What runs in an instance, and what it may do and write.
    pub struct Process {
        /// The program and its first arguments; none is the image's entrypoint.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(example = serde_json::json!(["/bin/shop"]))]
        pub command: Option<Vec<String>> = None;
        /// What follows the command; none is the image's, or nothing when `command` is given.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(example = serde_json::json!(["--listen", ":8080"]))]
        pub args: Option<Vec<String>> = None;
        /// Who it runs as inside: a name of the image's `/etc/passwd`, `uid` or `uid:gid`; none is
        /// the image's.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(example = "1000:1000")]
        pub user: Option<String> = None;
        /// Where it starts: an absolute path; none is the image's.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(example = "/srv")]
        pub working_dir: Option<String> = None;
        /// Whether a tiny init runs as pid 1, reaps orphans and passes signals on.
        pub init: bool = true;
        /// Capabilities it keeps; none by default.
        #[schemars(example = serde_json::json!(["NET_BIND_SERVICE"]))]
        pub capabilities: Vec<Capability> = Vec::new();
        /// How many processes of its own the service may consist of; at most `resources.pids`.
        pub processes: u32 = 1, in 1, 32768;
        /// Writable paths on disk with the size of each; lost when the instance ends.
        #[schemars(example = serde_json::json!({"/data": "1GiB"}))]
        pub scratch: BTreeMap<String, Bytes> = BTreeMap::new(),
            within Bytes::mib(1), Bytes(1 << 40);
        /// The port it listens on.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(example = 8080)]
        pub port: Option<u16> = None, in 1, 65535;
        /// What it speaks on that port.
        pub protocol: Protocol = Protocol::Http;
        /// Writable paths in memory (tmpfs), counted against `resources.memory`.
        #[schemars(example = serde_json::json!(["/tmp"]))]
        pub writable: Vec<String> = Vec::new();
        /// The signal that asks it to stop; none is the image's, or SIGTERM.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub stop_signal: Option<StopSignal> = None;
        /// How long it has between that signal and SIGKILL; at most 10m.
        pub stop_grace: Millis = Millis::secs(10), within Millis(0), Millis::secs(600);
    }
}

words! {
    /// What an app speaks on its port.
    #[derive(Default)]
    pub enum Protocol = "a protocol" {
        /// HTTP/1.1; WebSocket too.
        #[default]
        Http = "http",
        /// HTTP/2 without TLS from the first byte; what gRPC speaks.
        H2c = "h2c",
        /// Any bytes.
        Tcp = "tcp",
    }
}

words! {
    /// A capability an app may keep: those that reach no further than its own container and its
    /// user namespace (capabilities(7)).
    pub enum Capability = "a capability that an app may have" {
        /// Change owners of files.
        Chown = "CHOWN",
        /// Pass over permissions of files.
        DacOverride = "DAC_OVERRIDE",
        /// Act as the owner of files.
        Fowner = "FOWNER",
        /// Keep set-user-id bits when a file changes.
        Fsetid = "FSETID",
        /// Signal processes of other users of the container.
        Kill = "KILL",
        /// Listen on ports below 1024.
        NetBindService = "NET_BIND_SERVICE",
        /// Become another group of the container.
        Setgid = "SETGID",
        /// Become another user of the container.
        Setuid = "SETUID",
    }
}

words! {
    /// A signal that asks an app to stop.
    pub enum StopSignal = "a signal that stops an app" {
        /// Asks to end.
        Term = "SIGTERM",
        /// As typed by Ctrl-C.
        Int = "SIGINT",
        /// Asks to end; nginx ends gracefully on it.
        Quit = "SIGQUIT",
        /// The terminal is gone.
        Hup = "SIGHUP",
        /// Free for the app's own use.
        Usr1 = "SIGUSR1",
        /// Free for the app's own use.
        Usr2 = "SIGUSR2",
        /// Apache httpd ends gracefully on it.
        Winch = "SIGWINCH",
        /// Ends at once, without a chance to tidy up.
        Kill = "SIGKILL",
    }
}

impl StopSignal {
    /// Its number on Linux (signal(7); the same on x86-64 and arm64).
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Hup => 1,
            Self::Int => 2,
            Self::Quit => 3,
            Self::Kill => 9,
            Self::Usr1 => 10,
            Self::Usr2 => 12,
            Self::Term => 15,
            Self::Winch => 28,
        }
    }
}
