//! The rules that look at more than one value, or at more of one than its kind. Each is told once,
//! at the value that an override brought, if one did; a rule about a value that could not be read
//! is silent.

mod later;
mod process;
mod routes;

use std::ops::Range;

use crate::unit::Bytes;

use super::decode::{Context, quoted};
use super::health::HealthCheck;
use super::spec::Spec;
use super::tree::{Node, Step, Value};

/// The most disk that all of `process.scratch` may come to.
const MAX_SCRATCH: Bytes = Bytes(64 << 40);

/// Checks a spec against the tree it was read from.
pub(super) fn check(spec: &Spec, root: &Node, cx: &mut Context) {
    cx.reading_done();
    let mut rules = Rules { root, cx };
    image(spec, &mut rules);
    process::check(spec, &mut rules);
    resources(spec, &mut rules);
    health(spec, &mut rules);
    routes::check(spec, &mut rules);
    environment(spec, &mut rules);
    rollout(spec, &mut rules);
    later::check(spec, &mut rules);
}

/// Fills in the defaults that follow from other values.
pub(super) fn fill(spec: &mut Spec) {
    let check = spec.health_check();
    spec.health.tcp.get_or_insert(matches!(check, HealthCheck::Tcp { .. }));
    if spec.singleton {
        (spec.rollout.surge, spec.rollout.max_unavailable) = (0, 1);
    }
    if spec.resources.disk.is_none() && !spec.process.scratch.is_empty() {
        spec.resources.disk = Some(scratch_sum(spec));
    }
}

/// The sum of the sizes of all scratch paths.
fn scratch_sum(spec: &Spec) -> Bytes {
    let sizes = spec.process.scratch.values();
    Bytes(sizes.fold(0, |sum, size| sum.saturating_add(size.get())))
}

/// A path of keys.
fn keys<const N: usize>(keys: [&str; N]) -> Vec<Step> {
    keys.into_iter().map(|key| Step::Key(key.to_owned())).collect()
}

/// Where rules look values up, and where they tell what is broken.
struct Rules<'a> {
    root: &'a Node,
    cx: &'a mut Context,
}

/// A value that was found in the tree.
struct Found<'a> {
    node: &'a Node,
    key_span: Option<Range<usize>>,
}

impl<'a> Rules<'a> {
    fn find(&self, path: &[Step]) -> Option<Found<'a>> {
        let mut found = Found { node: self.root, key_span: None };
        for step in path {
            found = match (step, &found.node.value) {
                (Step::Key(key), Value::Table(table)) => {
                    let entry = table.get(key)?;
                    Found { node: &entry.node, key_span: entry.key_span.clone() }
                }
                (Step::Item(index), Value::List(items)) => {
                    Found { node: items.get(*index)?, key_span: None }
                }
                _ => return None,
            };
        }
        Some(found).filter(|found| !matches!(found.node.value, Value::Null))
    }

    /// The paths of the items of a list as it was read: those that could not be read are left out.
    fn items<const N: usize>(&self, path: [&str; N]) -> Vec<Vec<Step>> {
        let list = keys(path);
        let length = match self.find(&list).map(|found| &found.node.value) {
            Some(Value::List(items)) => items.len(),
            _ => 0,
        };
        let paths = (0..length).map(|index| [&list[..], &[Step::Item(index)]].concat());
        paths.filter(|path| !self.cx.is_unread(path)).collect()
    }

    /// Tells that an item of a list as it was read breaks a rule.
    fn wrong_item<const N: usize>(
        &mut self,
        path: [&str; N],
        index: usize,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        if let Some(path) = self.items(path).into_iter().nth(index) {
            self.wrong(path, message, hint);
        }
    }

    /// Tells that the values at `paths` don't fit together. The blame goes to the first one that an
    /// override brought, else to the first that is written at all.
    fn broken(&mut self, paths: &[Vec<Step>], message: impl Into<String>, hint: Option<String>) {
        if paths.iter().any(|path| self.cx.is_unread(path)) {
            return;
        }
        let found: Vec<_> =
            paths.iter().filter_map(|path| Some((path, self.find(path)?))).collect();
        let overridden = found.iter().find(|(_, found)| found.node.origin.is_some());
        match (overridden.or(found.first()), paths) {
            (Some((path, found)), _) => {
                let is_table = found.node.table().is_some();
                let span = if is_table { &found.key_span } else { &found.node.span };
                let origin = found.node.origin.as_deref();
                self.cx.note(path, origin, span.clone(), message.into(), hint);
            }
            (None, [path, ..]) => self.cx.note(path, None, None, message.into(), hint),
            (None, []) => {}
        }
    }

    /// Tells that one value breaks a rule.
    fn wrong(&mut self, path: Vec<Step>, message: impl Into<String>, hint: Option<String>) {
        self.broken(&[path], message, hint);
    }

    /// Tells that the key at the end of a path breaks a rule.
    fn wrong_key(&mut self, path: &[Step], message: impl Into<String>, hint: Option<String>) {
        if let Some(found) = self.find(path) {
            let origin = found.node.origin.as_deref();
            self.cx.note(path, origin, found.key_span, message.into(), hint);
        }
    }

    /// Tells every item that is equal to one before it.
    fn duplicates<const N: usize, T: PartialEq + ToString>(
        &mut self,
        path: [&str; N],
        items: &[T],
    ) {
        let twice = (1..items.len()).filter(|index| items[..*index].contains(&items[*index]));
        let twice: Vec<usize> = twice.collect();
        if twice.is_empty() {
            return;
        }
        let paths = self.items(path);
        for index in twice {
            let message = format!("{} is listed twice", quoted(&items[index].to_string()));
            if let Some(path) = paths.get(index) {
                self.wrong(path.clone(), message, Some("remove one of them".into()));
            }
        }
    }
}

fn image(spec: &Spec, rules: &mut Rules<'_>) {
    let Some(image) = &spec.image else { return };
    let path = keys(["image"]);
    if image.is_empty() || image.len() > 512 {
        rules.wrong(path, "an image reference has 1 to 512 characters", None);
    } else if image.chars().any(|c| !c.is_ascii_graphic()) {
        let hint = Some("write e.g. \"registry.example/shop:1.4\"".to_owned());
        rules.wrong(path, format!("{} is not an image reference", quoted(image)), hint);
    }
}

fn resources(spec: &Spec, rules: &mut Rules<'_>) {
    let (resources, process) = (&spec.resources, &spec.process);
    if let Some(most) = resources.cpu_max.filter(|most| *most < resources.cpu) {
        let message = format!(
            "the ceiling cpu_max = \"{most}\" is below the guaranteed cpu = \"{}\"",
            resources.cpu
        );
        rules.broken(&[keys(["resources", "cpu_max"]), keys(["resources", "cpu"])], message, None);
    }
    if process.processes > resources.pids {
        let message = format!(
            "processes = {} is more than pids = {} of [resources] allows",
            process.processes, resources.pids
        );
        let hint = Some("raise resources.pids".to_owned());
        let paths = [keys(["process", "processes"]), keys(["resources", "pids"])];
        rules.broken(&paths, message, hint);
    }
    let sum = scratch_sum(spec);
    if sum > MAX_SCRATCH {
        let message = format!("all sizes together are {sum}, at most {MAX_SCRATCH} are allowed");
        rules.wrong(keys(["process", "scratch"]), message, None);
    } else if let Some(disk) = resources.disk.filter(|disk| *disk < sum) {
        let message = format!("disk = \"{disk}\" is less than process.scratch needs, {sum}");
        let paths = [keys(["resources", "disk"]), keys(["process", "scratch"])];
        rules.broken(&paths, message, None);
    }
}

/// What is wrong with the path of an HTTP request (RFC 9112 §3.2.1).
fn request_path(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        return Some("must start with '/'");
    }
    let bad = |c: char| !c.is_ascii_graphic() || matches!(c, '#' | '"' | '<' | '>' | '\\');
    if path.chars().any(bad) {
        return Some("has a character that must be percent-encoded");
    }
    (path.len() > 1024).then_some("is longer than 1024 characters")
}

fn health(spec: &Spec, rules: &mut Rules<'_>) {
    let health = &spec.health;
    let (http, tcp) = (keys(["health", "http"]), keys(["health", "tcp"]));
    if let Some(path) = &health.http {
        if let Some(wrong) = request_path(path) {
            let hint =
                (!path.starts_with('/')).then(|| format!("write {}", quoted(&format!("/{path}"))));
            rules.wrong(http.clone(), wrong, hint);
        }
        if health.tcp == Some(true) {
            let message = "http and tcp = true exclude each other";
            let hint = Some("keep one of them".to_owned());
            rules.broken(&[tcp.clone(), http.clone()], message, hint);
        }
    }
    let needs_port = health.http.is_some() || health.tcp == Some(true);
    if needs_port && health.port.or(spec.process.port).is_none() {
        let path = if health.http.is_some() { http } else { tcp };
        let hint = Some("set process.port, or health.port".to_owned());
        let port = keys(["process", "port"]);
        if !rules.cx.is_unread(&port) && !rules.cx.is_unread(&keys(["health", "port"])) {
            rules.wrong(path, "needs a port to check", hint);
        }
    }
}

fn environment(spec: &Spec, rules: &mut Rules<'_>) {
    for name in spec.environment.keys() {
        let path = keys(["environment", name]);
        // POSIX.1-2017, Base Definitions §3.235 (Name).
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let follows = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.starts_with(first) || !name.chars().all(follows) {
            let hint = "use letters, digits and '_', not starting with a digit".to_owned();
            let message = format!("{} is not a name of a variable", quoted(name));
            rules.wrong_key(&path, message, Some(hint));
        } else if name.starts_with("FREEHOLD_") {
            let hint = Some("choose another name".to_owned());
            rules.wrong_key(&path, "names that start with FREEHOLD_ are the platform's", hint);
        }
    }
}

fn rollout(spec: &Spec, rules: &mut Rules<'_>) {
    rules.duplicates(["spread", "by"], &spec.spread.by);
    if spec.singleton {
        return singleton(spec, rules);
    }
    if spec.rollout.surge == 0 && spec.rollout.max_unavailable == 0 {
        let paths = [keys(["rollout", "surge"]), keys(["rollout", "max_unavailable"])];
        let hint = Some("set surge or max_unavailable to at least 1".to_owned());
        let message = "with surge = 0 and max_unavailable = 0 no instance can be replaced";
        rules.broken(&paths, message, hint);
    }
}

/// A singleton has one instance, which ends before the next begins.
fn singleton(spec: &Spec, rules: &mut Rules<'_>) {
    if spec.scale.instances > 1 {
        let paths = [keys(["scale", "instances"]), keys(["singleton"])];
        let message = format!("a singleton has one instance, not {}", spec.scale.instances);
        rules.broken(&paths, message, Some("set scale.instances to 1".into()));
    }
    let rollout = &spec.rollout;
    let given = [("surge", rollout.surge, 0), ("max_unavailable", rollout.max_unavailable, 1)];
    for (key, given, only) in given {
        let path = keys(["rollout", key]);
        if given != only && rules.find(&path).is_some() {
            let message = format!(
                "a singleton's instance ends before the next begins: {key} is {only}, not {given}"
            );
            let hint = Some(format!("remove {key}"));
            rules.broken(&[path, keys(["singleton"])], message, hint);
        }
    }
}
