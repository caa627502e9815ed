//! The last steps inside the container: our init, the system call filter, the command.
//!
//! Runs in the container's first process, as the container's user, with the container's root, after
//! all privileges are gone. Our init is this process going on: the command is its child. It holds
//! no heap of its own and loops over four system calls.
#![expect(unsafe_code, reason = "execve, fork, sigwait and seccomp have no safe wrapper")]

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::RawFd;
use std::ptr;
use std::rc::Rc;

use libcontainer::workload::{
    Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError,
};
use oci_spec::runtime::Spec;

use crate::runtime::BoottimeMs;
use crate::runtime::seccomp::Instruction;

/// What the first process of a container does once it is set up.
#[derive(Clone)]
pub(super) struct Payload {
    /// Whether it stays as init.
    pub(super) init: bool,
    /// A singleton's deadline, as it was when the container was made.
    pub(super) deadline: Option<BoottimeMs>,
    /// The system call filter.
    pub(super) filter: Rc<[Instruction]>,
    /// Why the command could not be executed goes here: errno (4 bytes, this machine's order) and
    /// path.
    pub(super) exec_fd: RawFd,
    /// How the command ended goes here: its wait status (4 bytes, this machine's order).
    pub(super) status_fd: RawFd,
}

impl Executor for Payload {
    fn validate(&self, _: &Spec) -> Result<(), ExecutorValidationError> {
        // Whether it can be executed is known when it is executed.
        Ok(())
    }

    fn setup_envs(&self, _: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        // The environment goes to execve directly; ours is not touched.
        Ok(())
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let process = spec.process().as_ref().ok_or(ExecutorError::InvalidArg)?;
        let args = process.args().as_deref().unwrap_or_default();
        let env = process.env().as_deref().unwrap_or_default();
        let command = Command::new(args, env).ok_or(ExecutorError::InvalidArg)?;
        // The shim's death ends the container. It is our parent by now (created as its sibling's
        // child).
        let death =
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        death.map_err(|e| ExecutorError::Other(format!("asking to die with the shim: {e}")))?;
        // A shim that its deadline has killed before this can't end us any more.
        if self.deadline.is_some_and(|deadline| deadline <= BoottimeMs::now()) {
            return Err(ExecutorError::Other("the lease of this singleton is over".into()));
        }
        if self.init { self.stay_as_init(&command) } else { self.become_command(&command) }
    }
}

/// A command in the shape execve wants.
struct Command {
    candidates: Vec<CString>,
    args: Vec<CString>,
    env: Vec<CString>,
}

impl Command {
    fn new(args: &[String], env: &[String]) -> Option<Self> {
        let name = args.first()?;
        let paths = env.iter().find_map(|one| one.strip_prefix("PATH=")).unwrap_or("");
        let candidates = if name.contains('/') {
            vec![name.clone()]
        } else {
            paths.split(':').map(|dir| format!("{}/{name}", or_dot(dir))).collect()
        };
        let strings = |all: &[String]| {
            all.iter().map(|one| CString::new(one.as_str()).ok()).collect::<Option<Vec<_>>>()
        };
        Some(Self { candidates: strings(&candidates)?, args: strings(args)?, env: strings(env)? })
    }
}

/// An empty entry of PATH means the working directory, see environ(7).
fn or_dot(dir: &str) -> &str {
    if dir.is_empty() { "." } else { dir }
}

impl Payload {
    fn stay_as_init(&self, command: &Command) -> Result<(), ExecutorError> {
        block_all_signals();
        // SAFETY: this process has one thread; the child executes the command or ends.
        match unsafe { libc::fork() } {
            -1 => {
                self.tell_failure(io::Error::last_os_error().raw_os_error(), c"(fork)");
                Err(ExecutorError::Other("forking the command".into()))
            }
            0 => {
                // A session of its own, so that a command signalling its process group spares init.
                let _ = rustix::process::setsid();
                self.become_command(command)
            }
            child => {
                // The command is a process of its own by now: if the filter could not be had, it
                // tells.
                let _ = install(&self.filter);
                be_init(child, self.status_fd)
            }
        }
    }

    /// Executes the command; returns only by ending the process.
    fn become_command(&self, command: &Command) -> Result<(), ExecutorError> {
        restore_signals();
        if let Err(error) = install(&self.filter) {
            self.tell_failure(error.raw_os_error(), c"(system call filter)");
            super::sys::exit_now(127);
        }
        let pointers = |all: &[CString]| {
            let all = all.iter().map(|one| one.as_ptr());
            all.chain([ptr::null()]).collect::<Vec<_>>()
        };
        let (args, env) = (pointers(&command.args), pointers(&command.env));
        let mut worst = libc::ENOENT;
        let mut tried: &CStr = command.args.first().map_or(c"", |name| name.as_c_str());
        for path in &command.candidates {
            // SAFETY: the path and every string are terminated and live on; both arrays end in
            // null.
            unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
            let error = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
            // As execvp(3): go on looking, but remember what was there and could not be run. A file
            // that is there and "not found" lacks its interpreter.
            // SAFETY: the path is a terminated string.
            let there = unsafe { libc::access(path.as_ptr(), libc::F_OK) } == 0;
            if there || !matches!(error, libc::ENOENT | libc::ENOTDIR) {
                (worst, tried) = (error, path);
                if !matches!(error, libc::EACCES | libc::ENOENT) {
                    break;
                }
            }
        }
        self.tell_failure(Some(worst), tried);
        super::sys::exit_now(127)
    }

    fn tell_failure(&self, errno: Option<i32>, path: &CStr) {
        let mut message = errno.unwrap_or(libc::EIO).to_ne_bytes().to_vec();
        message.extend_from_slice(path.to_bytes());
        // SAFETY: the descriptor was left open for this by whoever made the payload; the buffer
        // lives.
        let _ = unsafe { libc::write(self.exec_fd, message.as_ptr().cast(), message.len()) };
    }
}

fn block_all_signals() {
    // SAFETY: the set is filled before it is used.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut());
    }
}

/// What every program may expect: nothing blocked, SIGPIPE not ignored.
fn restore_signals() {
    super::sys::unblock_signals();
    // SAFETY: the default action is no handler of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Installs the filter for good. Needs no privilege since none can be gained any more.
fn install(filter: &[Instruction]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(io::Error::other)?,
        filter: filter.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `Instruction` is laid out as `sock_filter`; the kernel copies `len` of them and
    // writes none.
    let done = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reaps what dies, passes signals on, and ends with the command; the kernel then ends all others.
fn be_init(command: libc::pid_t, status_fd: RawFd) -> ! {
    // SAFETY: plain system calls on integers and on local, initialised structures. Descriptor 3
    // becomes the status pipe and all above are closed; nothing of this process uses a descriptor
    // afterwards.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, c"init".as_ptr());
        if status_fd != 3 {
            libc::dup2(status_fd, 3);
        }
        libc::syscall(libc::SYS_close_range, 4, libc::c_uint::MAX, 0);
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for fd in 0..3 {
            libc::dup2(null, fd);
        }
        libc::close(null);
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        loop {
            let signal = libc::sigwaitinfo(&raw const all, ptr::null_mut());
            if signal == libc::SIGCHLD {
                reap(command);
            } else if signal > 0 {
                libc::kill(command, signal);
            }
        }
    }
}

/// Reaps every dead child; ends the process when the command was among them.
fn reap(command: libc::pid_t) {
    loop {
        let mut status = 0;
        // SAFETY: the status is a local integer.
        let dead = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if dead <= 0 {
            return;
        }
        if dead == command {
            let bytes = status.to_ne_bytes();
            // SAFETY: descriptor 3 is the status pipe; the buffer lives.
            let _ = unsafe { libc::write(3, bytes.as_ptr().cast(), bytes.len()) };
            let code = if libc::WIFEXITED(status) {
                libc::WEXITSTATUS(status)
            } else {
                128 + libc::WTERMSIG(status)
            };
            super::sys::exit_now(code);
        }
    }
}
