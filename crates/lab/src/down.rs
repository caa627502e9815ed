//! Taking a lab down: everything that belongs to it goes, whatever was killed before. It looks at
//! the kernel and not at what was written down, and may be repeated.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cgroup::Group;
use crate::directory::{Lab, Lock};
use crate::failure::LabError;
use crate::process;

/// How long clients on the lab's network may take to die.
const DEATH_WITHIN: Duration = Duration::from_secs(10);

/// Ends everything in the lab and removes it with its directory.
///
/// # Errors
/// Something survives being killed, or cannot be removed.
pub fn down(lab: &Lab, _lock: &Lock) -> Result<(), LabError> {
    // Without a plan nothing that runs starts anything again.
    crate::directory::remove(&lab.path("plan.json"))?;
    Group::of_lab(lab)?.destroy()?;
    clients(lab)?;
    net::namespace::delete(&lab.namespace())?;
    match fs::remove_dir_all(lab.directory()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(LabError::file("remove", lab.directory())(error));
        }
        _ => {}
    }
    lab.forget_lock();
    Ok(())
}

/// Kills what is in the lab's network namespace: the door, and commands run as clients.
fn clients(lab: &Lab) -> Result<(), LabError> {
    let begin = Instant::now();
    loop {
        let left = process::in_namespace(&lab.namespace());
        if left.is_empty() {
            return Ok(());
        }
        if begin.elapsed() > DEATH_WITHIN {
            let doing = format!("end {} processes on the lab's network", left.len());
            return Err(LabError::System { doing, source: io::ErrorKind::TimedOut.into() });
        }
        for process in left {
            process.signal(Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
