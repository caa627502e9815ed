//! What benchmarks need of the machine: programs, processes and what these use, a small root file
//! system, control groups. Nothing here measures time.

mod busybox;
mod cgroups;
mod process;
mod program;
mod usage;

pub(crate) use busybox::{make_image, make_root};
pub(crate) use cgroups::{hybrid_mount, remove_groups};
pub(crate) use process::{Running, patiently, run, run_for_text};
pub(crate) use program::{Programs, missing};
pub(crate) use usage::{Process, cpu_seconds, private_dirty_mib, processes, tree};
