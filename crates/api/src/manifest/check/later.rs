//! Rules of what is stored but has no effect yet: `[uses]`, `[metrics]`, `[jobs]`, `[files]`.

use super::process::not_a_mount;
use super::{Rules, keys, request_path};
use crate::id::AppName;
use crate::manifest::decode::quoted;
use crate::manifest::spec::Spec;

pub(super) fn check(spec: &Spec, rules: &mut Rules<'_>) {
    uses(spec, rules);
    if let Some(metrics) = &spec.metrics {
        if let Some(wrong) = request_path(&metrics.path) {
            rules.wrong(keys(["metrics", "path"]), wrong, None);
        }
        let port = keys(["process", "port"]);
        let wrong = rules.cx.is_unread(&port) || rules.cx.is_unread(&keys(["metrics", "port"]));
        if metrics.port.or(spec.process.port).is_none() && !wrong {
            let hint = Some("set metrics.port, or process.port".to_owned());
            rules.wrong(keys(["metrics"]), "needs a port to ask", hint);
        }
    }
    jobs(spec, rules);
    files(spec, rules);
}

/// Whether a text follows the rules that names of apps follow.
fn is_label(text: &str) -> bool {
    AppName::new(text).is_ok()
}

fn uses(spec: &Spec, rules: &mut Rules<'_>) {
    for (index, app) in spec.uses.apps.iter().enumerate() {
        if *app == spec.app {
            rules.wrong_item(["uses", "apps"], index, "is this very app", None);
        }
    }
    for (index, binding) in spec.uses.bindings.iter().enumerate() {
        if !is_label(binding) {
            let message = format!("{} is not a name of a binding", quoted(binding));
            let hint = Some("use up to 30 of a-z, 0-9 and '-'".to_owned());
            rules.wrong_item(["uses", "bindings"], index, message, hint);
        }
    }
    rules.duplicates(["uses", "apps"], &spec.uses.apps);
    rules.duplicates(["uses", "bindings"], &spec.uses.bindings);
}

fn jobs(spec: &Spec, rules: &mut Rules<'_>) {
    for (name, job) in &spec.jobs {
        if !is_label(name) {
            let hint = Some("use up to 30 of a-z, 0-9 and '-'".to_owned());
            let message = format!("{} is not a name of a job", quoted(name));
            rules.wrong_key(&keys(["jobs", name]), message, hint);
        }
        if job.command.as_ref().is_some_and(Vec::is_empty) {
            let hint = Some("remove it to run the image's own".to_owned());
            rules.wrong(keys(["jobs", name, "command"]), "is empty", hint);
        }
        let schedule = keys(["jobs", name, "schedule"]);
        if job.schedule.is_empty() {
            let hint = Some("add e.g. schedule = \"15 3 * * *\"".to_owned());
            rules.broken(&[schedule, keys(["jobs", name])], "has no schedule", hint);
        } else if let Some(wrong) = not_a_schedule(&job.schedule) {
            let message = format!("{} is not a schedule: {wrong}", quoted(&job.schedule));
            rules.wrong(schedule, message, Some("write e.g. \"15 3 * * *\"".into()));
        }
        let zone = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '/');
        let timezone = &job.timezone;
        if timezone.is_empty() || timezone.len() > 64 || !timezone.chars().all(zone) {
            let hint = Some("write e.g. \"Europe/Berlin\"".to_owned());
            let message = format!("{} is not a time zone", quoted(timezone));
            rules.wrong(keys(["jobs", name, "timezone"]), message, hint);
        }
    }
}

/// The fields of a schedule: name, lowest, highest, words for the numbers from `lowest` on
/// (crontab(5)).
const FIELDS: [(&str, u32, u32, &[&str]); 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day of month", 1, 31, &[]),
    (
        "month",
        1,
        12,
        &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    ),
    ("day of week", 0, 7, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

/// What keeps a text from being a schedule.
fn not_a_schedule(text: &str) -> Option<String> {
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Some(format!("it has {} fields, not 5", fields.len()));
    }
    let wrong = |(field, rule): &(&&str, &(&str, u32, u32, &[&str]))| {
        !field.split(',').all(|part| is_part(part, rule.1, rule.2, rule.3))
    };
    let (field, (name, low, high, _)) = fields.iter().zip(&FIELDS).find(wrong)?;
    Some(format!("the field {name} is {low} to {high}, found {}", quoted(field)))
}

/// Whether a text is `*`, `n` or `n-m`, with an optional `/step` behind the first and the last.
fn is_part(text: &str, low: u32, high: u32, words: &[&str]) -> bool {
    let number = |text: &str| {
        let word = words.iter().position(|word| word.eq_ignore_ascii_case(text));
        let index = word.and_then(|index| u32::try_from(index).ok()).map(|index| index + low);
        index.or_else(|| text.parse().ok()).filter(|n| (low..=high).contains(n))
    };
    let (range, step) = match text.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (text, None),
    };
    let step_fits =
        step.is_none_or(|step| step.parse().is_ok_and(|n: u32| (1..=high).contains(&n)));
    let range_fits = match range.split_once('-') {
        Some((from, to)) => matches!((number(from), number(to)), (Some(a), Some(b)) if a <= b),
        None => range == "*" || (step.is_none() && number(range).is_some()),
    };
    step_fits && range_fits
}

fn files(spec: &Spec, rules: &mut Rules<'_>) {
    for (path, file) in &spec.files {
        let at = keys(["files", path]);
        if let Some(wrong) = not_a_mount(path) {
            rules.wrong_key(&at, format!("{} {wrong}", quoted(path)), None);
        }
        if file.content.is_some() == file.secret.is_some() {
            let found = if file.content.is_some() { "both" } else { "neither" };
            let paths = [keys(["files", path, "content"]), keys(["files", path, "secret"])];
            if !paths.iter().any(|path| rules.cx.is_unread(path)) {
                let message = format!("has either content or secret, found {found}");
                rules.wrong(at, message, None);
            }
        }
        let mode = &file.mode;
        let octal = mode.bytes().all(|b| matches!(b, b'0'..=b'7'));
        if !octal || !matches!(mode.strip_prefix('0').unwrap_or(mode).len(), 3) {
            let hint = Some("write e.g. \"0444\"".to_owned());
            let message = format!("{} is not a file mode", quoted(mode));
            rules.wrong(keys(["files", path, "mode"]), message, hint);
        }
    }
}
