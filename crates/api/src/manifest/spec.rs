//! The [`Spec`]: a manifest in one environment, overrides applied and defaults filled in.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{AppName, TeamName};

use super::decode::{Context, Decode};
use super::environment::EnvironmentValue;
use super::health::{Health, HealthCheck};
use super::later::{File, Job, Metrics, Uses};
use super::process::Process;
use super::resources::{Resources, Scale};
use super::rollout::{Priority, Rollout, Spread};
use super::routes::Routes;
use super::tree::{Node, Step};

/// A manifest in one environment: overrides applied, defaults filled in. Its JSON is itself a
/// manifest that resolves to the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Spec {
    /// The app's name; unique in the cluster.
    #[schemars(example = &"shop")]
    pub app: AppName,
    /// The team that owns it.
    #[schemars(example = &"retail")]
    pub team: TeamName,
    /// The image, as written; none when it is given at deploy time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = "registry.example/shop:1.4")]
    pub image: Option<String>,
    /// What runs in an instance.
    #[serde(default)]
    pub process: Process,
    /// What an instance gets.
    #[serde(default)]
    pub resources: Resources,
    /// How many instances there are.
    #[serde(default)]
    pub scale: Scale,
    /// How it is known that an instance serves.
    #[serde(default)]
    pub health: Health,
    /// The public names and ports.
    #[serde(default)]
    pub routes: Routes,
    /// The variables of an instance. Names that start with `FREEHOLD_` are the platform's.
    #[serde(default)]
    #[schemars(example = serde_json::json!({"LOG_LEVEL": "info"}))]
    pub environment: BTreeMap<String, EnvironmentValue>,
    /// How a release replaces the one before it.
    #[serde(default)]
    pub rollout: Rollout,
    /// Over which failure domains instances are spread.
    #[serde(default)]
    pub spread: Spread,
    /// Who goes first when room is short.
    #[serde(default)]
    pub priority: Priority,
    /// Whether two instances at once are worse than none.
    #[serde(default)]
    pub singleton: bool,
    /// What the app talks to.
    #[serde(default)]
    pub uses: Uses,
    /// Where the app shows its own metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// One-shot runs on a schedule, by name.
    #[serde(default)]
    pub jobs: BTreeMap<String, Job>,
    /// Files put into the container, by path.
    #[serde(default)]
    pub files: BTreeMap<String, File>,
}

impl Spec {
    /// The keys at the top of a manifest, without `on`.
    pub(super) const KEYS: &[&str] = &[
        "app",
        "team",
        "image",
        "process",
        "resources",
        "scale",
        "health",
        "routes",
        "environment",
        "rollout",
        "spread",
        "priority",
        "singleton",
        "uses",
        "metrics",
        "jobs",
        "files",
    ];

    /// What a check of an instance does.
    #[must_use]
    pub fn health_check(&self) -> HealthCheck {
        self.health.check(self.process.port)
    }

    /// Reads the root of a manifest without its `on`; defaults stand for what is wrong, which is
    /// noted.
    pub(super) fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        let table = cx.table(node, Self::KEYS)?;
        for key in ["app", "team"] {
            if !table.contains_key(key) {
                let hint = Some(format!("add {key} = \"NAME\" at the top"));
                cx.note(&[Step::Key(key.into())], None, None, "is missing".into(), hint);
            }
        }
        macro_rules! read {
            ($key:literal) => {
                cx.field(table, $key, Decode::decode).unwrap_or_default()
            };
        }
        let nameless = "only stands where a problem was noted, and is a name";
        Some(Self {
            app: cx
                .field(table, "app", AppName::decode)
                .unwrap_or_else(|| AppName::new("app").expect(nameless)),
            team: cx
                .field(table, "team", TeamName::decode)
                .unwrap_or_else(|| TeamName::new("team").expect(nameless)),
            image: read!("image"),
            process: read!("process"),
            resources: read!("resources"),
            scale: read!("scale"),
            health: read!("health"),
            routes: read!("routes"),
            environment: read!("environment"),
            rollout: read!("rollout"),
            spread: read!("spread"),
            priority: read!("priority"),
            singleton: read!("singleton"),
            uses: read!("uses"),
            metrics: read!("metrics"),
            jobs: read!("jobs"),
            files: read!("files"),
        })
    }
}
