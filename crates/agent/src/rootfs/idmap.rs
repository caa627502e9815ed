//! A user namespace that exists only to map owners of mounts.

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use rustix::io::read;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitOptions, waitpid};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::sys;
use crate::runtime::IdRange;

/// Makes a user namespace in which ids `0..len` are the host's `base..base+len`.
pub(super) fn user_namespace(range: IdRange) -> io::Result<OwnedFd> {
    let (ready_rx, ready_tx) = pipe_with(PipeFlags::CLOEXEC)?;
    let (hold_rx, hold_tx) = pipe_with(PipeFlags::CLOEXEC)?;
    let child = sys::fork_child(|| {
        if new_user_namespace().is_err() || rustix::io::write(&ready_tx, b"r").is_err() {
            return 1;
        }
        // Our copy of the writing end would keep the pipe open for ever; the parent's closing it
        // (or its death) lets us go.
        let _ =
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        let _ = read(&hold_rx, &mut [0; 1]);
        0
    })?;
    drop(ready_tx);
    let made = map_and_open(&ready_rx, child.as_raw_nonzero().get(), range);
    // One byte ends the child, which holds a writing end itself.
    let _ = rustix::io::write(&hold_tx, b"x");
    waitpid(Some(child), WaitOptions::empty())?;
    made
}

fn map_and_open(ready: &OwnedFd, child: i32, range: IdRange) -> io::Result<OwnedFd> {
    let mut byte = [0; 1];
    // The end of file means that the child could not make the namespace.
    if read(ready, &mut byte)? == 0 {
        return Err(io::Error::other("a user namespace could not be made (is it allowed here?)"));
    }
    for file in ["uid_map", "gid_map"] {
        let mut map = fs::OpenOptions::new().write(true).open(format!("/proc/{child}/{file}"))?;
        map.write_all(format!("0 {} {}\n", range.base, range.len).as_bytes())?;
    }
    Ok(fs::File::open(format!("/proc/{child}/ns/user"))?.into())
}

#[expect(unsafe_code, reason = "rustix marks all unshare(2) as unsafe for CLONE_FILES's sake")]
fn new_user_namespace() -> rustix::io::Result<()> {
    // SAFETY: CLONE_NEWUSER leaves the descriptor table alone.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER) }
}
