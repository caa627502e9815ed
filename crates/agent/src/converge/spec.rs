//! From entry, workload and image to the container: every word of it decided here, purely.

use std::path::{Path, PathBuf};

use api::assignment::Entry;
use api::id::HostId;
use api::manifest::{EnvironmentValue, Process, Resources};
use api::protocol::Workload;
use image::Image;

use super::containers::Paths;
use crate::runtime::{
    Bind, BoottimeMs, Capability, ContainerId, ContainerSpec, CpuLimits, IdRange, Limits,
    LogOptions, NetworkNamespace, Scratch, SeccompProfile, Signal, WritableTmpfs,
};

/// The first range of user ids: 16,384 ranges of 65,536 from 2³⁰ to 2³¹, above every account and
/// below what tools with signed ids can show.
const FIRST_RANGE: u32 = 1 << 14;

/// Ids of a container.
const RANGE_IDS: u32 = 1 << 16;

/// Open files of a process.
const OPEN_FILES: u64 = 65_536;

/// Why no container can be made of it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpecError {
    /// Neither manifest nor image say what to run.
    #[error("the image names no command; hint: set process.command in the manifest")]
    NoCommand,
    /// The environment names a secret that did not come.
    #[error("secret {0:?} of variable {1} is not set; hint: freehold secret set")]
    Secret(String, String),
    /// The image's stop signal is none.
    #[error("the image's stop signal {0:?} is not known; hint: set process.stop_signal")]
    StopSignal(String),
    /// A capability that this host's runtime does not give.
    #[error("capability {0} is not known on this host")]
    Capability(String),
    /// The instance's name cannot be a container's.
    #[error("instance {0} cannot name a container")]
    Name(String),
}

/// The container of an instance. `layers` are the image's, base first; `namespace` is its network.
///
/// # Errors
/// Says what is missing or unknown.
pub fn container_spec(
    host: &HostId,
    entry: &Entry,
    workload: &Workload,
    image: &Image,
    layers: Vec<PathBuf>,
    namespace: &Path,
    paths: &Paths,
) -> Result<ContainerSpec, SpecError> {
    let process = &workload.spec.process;
    let name = entry.instance.as_str();
    let files = paths.files(&entry.instance);
    let bind = |file: &str| Bind { source: files.join(file), path: Path::new("/etc").join(file) };
    let scratch = process.scratch.iter().enumerate().map(|(index, (path, size))| Scratch {
        path: path.into(),
        source: paths.scratch.join(name).join(index.to_string()),
        size_bytes: Some(size.get()),
    });
    let writable = process.writable.iter();
    let writable = writable.map(|path| WritableTmpfs { path: path.into(), size_bytes: None });
    let capabilities = process.capabilities.iter().map(|wanted| {
        let word = format!("{wanted}");
        Capability::parse(&word).ok_or(SpecError::Capability(word))
    });
    Ok(ContainerSpec {
        id: ContainerId::new(name).map_err(|_| SpecError::Name(name.to_owned()))?,
        layers,
        args: command(process, image)?,
        env: environment(host, entry, workload, image)?,
        user: process.user.clone().unwrap_or_else(|| image.process.user.clone()),
        working_dir: process
            .working_dir
            .clone()
            .unwrap_or_else(|| image.process.working_dir.clone()),
        hostname: name.to_owned(),
        network: NetworkNamespace::Path(namespace.to_owned()),
        id_range: id_range(entry),
        writable: writable.collect(),
        scratch: scratch.collect(),
        binds: ["resolv.conf", "hosts", "hostname"].map(bind).to_vec(),
        limits: limits(&workload.spec.resources, process.init),
        capabilities: capabilities.collect::<Result<_, _>>()?,
        init: process.init,
        stop_signal: stop_signal(process, image)?,
        stop_grace_ms: process.stop_grace.get(),
        seccomp: SeccompProfile::Default,
        log: LogOptions::in_dir(paths.logs.join(name)),
        // A singleton's is set when it is started; this one is over.
        deadline: (entry.epoch > 0).then(BoottimeMs::default),
    })
}

/// The manifest's command takes the place of the image's whole command, its arguments that of what
/// the image has after the entrypoint (as Kubernetes' `command` and `args` do).
fn command(process: &Process, image: &Image) -> Result<Vec<String>, SpecError> {
    let arguments = process.args.clone();
    let command = match &process.command {
        Some(command) => [command.clone(), arguments.unwrap_or_default()].concat(),
        None => {
            let arguments = arguments.unwrap_or_else(|| image.process.cmd.clone());
            [image.process.entrypoint.clone(), arguments].concat()
        }
    };
    if command.is_empty() { Err(SpecError::NoCommand) } else { Ok(command) }
}

/// The image's variables, then the manifest's, then ours; a later one replaces an earlier.
fn environment(
    host: &HostId,
    entry: &Entry,
    workload: &Workload,
    image: &Image,
) -> Result<Vec<String>, SpecError> {
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: String| {
        variables.retain(|(known, _)| known != name);
        variables.push((name.to_owned(), value));
    };
    for variable in &image.process.env {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        set(name, value.to_owned());
    }
    if let Some(port) = workload.spec.process.port {
        set("PORT", port.to_string());
    }
    for (name, value) in &workload.spec.environment {
        let value = match value {
            EnvironmentValue::Literal(text) => text.clone(),
            EnvironmentValue::Secret(secret) => {
                let value = workload.secrets.get(secret.as_str());
                let missing = || SpecError::Secret(secret.to_string(), name.clone());
                value.ok_or_else(missing)?.0.clone()
            }
        };
        set(name, value);
    }
    set("FREEHOLD_APP", entry.app.to_string());
    set("FREEHOLD_ENVIRONMENT", entry.environment.to_string());
    set("FREEHOLD_RELEASE", entry.release.to_string());
    set("FREEHOLD_INSTANCE", entry.instance.to_string());
    set("FREEHOLD_HOST", host.to_string());
    set("FREEHOLD_EPOCH", entry.epoch.to_string());
    Ok(variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
}

/// The host ids of an instance follow from its address, so no two on a machine share any: the lower
/// 14 bits tell 64 hosts of 256 addresses apart.
fn id_range(entry: &Entry) -> IdRange {
    let range = FIRST_RANGE + (u32::from(entry.address) & (FIRST_RANGE - 1));
    IdRange { base: range * RANGE_IDS, len: RANGE_IDS }
}

fn limits(resources: &Resources, init: bool) -> Limits {
    Limits {
        cpu: CpuLimits {
            guaranteed_milli: resources.cpu.get(),
            max_milli: resources.cpu_max.map(api::unit::MilliCpu::get),
        },
        memory_bytes: resources.memory.get(),
        // The app gets all it was promised; our init is ours.
        pids: resources.pids + u32::from(init),
        open_files: OPEN_FILES,
    }
}

fn stop_signal(process: &Process, image: &Image) -> Result<Signal, SpecError> {
    let unknown = |text: &str| SpecError::StopSignal(text.to_owned());
    match (process.stop_signal, image.process.stop_signal.as_str()) {
        (Some(signal), _) => {
            let number = signal.number();
            Signal::try_from(number).map_err(|_| unknown(&number.to_string()))
        }
        (None, "") => Ok(Signal::TERM),
        (None, text) => Signal::parse(text).map_err(|_| unknown(text)),
    }
}

#[cfg(test)]
mod tests;
