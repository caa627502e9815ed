//! Signal numbers and their names, as images and manifests write them.

use serde::{Deserialize, Serialize};

/// A signal that exists: 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i32", into = "i32")]
pub struct Signal(i32);

/// Why a text or number names no signal.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} names no signal (write SIGTERM, TERM or 15)")]
pub struct SignalError(String);

/// Highest signal of Linux (SIGRTMAX), see signal(7).
const SIGRTMAX: i32 = 64;
const SIGRTMIN: i32 = 34;

const NAMES: &[(&str, i32)] = &[
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

impl Signal {
    /// SIGTERM, what a container is asked to stop with unless its image says otherwise.
    pub const TERM: Self = Self(libc::SIGTERM);
    /// SIGKILL.
    pub const KILL: Self = Self(libc::SIGKILL);

    /// Reads `SIGTERM`, `TERM`, `15`, `RTMIN+3` or `SIGRTMAX-1`.
    ///
    /// # Errors
    /// No such signal.
    pub fn parse(text: &str) -> Result<Self, SignalError> {
        let unknown = || SignalError(text.chars().take(32).collect());
        if let Ok(number) = text.parse::<i32>() {
            return Self::try_from(number).map_err(|_| unknown());
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(Self(*number));
        }
        let number = if let Some(rest) = name.strip_prefix("RTMIN") {
            SIGRTMIN.checked_add(offset(rest, '+').ok_or_else(unknown)?)
        } else if let Some(rest) = name.strip_prefix("RTMAX") {
            SIGRTMAX.checked_sub(offset(rest, '-').ok_or_else(unknown)?)
        } else {
            None
        };
        match number {
            Some(number @ SIGRTMIN..=SIGRTMAX) => Ok(Self(number)),
            _ => Err(unknown()),
        }
    }

    /// The number of the kernel.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }
}

fn offset(rest: &str, sign: char) -> Option<i32> {
    if rest.is_empty() {
        return Some(0);
    }
    rest.strip_prefix(sign)?.parse::<u8>().ok().map(i32::from)
}

impl TryFrom<i32> for Signal {
    type Error = SignalError;

    fn try_from(number: i32) -> Result<Self, SignalError> {
        if (1..=SIGRTMAX).contains(&number) {
            Ok(Self(number))
        } else {
            Err(SignalError(number.to_string()))
        }
    }
}

impl From<Signal> for i32 {
    fn from(signal: Signal) -> Self {
        signal.0
    }
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None => write!(f, "SIGRTMIN+{}", self.0 - SIGRTMIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Signal;

    #[test]
    fn names_numbers_and_real_time_signals() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("9", 9),
            ("SIGWINCH", 28),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
        ] {
            assert_eq!(Signal::parse(text).map(Signal::number), Ok(number), "{text}");
        }
        for bad in ["", "0", "65", "-1", "SIGFOO", "RTMIN+99", "RTMIN-1", "99999999999"] {
            assert!(Signal::parse(bad).is_err(), "{bad}");
        }
        for (_, number) in super::NAMES {
            let signal = Signal::try_from(*number).unwrap();
            assert_eq!(Signal::parse(&signal.to_string()), Ok(signal));
        }
    }
}
