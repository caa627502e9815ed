//! The [`Manifest`]: the document as written, judged as a whole, and resolved per environment.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::id::{AppName, EnvironmentName, TeamName};

use super::check;
use super::decode::Context;
use super::problem::{self, ManifestErrors, Problem};
use super::spec::Spec;
use super::tree::{self, Node, Step, Table, Value};

/// The longest text of a manifest, in bytes. What a release keeps of it stays below half of the
/// 512 KiB that a document of the store may have.
pub const MAX_SOURCE: usize = 256 << 10;

/// The most environments a manifest may override. Each costs one pass over the base, so judging a
/// manifest stays below 33 × [`MAX_SOURCE`] ≈ 8 MiB of work.
pub const MAX_ENVIRONMENTS: usize = 32;

/// What must be the same in every environment.
const FIXED: [&str; 3] = ["app", "team", "image"];

/// What is read and stored, but has no effect yet.
const LATER: [&str; 4] = ["uses", "metrics", "jobs", "files"];

/// A manifest as written, with its overrides; stored whole in a release. Two are equal when they
/// say the same, whatever the order of their keys and their comments.
///
/// [`Manifest::parse`] and [`Manifest::from_json`] judge all of it. Deserializing asks for no more
/// than the names of app and team, so that what another version stored stays readable; what takes
/// effect passes through [`Manifest::resolve`], which judges again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Json>", into = "Map<String, Json>")]
pub struct Manifest {
    app: AppName,
    team: TeamName,
    document: Map<String, Json>,
}

/// A document that does not even name its app and team.
#[derive(Debug, thiserror::Error)]
#[error("the manifest's {key:?} is missing or not a name")]
pub struct NotAManifest {
    key: &'static str,
}

impl TryFrom<Map<String, Json>> for Manifest {
    type Error = NotAManifest;

    fn try_from(document: Map<String, Json>) -> Result<Self, NotAManifest> {
        let text = |key| document.get(key).and_then(Json::as_str);
        let app = text("app").and_then(|text| AppName::new(text).ok());
        let team = text("team").and_then(|text| TeamName::new(text).ok());
        let app = app.ok_or(NotAManifest { key: "app" })?;
        let team = team.ok_or(NotAManifest { key: "team" })?;
        Ok(Self { app, team, document })
    }
}

impl From<Manifest> for Map<String, Json> {
    fn from(manifest: Manifest) -> Self {
        manifest.document
    }
}

impl JsonSchema for Manifest {
    fn schema_name() -> Cow<'static, str> {
        "Manifest".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "A manifest as written; the schema of manifests describes it.",
            "required": ["app", "team"],
        })
    }
}

impl Manifest {
    /// Reads and judges the text of a manifest file; `file` is its name as shown to people.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the base and in every override, each with its place.
    pub fn parse(file: &str, source: &str) -> Result<Self, ManifestErrors> {
        let fail = |problems| ManifestErrors {
            file: file.to_owned(),
            source: source.to_owned(),
            problems,
        };
        if source.len() > MAX_SOURCE {
            return Err(fail(vec![too_large(source.len())]));
        }
        tree::from_toml(source).and_then(Self::judge).map_err(|mut problems| {
            problem::sort(&mut problems);
            fail(problems)
        })
    }

    /// Takes and judges a manifest that arrives as JSON; a null is as if its key were not there.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the base and in every override, each with its path.
    pub fn from_json(document: &Json) -> Result<Self, Vec<Problem>> {
        let root = tree::from_json(document)?;
        let size = document.to_string().len();
        if size > MAX_SOURCE {
            return Err(vec![too_large(size)]);
        }
        Self::judge(root).map_err(|mut problems| {
            problem::sort(&mut problems);
            problems
        })
    }

    /// Judges a whole document: the base, and the base under each override.
    fn judge(root: Node) -> Result<Self, Vec<Problem>> {
        let document = match root.to_json() {
            Json::Object(document) => document,
            _ => Map::new(),
        };
        let (base, overrides, mut problems) = split(root);
        problems.extend(decode(&base).1);
        for (environment, over) in overrides {
            problems.extend(decode(&overlay(&base, &environment, over)).1);
        }
        if problems.is_empty() {
            Self::try_from(document).map_err(|error| {
                let message = error.to_string();
                vec![Problem { path: String::new(), message, hint: None, span: None }]
            })
        } else {
            Err(problems)
        }
    }

    /// The manifest in one environment: the base with that environment's overrides laid over it key
    /// by key (tables are merged, everything else replaced) and the defaults filled in. An
    /// environment without overrides gets the base.
    ///
    /// # Errors
    /// What is wrong with the result; nothing for a manifest that this version has judged.
    pub fn resolve(&self, environment: &EnvironmentName) -> Result<Spec, Vec<Problem>> {
        let root = tree::from_json(&Json::Object(self.document.clone()))?;
        let (base, overrides, mut problems) = split(root);
        let over = overrides.into_iter().find(|(name, _)| &**name == environment.as_str());
        let root = match over {
            Some((name, over)) => overlay(&base, &name, over),
            None => base,
        };
        let (spec, found) = decode(&root);
        problems.extend(found);
        problem::sort(&mut problems);
        match spec {
            Some(spec) if problems.is_empty() => Ok(spec),
            _ => Err(problems),
        }
    }

    /// What the manifest uses that this version reads and stores, but that has no effect yet: one
    /// problem for each place. Who deploys must refuse a manifest that has any.
    #[must_use]
    pub fn unsupported(&self) -> Vec<Problem> {
        let mut problems = later_in(&self.document, &[]);
        let overrides = self.document.get("on").and_then(Json::as_object);
        for (environment, over) in overrides.into_iter().flatten() {
            let at = [Step::Key("on".into()), Step::Key(environment.clone())];
            problems.extend(over.as_object().map(|over| later_in(over, &at)).unwrap_or_default());
        }
        problems
    }

    /// The app's name.
    #[must_use]
    pub fn app(&self) -> &AppName {
        &self.app
    }

    /// The team that owns the app.
    #[must_use]
    pub fn team(&self) -> &TeamName {
        &self.team
    }

    /// The image as written; none when it is given at deploy time.
    #[must_use]
    pub fn image(&self) -> Option<&str> {
        self.document.get("image").and_then(Json::as_str)
    }

    /// The environments that have overrides, in the order of the text.
    pub fn environments(&self) -> impl Iterator<Item = EnvironmentName> {
        let overrides = self.document.get("on").and_then(Json::as_object);
        overrides.into_iter().flatten().filter_map(|(name, _)| EnvironmentName::new(name).ok())
    }

    /// The document as written.
    #[must_use]
    pub fn document(&self) -> &Map<String, Json> {
        &self.document
    }
}

fn too_large(size: usize) -> Problem {
    Problem {
        path: String::new(),
        message: format!("the manifest has {size} bytes, at most {MAX_SOURCE} are allowed"),
        hint: None,
        span: None,
    }
}

/// Decodes and checks a root without `on`.
fn decode(root: &Node) -> (Option<Spec>, Vec<Problem>) {
    let mut cx = Context::default();
    let mut spec = Spec::decode(root, &mut cx);
    if let Some(spec) = &mut spec {
        check::check(spec, root, &mut cx);
        check::fill(spec);
    }
    (spec, cx.into_problems())
}

/// The base under an override.
fn overlay(base: &Node, environment: &Arc<str>, mut over: Node) -> Node {
    tree::mark(&mut over, environment);
    let mut root = base.clone();
    if let (Value::Table(base), Value::Table(over)) = (&mut root.value, over.value) {
        tree::merge(base, over);
    }
    root
}

/// What one environment lays over the base.
type Override = (Arc<str>, Node);

/// Takes `on` out of a root: the base, the overrides by environment, and what is wrong with the
/// shape of `on` itself.
fn split(mut root: Node) -> (Node, Vec<Override>, Vec<Problem>) {
    let mut cx = Context::default();
    let mut overrides = Vec::new();
    let on = match &mut root.value {
        Value::Table(table) => table.shift_remove("on"),
        _ => None,
    };
    if let Some(on) = on.filter(|on| !matches!(on.node.value, Value::Null)) {
        cx.inside(Step::Key("on".into()), |cx| {
            let span = on.key_span;
            match on.node.value {
                Value::Table(table) => overrides = take_overrides(table, span, cx),
                _ => {
                    let found = on.node.kind();
                    cx.fail(&on.node, format!("expected a table, found {found}"), None);
                }
            }
        });
    }
    (root, overrides, cx.into_problems())
}

/// The overrides of a manifest; what can't be one is noted and left out.
fn take_overrides(
    table: Table,
    on_span: Option<std::ops::Range<usize>>,
    cx: &mut Context,
) -> Vec<Override> {
    if table.len() > MAX_ENVIRONMENTS {
        let message = format!("has {} environments, at most {MAX_ENVIRONMENTS}", table.len());
        cx.note(&[Step::Key("on".into())], None, on_span, message, None);
    }
    let mut overrides = Vec::new();
    for (name, mut entry) in table.into_iter().take(MAX_ENVIRONMENTS) {
        let at = [Step::Key("on".into()), Step::Key(name.clone())];
        if let Err(error) = EnvironmentName::new(&*name) {
            cx.note(&at, None, entry.key_span, error.to_string(), None);
            continue;
        }
        let kind = entry.node.kind();
        match &mut entry.node.value {
            Value::Null => continue,
            Value::Table(over) => {
                for key in FIXED {
                    let Some(fixed) = over.shift_remove(key) else { continue };
                    let at = [&at[..], &[Step::Key(key.to_owned())]].concat();
                    let message = "is the same in every environment".to_owned();
                    let hint = Some(format!("write {key} at the top only"));
                    cx.note(&at, None, fixed.key_span, message, hint);
                }
            }
            _ => {
                let message = format!("expected a table, found {kind}");
                cx.note(&at, None, entry.node.span, message, None);
                continue;
            }
        }
        overrides.push((Arc::from(name), entry.node));
    }
    overrides
}

/// What of [`LATER`] a table of top keys uses.
fn later_in(table: &Map<String, Json>, at: &[Step]) -> Vec<Problem> {
    let used = |key: &&str| match table.get(*key) {
        None | Some(Json::Null | Json::Bool(false)) => false,
        Some(Json::Object(entries)) => *key == "metrics" || !entries.is_empty(),
        Some(_) => true,
    };
    let problem = |key: &str| Problem {
        path: tree::path_text(&[at, &[Step::Key(key.to_owned())]].concat()),
        message: "is understood but has no effect yet; it comes with a later version".into(),
        hint: Some("remove it for now".into()),
        span: None,
    };
    LATER.into_iter().filter(used).map(problem).collect()
}
