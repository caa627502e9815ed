//! What is known of where the output goes, and what rendering may depend on.

use std::io::IsTerminal;

use api::time::Timestamp;

/// What rendering depends on beside the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Columns to fit into; none when nobody looks at it on a terminal.
    pub width: Option<u16>,
    /// The time, for ages.
    pub now: Timestamp,
}

/// The terminal, as far as there is one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    /// Columns of standard output, when it is a terminal.
    pub width: Option<u16>,
    /// Whether standard error is a terminal: progress bars make sense.
    pub lively: bool,
    /// Whether to use colour on standard error.
    pub colour: bool,
}

impl Terminal {
    /// Looks at this process's.
    pub(crate) fn of_this_process() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let out = std::io::stdout();
        let width = out.is_terminal().then(|| rustix::termios::tcgetwinsize(&out).ok()).flatten();
        let width = width.map(|size| size.ws_col).filter(|columns| *columns > 0);
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let lively = std::io::stderr().is_terminal() && !dumb;
        // https://no-color.org
        Self { width, lively, colour: lively && !set("NO_COLOR") }
    }

    /// What rendering for standard output depends on, now.
    pub(crate) fn look(&self) -> Look {
        Look { width: self.width, now: Timestamp(jiff::Timestamp::now().as_millisecond()) }
    }
}
