//! The kinds that can be watched, and how a stored document is shown. What holds secrets is not
//! among them, or without them.

use std::str::FromStr;

use api::app::App;
use api::deployment::Deployment;
use api::environment::Environment;
use api::error::{ApiError, ErrorCode};
use api::host::Host;
use api::release::Release;
use api::team::Team;
use api::vip::VirtualAddress;
use serde::Serialize;
use serde_json::Value;
use store::KeyValue;
use store::document::Document;

use crate::core::{Kind, StoredCertificate, StoredEvent};

/// A kind that can be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WatchKind {
    App,
    Certificate,
    Deployment,
    Environment,
    Event,
    Host,
    /// Not stored: the join of assignments and statuses.
    Instance,
    Release,
    Team,
    Vip,
}

impl WatchKind {
    pub(super) const ALL: [Self; 10] = [
        Self::App,
        Self::Certificate,
        Self::Deployment,
        Self::Environment,
        Self::Event,
        Self::Host,
        Self::Instance,
        Self::Release,
        Self::Team,
        Self::Vip,
    ];

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Certificate => "certificate",
            Self::Deployment => "deployment",
            Self::Environment => "environment",
            Self::Event => "event",
            Self::Host => "host",
            Self::Instance => "instance",
            Self::Release => "release",
            Self::Team => "team",
            Self::Vip => "vip",
        }
    }

    /// What its keys begin with; none when it is not stored.
    fn prefix(self) -> Option<&'static str> {
        match self {
            Self::App => Some(App::PREFIX),
            Self::Certificate => Some(StoredCertificate::PREFIX),
            Self::Deployment => Some(Deployment::PREFIX),
            Self::Environment => Some(Environment::PREFIX),
            Self::Event => Some(StoredEvent::PREFIX),
            Self::Host => Some(Host::PREFIX),
            Self::Instance => None,
            Self::Release => Some(Release::PREFIX),
            Self::Team => Some(Team::PREFIX),
            Self::Vip => Some(VirtualAddress::PREFIX),
        }
    }

    /// The kind of a key and the name it gives.
    pub(super) fn of(key: &str) -> Option<(Self, String)> {
        let mut kinds = Self::ALL.into_iter();
        kinds.find_map(|kind| {
            let rest = key.strip_prefix(kind.prefix()?)?;
            Some((kind, kind.shown_name(rest)))
        })
    }

    /// A release is called `shop@7`; its key has the number padded.
    fn shown_name(self, rest: &str) -> String {
        match rest.split_once('/') {
            Some((app, number)) if self == Self::Release => {
                format!("{app}@{}", number.trim_start_matches('0'))
            }
            _ => rest.to_owned(),
        }
    }

    /// A stored document as it is shown; none when it can't be read.
    pub(super) fn show(self, kv: &KeyValue) -> Option<Value> {
        match self {
            Self::App => shown::<App, _>(kv, |body| body),
            Self::Certificate => shown::<StoredCertificate, _>(kv, |body| body.certificate),
            Self::Deployment => shown::<Deployment, _>(kv, |body| body),
            Self::Environment => shown::<Environment, _>(kv, |body| body),
            Self::Event => shown::<StoredEvent, _>(kv, |body| body.event),
            Self::Host => shown::<Host, _>(kv, |body| body),
            Self::Instance => None,
            Self::Release => shown::<Release, _>(kv, |body| body),
            Self::Team => shown::<Team, _>(kv, |body| body),
            Self::Vip => shown::<VirtualAddress, _>(kv, |body| body),
        }
    }
}

impl FromStr for WatchKind {
    type Err = ApiError;

    fn from_str(name: &str) -> Result<Self, ApiError> {
        if let Some(kind) = Self::ALL.into_iter().find(|kind| kind.name() == name) {
            return Ok(kind);
        }
        let known: Vec<&str> = Self::ALL.iter().map(|kind| kind.name()).collect();
        let name: String = name.chars().take(80).collect();
        Err(ApiError::new(ErrorCode::Invalid, format!("{name:?} is no kind that can be watched"))
            .hint(format!("there are: {}", known.join(", "))))
    }
}

/// Reads a stored document.
pub(super) fn read<K: Kind>(kv: &KeyValue) -> Option<K> {
    match Document::<K>::decode(&K::SCHEMA, &kv.value) {
        Ok(document) => Some(document.body),
        Err(error) => {
            let key = String::from_utf8_lossy(&kv.key).into_owned();
            tracing::error!(%error, key, "read a document for a watch");
            None
        }
    }
}

fn shown<K: Kind, V: Serialize>(kv: &KeyValue, pick: impl Fn(K) -> V) -> Option<Value> {
    serde_json::to_value(pick(read::<K>(kv)?)).ok()
}
