//! `[uses]`, `[metrics]`, `[jobs]` and `[files]`: read, checked and stored, but without effect yet;
//! [`Manifest::unsupported`](super::Manifest::unsupported) names them.

use crate::id::{AppName, SecretName};
use crate::unit::Millis;

use super::decode::table;

table! {
    /// What the app talks to.
    pub struct Uses {
        /// Other apps of the same environment.
        #[schemars(example = serde_json::json!(["billing"]))]
        pub apps: Vec<AppName> = Vec::new();
        /// Bindings: named connections to something off the platform.
        #[schemars(example = serde_json::json!(["orders-db"]))]
        pub bindings: Vec<String> = Vec::new();
    }
}

table! {
    /// Where the app shows its own metrics, in the text format of Prometheus.
    pub struct Metrics {
        /// The port; none is `process.port`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub port: Option<u16> = None, in 1, 65535;
        /// The path.
        pub path: String = "/metrics".to_owned();
        /// The time between two scrapes; 1s to 5m.
        pub interval: Millis = Millis::secs(10), within Millis::secs(1), Millis::secs(300);
    }
}

table! {
    /// A one-shot run of the app's image on a schedule.
    pub struct Job {
        /// The program and its arguments; none is the image's own.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(example = serde_json::json!(["/bin/shop", "tidy"]))]
        pub command: Option<Vec<String>> = None;
        /// When it runs, in cron's five fields (crontab(5)); must be given.
        #[schemars(example = "15 3 * * *")]
        pub schedule: String = String::new();
        /// The time zone of the schedule, by its name in the IANA database.
        pub timezone: String = "UTC".to_owned();
        /// How long a run may take; 1s to 7d.
        pub timeout: Millis = Millis::secs(3600), within Millis::secs(1), Millis::secs(604_800);
    }
}

table! {
    /// A file that is put into the container: either a content or a secret's value.
    pub struct File {
        /// The text in it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub content: Option<String> = None;
        /// The secret whose value is in it.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(example = "tls-key")]
        pub secret: Option<SecretName> = None;
        /// Who may read it, in octal.
        #[schemars(example = "0400")]
        pub mode: String = "0444".to_owned();
    }
}
