//! How the host that runs containers does what its drivers ask for.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use api::assignment::Entry;
use api::id::InstanceId;
use api::protocol::Workload;
use api::status::ExitCause;
use image::Image;
use tokio_util::sync::CancellationToken;

use super::containers::Containers;
use super::host::{Ended, Progress, Running, Unprepared};
use super::spec::container_spec;
use crate::failure::told;
use crate::images::ImagesError;
use crate::network::LocalInstance;
use crate::runtime::{self, ContainerId, ContainerSpec, Phase, StopReason};
use crate::shim::ExitWatch;

/// Fetches the image and makes the network, both at once. A cancelled fetch is dropped; the network
/// is always finished, so that removing it later meets no half-made link.
pub(super) async fn prepare(
    context: &Containers,
    entry: &Entry,
    workload: &Workload,
    admission: u64,
    progress: Progress<'_>,
    cancelled: CancellationToken,
) -> Result<ContainerSpec, Unprepared> {
    let tell = |text: String| progress(text);
    let fetch = async {
        tokio::select! {
            fetched = context.images.ensure(&workload.image, &tell) => fetched,
            () = cancelled.cancelled() => Err(ImagesError::BrokenOff),
        }
    };
    let connect = async {
        write_files(context, entry).map_err(|error| format!("write files: {error}"))?;
        // One that was removed before and is wanted again has lost its place.
        let admission = match context.network.has_place(&entry.instance) {
            true => admission,
            false => context.network.admit([place(entry)]),
        };
        let attached = context.network.attach(&entry.instance, entry.address).await;
        attached.map_err(|error| told(&error))?;
        context.network.admitted(admission).await;
        Ok::<(), String>(())
    };
    let (image, connected) = tokio::join!(fetch, connect);
    let failed = |message: String, retryable| Unprepared { message, retryable };
    let image = match (image, connected) {
        (Err(error), _) => return Err(failed(told(&error), error.retryable())),
        (_, Err(message)) => return Err(failed(message, true)),
        (Ok(image), Ok(())) => image,
    };
    spec_of(context, entry, workload, &image).map_err(|message| failed(message, false))
}

/// The place of an entry's instance in the network.
pub(super) fn place(entry: &Entry) -> (InstanceId, LocalInstance) {
    let (address, environment) = (entry.address, entry.environment.clone());
    (entry.instance.clone(), LocalInstance { address, environment })
}

fn spec_of(
    context: &Containers,
    entry: &Entry,
    workload: &Workload,
    image: &Image,
) -> Result<ContainerSpec, String> {
    let layers = context.images.directories(image);
    let namespace = context.network.namespace(&entry.instance);
    container_spec(&context.host, entry, workload, image, layers, &namespace, &context.paths)
        .map_err(|error| told(&error))
}

/// Creates and starts the container, in its turn.
pub(super) async fn start(
    context: &Containers,
    spec: Arc<ContainerSpec>,
) -> Result<Running, String> {
    let going_down = || "the agent is going down".to_owned();
    let _turn = context.starts.acquire().await.map_err(|_| going_down())?;
    let spec = match context.leases.until(&spec.id) {
        Some(until) => Arc::new(ContainerSpec { deadline: Some(until), ..(*spec).clone() }),
        None => spec,
    };
    let runtime = context.runtime.clone();
    let created = tokio::task::spawn_blocking(move || {
        let started = runtime.create(&spec).map_err(|error| told(&error))?;
        for limit in &started.unenforced {
            tracing::warn!(container = %spec.id, limit, "this host does not enforce a limit");
        }
        match runtime.watch_exit(&spec.id) {
            Ok(watch) => Ok(Running { pid: started.pid, ended: ended(watch) }),
            Err(error) => {
                // A container that cannot be watched is of no use.
                let _ = runtime.delete(&spec.id);
                Err(told(&error))
            }
        }
    });
    created.await.map_err(|_| going_down())?
}

/// The end of a container.
pub(super) fn ended(watch: ExitWatch) -> Ended {
    Box::pin(async {
        match watch.ended().await {
            Ok(phase) => cause_of(&phase),
            Err(error) => {
                tracing::warn!(error = told(&error), "waiting for a container's end");
                ExitCause::Lost
            }
        }
    })
}

/// Clears everything of the instance away but its output.
pub(super) async fn remove(
    context: &Containers,
    entry: &Entry,
    id: ContainerId,
) -> Result<(), String> {
    let container = delete(context, id).await;
    let network = context.network.detach(&entry.instance, entry.address).await;
    let name = entry.instance.as_str();
    let files = remove_directory(&context.paths.files(&entry.instance));
    let scratch = remove_directory(&context.paths.scratch.join(name));
    let problems: Vec<String> = [
        container.err(),
        network.err().map(|error| told(&error)),
        files.err().map(|error| format!("remove files: {error}")),
        scratch.err().map(|error| format!("remove scratch space: {error}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

/// Clears the container away.
pub(super) async fn delete(context: &Containers, id: ContainerId) -> Result<(), String> {
    let runtime = context.runtime.clone();
    let deleted = tokio::task::spawn_blocking(move || runtime.delete(&id)).await;
    deleted.map_err(|_| "the agent is going down".to_owned())?.map_err(|error| told(&error))
}

/// What a phase that is no life means as a cause of death.
pub(super) fn cause_of(phase: &Phase) -> ExitCause {
    match phase {
        Phase::Exited(exit) if exit.stopped_by == Some(StopReason::Deadline) => ExitCause::Deadline,
        Phase::Exited(exit) => match exit.cause {
            runtime::ExitCause::Code(code) => ExitCause::Exited(code.into()),
            runtime::ExitCause::Signal(signal) => ExitCause::Signaled(signal.number()),
            runtime::ExitCause::OutOfMemory => ExitCause::OutOfMemory,
        },
        Phase::Creating | Phase::Running(_) | Phase::Lost => ExitCause::Lost,
    }
}

/// Writes the files that are shown inside.
fn write_files(context: &Containers, entry: &Entry) -> io::Result<()> {
    let directory = context.paths.files(&entry.instance);
    fs::DirBuilder::new().recursive(true).mode(0o755).create(&directory)?;
    let gateway = context.network.gateway();
    let (environment, name) = (&entry.environment, &entry.instance);
    let resolv = format!("nameserver {gateway}\nsearch {environment}.internal\noptions ndots:1\n");
    let hosts =
        format!("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n{}\t{name}\n", entry.address);
    fs::write(directory.join("resolv.conf"), resolv)?;
    fs::write(directory.join("hosts"), hosts)?;
    fs::write(directory.join("hostname"), format!("{name}\n"))
}

fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
