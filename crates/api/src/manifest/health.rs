//! `[health]`: how it is known that an instance serves.

use crate::unit::Millis;

use super::decode::table;

table! {
    /// How it is known that an instance serves. Without `http` and `tcp` an instance that has a
    /// port is healthy when it accepts a connection, one that has none when its process lives.
    pub struct Health {
        /// A path that answers 2xx or 3xx when the instance serves.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(example = "/healthz")]
        pub http: Option<String> = None;
        /// Whether accepting a connection is the check; false with a port leaves only the process.
        /// A spec always says which.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tcp: Option<bool> = None;
        /// The port that is checked; none is `process.port`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub port: Option<u16> = None, in 1, 65535;
        /// The time between two checks of a healthy instance; 100ms to 5m.
        pub interval: Millis = Millis::secs(2), within Millis(100), Millis::secs(300);
        /// How long one check may take; 10ms to 1m.
        pub timeout: Millis = Millis::secs(1), within Millis(10), Millis::secs(60);
        /// How many checks in a row must fail until the instance is unhealthy.
        pub failures: u32 = 3, in 1, 100;
    }
}

/// What a check of an instance does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCheck {
    /// A GET of `path` on `port` answers 2xx or 3xx.
    Http {
        /// The port.
        port: u16,
        /// The path, with query.
        path: String,
    },
    /// `port` accepts a connection.
    Tcp {
        /// The port.
        port: u16,
    },
    /// The process lives.
    Alive,
}

impl Health {
    /// What a check does, for an instance that listens on `process_port`.
    #[must_use]
    pub fn check(&self, process_port: Option<u16>) -> HealthCheck {
        match (self.port.or(process_port), &self.http, self.tcp) {
            (Some(port), Some(path), _) => HealthCheck::Http { port, path: path.clone() },
            (Some(port), None, None | Some(true)) => HealthCheck::Tcp { port },
            (Some(_), None, Some(false)) | (None, _, _) => HealthCheck::Alive,
        }
    }
}
