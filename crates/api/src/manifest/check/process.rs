//! Rules of `[process]`: who runs, where, and which paths are writable.

use super::{Rules, keys};
use crate::manifest::decode::quoted;
use crate::manifest::spec::Spec;
use crate::manifest::tree::Step;

/// Directories the kernel's own file systems are mounted on.
const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];

/// The longest path (Linux' PATH_MAX without the final NUL).
const MAX_PATH: usize = 4095;

pub(super) fn check(spec: &Spec, rules: &mut Rules<'_>) {
    let process = &spec.process;
    if process.command.as_ref().is_some_and(Vec::is_empty) {
        let hint = Some("remove it to run the image's own".to_owned());
        rules.wrong(keys(["process", "command"]), "is empty", hint);
    }
    if process.command.as_ref().and_then(|c| c.first()).is_some_and(String::is_empty) {
        rules.wrong_item(["process", "command"], 0, "the program's name is empty", None);
    }
    if let Some(user) = process.user.as_ref().filter(|user| !is_user(user)) {
        let hint = Some("write a name, \"uid\" or \"uid:gid\"".to_owned());
        rules.wrong(keys(["process", "user"]), format!("{} is not a user", quoted(user)), hint);
    }
    if let Some(dir) = &process.working_dir
        && let Some(wrong) = not_a_path(dir)
    {
        let message = format!("{} {wrong}", quoted(dir));
        rules.wrong(keys(["process", "working_dir"]), message, None);
    }
    rules.duplicates(["process", "capabilities"], &process.capabilities);
    writable(spec, rules);
}

/// Whether a text names a user: a name as in passwd(5), `uid` or `uid:gid`. The highest number
/// means "no user" to chown(2).
fn is_user(user: &str) -> bool {
    let id = |text: &str| {
        text.bytes().all(|b| b.is_ascii_digit())
            && text.parse::<u32>().is_ok_and(|id| id != u32::MAX)
    };
    if let Some((uid, gid)) = user.split_once(':') {
        return id(uid) && id(gid);
    }
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let follows = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    id(user) || (user.len() <= 32 && user.starts_with(first) && user.chars().all(follows))
}

/// What keeps a text from being an absolute, normalised path.
pub(super) fn not_a_path(path: &str) -> Option<&'static str> {
    let Some(inner) = path.strip_prefix('/') else {
        return Some("is not an absolute path: it must start with '/'");
    };
    if path.len() > MAX_PATH {
        return Some("is longer than 4095 bytes");
    }
    if path.contains('\0') {
        return Some("contains the character NUL");
    }
    if inner.split('/').any(|part| part == "..") {
        return Some("must not contain '..'");
    }
    if !inner.is_empty() && inner.split('/').any(|part| part.is_empty() || part == ".") {
        return Some("is not normalised: no '//', '/./' or slash at the end");
    }
    None
}

/// What keeps a path from being mounted over.
pub(super) fn not_a_mount(path: &str) -> Option<&'static str> {
    if path == "/" {
        return Some("is the root, which is always read-only");
    }
    let kernel = KERNEL.iter().any(|dir| path == *dir || is_inside(path, dir));
    not_a_path(path).or(kernel.then_some("is in a file system of the kernel"))
}

/// Whether a normalised path lies below another.
fn is_inside(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

/// The paths of `writable` and `scratch`: each can be mounted over, none lies in another.
fn writable(spec: &Spec, rules: &mut Rules<'_>) {
    let process = &spec.process;
    let mut mounts: Vec<(&str, Vec<Step>)> = Vec::new();
    let items = rules.items(["process", "writable"]);
    mounts.extend(process.writable.iter().map(String::as_str).zip(items));
    for path in process.scratch.keys() {
        mounts.push((path, keys(["process", "scratch", path])));
    }
    for (index, (path, at)) in mounts.iter().enumerate() {
        if let Some(wrong) = not_a_mount(path) {
            blame(rules, at, format!("{} {wrong}", quoted(path)), None);
            continue;
        }
        let others = mounts.iter().enumerate().filter(|(i, _)| *i != index);
        for (other_index, (other, _)) in others {
            if path == other && other_index < index {
                let hint = Some("remove one of them".to_owned());
                blame(rules, at, format!("{} is listed twice", quoted(path)), hint);
            } else if is_inside(path, other) && not_a_mount(other).is_none() {
                let message =
                    format!("{} lies inside {}, writable already", quoted(path), quoted(other));
                blame(rules, at, message, Some("remove one of them".into()));
            }
        }
    }
}

/// Tells what is wrong with a path: an item of a list, or a key.
fn blame(rules: &mut Rules<'_>, at: &[Step], message: String, hint: Option<String>) {
    match at.last() {
        Some(Step::Item(_)) => rules.wrong(at.to_vec(), message, hint),
        _ => rules.wrong_key(at, message, hint),
    }
}
