//! An ideal entry: clients ask the tasks that the managers want to run, as soon as they run.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use super::api::{Container, Task, get};
use super::peer::ask_any;
use crate::cluster::client::Targets;
use crate::cluster::platform::Follow;

/// Between two looks. Each takes an engine about a millisecond.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Keeps targets up to date until it is dropped.
#[derive(Debug)]
pub(super) struct Follower {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Starts to follow; `engines` are all of them with their machine's address.
    pub(super) fn start(
        engines: Vec<(Ipv4Addr, PathBuf)>,
        managers: Vec<PathBuf>,
        targets: Targets,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut known = BTreeMap::new();
            while !stopped.load(Ordering::SeqCst) {
                for (address, socket) in &engines {
                    let containers: Vec<Container> =
                        get(socket, "/containers/json").unwrap_or_default();
                    let ended = containers.iter().filter_map(Container::endpoint);
                    known.extend(
                        ended.map(|(task, port)| (task, SocketAddrV4::new(*address, port))),
                    );
                }
                // Without a leader there is no answer, and the last one stays good.
                if let Ok(tasks) = ask_any::<Vec<Task>>(&managers, "/tasks") {
                    let running = tasks.iter().filter(|task| task.runs());
                    let now = running.filter_map(|task| known.get(&task.id).copied()).collect();
                    *targets.lock() = Arc::new(now);
                }
                sleep(LOOK_EVERY);
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Follow for Follower {}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has followed no more, which clients have seen.
            let _ = thread.join();
        }
    }
}
