//! The kernel calls of the shim that rustix does not wrap.
#![expect(unsafe_code, reason = "fork, poll, signalfd and an ioctl have no safe wrapper here")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// Which side of a fork this is.
pub(super) enum Forked {
    /// The new process.
    Child,
    /// The old one, with the new one's pid.
    Parent(Pid),
}

/// Forks. For single-threaded processes only, which the shim is by design.
pub(super) fn fork() -> io::Result<Forked> {
    // SAFETY: the process has one thread, so no lock of another can be held in the child.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => match Pid::from_raw(pid) {
            Some(pid) => Ok(Forked::Parent(pid)),
            None => Err(io::Error::other("fork gave no pid")),
        },
    }
}

/// Ends this process at once, without running exit handlers that belong to a parent.
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit does not return and touches nothing of ours.
    unsafe { libc::_exit(code) }
}

/// Blocks the signals a shim handles and gives a descriptor they are read from.
pub(super) fn signal_descriptor() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before it is used, and outlives both calls.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
            libc::sigaddset(&raw mut set, signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Unblocks everything: what a forked child must do before it goes on as something else.
pub(super) fn unblock_signals() {
    // SAFETY: the set is initialised before it is used.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Reads the next signal's number from a signal descriptor, if there is one.
pub(super) fn next_signal(fd: &OwnedFd) -> Option<i32> {
    let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::read(fd, &mut info) {
        Ok(read) if read == info.len() => {
            info.first_chunk::<4>().map(|number| i32::from_ne_bytes(*number))
        }
        _ => None,
    }
}

/// Waits until one of the descriptors is readable (or at its end); tells which.
pub(super) fn wait_readable(fds: &[RawFd]) -> io::Result<Vec<RawFd>> {
    let entry = |fd: &RawFd| libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 0 };
    let mut polled: Vec<libc::pollfd> = fds.iter().map(entry).collect();
    let count = libc::nfds_t::try_from(polled.len()).map_err(io::Error::other)?;
    // SAFETY: pointer and count describe the vector, which lives through the call.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), count, -1) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted {
            Ok(Vec::new())
        } else {
            Err(error)
        };
    }
    Ok(polled.iter().filter(|entry| entry.revents != 0).map(|entry| entry.fd).collect())
}

/// A time at which the kernel kills this process, whether it runs or stands still.
pub(super) struct LastResort(libc::timer_t);

impl LastResort {
    /// One that is not set.
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: the event is zeroed, which is a valid one, and both places live through the call.
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_SIGNAL;
            event.sigev_signo = libc::SIGKILL;
            let mut timer: libc::timer_t = std::mem::zeroed();
            let made = libc::timer_create(libc::CLOCK_BOOTTIME, &raw mut event, &raw mut timer);
            if made == 0 { Ok(Self(timer)) } else { Err(io::Error::last_os_error()) }
        }
    }

    /// Sets it to a time of CLOCK_BOOTTIME in milliseconds; zero takes it back.
    pub(super) fn set(&self, at_ms: u64) -> io::Result<()> {
        // SAFETY: all of the value is initialised and lives through the call; the timer is ours.
        let set = unsafe {
            let mut value: libc::itimerspec = std::mem::zeroed();
            value.it_value.tv_sec =
                libc::time_t::try_from(at_ms / 1000).unwrap_or(libc::time_t::MAX);
            value.it_value.tv_nsec = libc::c_long::try_from(at_ms % 1000 * 1_000_000).unwrap_or(0);
            libc::timer_settime(self.0, libc::TIMER_ABSTIME, &raw const value, std::ptr::null_mut())
        };
        if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Sends any signal, real-time ones too; a process that is gone is not an error.
pub(super) fn kill(pid: Pid, signal: i32) {
    // SAFETY: two integers; the kernel checks both.
    unsafe { libc::kill(pid.as_raw_nonzero().get(), signal) };
}

/// Leaves the given namespaces for new ones.
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: only namespace flags are passed, never the one for the descriptor table.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// Switches on the loopback device of this network namespace.
pub(super) fn loopback_up() -> io::Result<()> {
    use rustix::net::{AddressFamily, SocketType, socket};
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: the request is a whole, zeroed `ifreq` whose name is terminated; the kernel reads and
    // writes only within it.
    let done = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_flags = 1; // IFF_UP of linux/if.h
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Points standard input, output and error at /dev/null.
pub(super) fn forget_stdio() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().read(true).write(true).open(Path::new("/dev/null"))?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}
