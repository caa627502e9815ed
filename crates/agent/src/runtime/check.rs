//! What a spec must be before anything is made of it. Pure.

use std::path::{Component, Path};

use super::{ContainerSpec, RuntimeError};

/// Most mounts of one container, ours not counted: what a person would write, many times over.
const MAX_MOUNTS: usize = 128;

/// Least memory: our init and a shell fit; below it even starting would be killed.
const MIN_MEMORY: u64 = 4 << 20;

/// Least pids: our init, the command, and the moment between.
const MIN_PIDS: u32 = 3;

/// Refuses what contradicts itself or can never work.
pub(super) fn check(spec: &ContainerSpec) -> Result<(), RuntimeError> {
    match problem(spec) {
        None => Ok(()),
        Some(what) => Err(RuntimeError::Invalid { id: spec.id.clone(), what }),
    }
}

fn problem(spec: &ContainerSpec) -> Option<String> {
    if spec.args.first().is_none_or(String::is_empty) {
        return Some("it has no command (neither the image nor the manifest names one)".to_owned());
    }
    let texts = spec.args.iter().chain(&spec.env).chain([&spec.user, &spec.working_dir]);
    if texts.into_iter().any(|text| text.contains('\0')) {
        return Some("an argument, variable, user or directory contains a NUL byte".to_owned());
    }
    if let Some(bad) = spec.env.iter().find(|one| one.find('=').is_none_or(|at| at == 0)) {
        return Some(format!("environment entry {bad:?} is not NAME=value"));
    }
    if !spec.working_dir.is_empty() && !is_plain(Path::new(&spec.working_dir)) {
        return Some(format!("working directory {:?} is not absolute and plain", spec.working_dir));
    }
    let host_name_fits = (1..=64).contains(&spec.hostname.len());
    if !host_name_fits {
        return Some(format!("host name {:?} is not 1 to 64 bytes", spec.hostname));
    }
    if let Some(layer) = spec.layers.iter().find(|layer| !layer.is_absolute()) {
        return Some(format!("layer {} is not an absolute path", layer.display()));
    }
    range_problem(spec).or_else(|| limit_problem(spec)).or_else(|| mount_problem(spec))
}

fn range_problem(spec: &ContainerSpec) -> Option<String> {
    let range = spec.id_range;
    let ends = range.base.checked_add(range.len);
    // Two at least (root and one user), never the host's own ids.
    if range.base == 0 || range.len < 2 || ends.is_none() {
        return Some(format!("id range {} + {} is not one of the host's", range.base, range.len));
    }
    None
}

fn limit_problem(spec: &ContainerSpec) -> Option<String> {
    let limits = spec.limits;
    if limits.memory_bytes < MIN_MEMORY {
        return Some(format!("a memory limit of {} is below 4 MiB", limits.memory_bytes));
    }
    if limits.pids < MIN_PIDS {
        return Some(format!("a limit of {} processes is below {MIN_PIDS}", limits.pids));
    }
    if limits.cpu.max_milli.is_some_and(|max| max < limits.cpu.guaranteed_milli) {
        return Some("the cpu ceiling is below the guarantee".to_owned());
    }
    None
}

fn mount_problem(spec: &ContainerSpec) -> Option<String> {
    let inside = spec.writable.iter().map(|one| &one.path);
    let inside = inside.chain(spec.scratch.iter().map(|one| &one.path));
    let mut inside: Vec<&Path> =
        inside.chain(spec.binds.iter().map(|one| &one.path)).map(|path| path.as_path()).collect();
    if inside.len() > MAX_MOUNTS {
        return Some(format!("{} mounts are more than {MAX_MOUNTS}", inside.len()));
    }
    for path in &inside {
        let ours = ["/proc", "/sys", "/dev"].iter().any(|over| path.starts_with(over));
        if !is_plain(path) || path.parent().is_none() || ours {
            return Some(format!(
                "{} cannot be mounted on: it must be absolute, without '..', not / and not below \
                 /proc, /sys or /dev",
                path.display()
            ));
        }
    }
    inside.sort_unstable();
    let twice = inside.windows(2).find(|pair| pair[0] == pair[1]);
    if let Some(pair) = twice {
        return Some(format!("two mounts at {}", pair[0].display()));
    }
    let sources = spec.binds.iter().map(|one| &one.source);
    let mut sources = sources.chain(spec.scratch.iter().map(|one| &one.source));
    let bad = sources.find(|source| !source.is_absolute());
    bad.map(|source| format!("source {} is not an absolute path", source.display()))
}

/// Absolute, and nothing but names.
fn is_plain(path: &Path) -> bool {
    path.is_absolute()
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}
