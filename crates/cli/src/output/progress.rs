//! Progress of transfers on standard error: bars on a terminal, a line for each finished part
//! elsewhere.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::words::size;

/// All bars of one command.
#[derive(Debug)]
pub(crate) struct Progress {
    bars: MultiProgress,
    lively: bool,
}

impl Progress {
    /// Bars when `lively`, lines when not.
    pub(crate) fn new(lively: bool) -> Self {
        let target =
            if lively { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), lively }
    }

    /// Begins a part of `total` bytes.
    pub(crate) fn bytes(&self, name: &str, total: u64) -> Bar {
        let style = ProgressStyle::with_template(
            "{prefix:<20} {bar:30} {bytes:>11} of {total_bytes:<11} {bytes_per_sec:>13} {eta:>4}",
        );
        let bar = self.bars.add(ProgressBar::new(total));
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(name.to_owned());
        Bar { bar, name: name.to_owned(), lively: self.lively }
    }

    /// Begins a part of which only the present state is known.
    pub(crate) fn state(&self, name: &str) -> Bar {
        let bar = self.bars.add(ProgressBar::new_spinner());
        if self.lively {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Bar { bar, name: name.to_owned(), lively: self.lively }
    }

    /// A line that stays.
    pub(crate) fn line(&self, text: &str) {
        if self.lively {
            // Only fails when standard error does.
            let _ = self.bars.println(text);
        } else {
            eprintln!("{text}");
        }
    }
}

/// One part.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: ProgressBar,
    name: String,
    lively: bool,
}

impl Bar {
    /// So many bytes are done.
    pub(crate) fn at(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    /// The present state; a line of its own where there are no bars.
    pub(crate) fn say(&self, text: &str) {
        if self.lively {
            self.bar.set_message(text.to_owned());
        } else {
            eprintln!("{text}");
        }
    }

    /// Done, with what was done: `pushed`, `there already`.
    pub(crate) fn done(self, what: &str) {
        let total = self.bar.length().unwrap_or(0);
        if self.lively {
            self.bar.set_position(total);
            self.bar.abandon();
        } else {
            eprintln!("{} {} {what}", self.name, size(total));
        }
    }

    /// Takes the bar away.
    pub(crate) fn clear(self) {
        self.bar.finish_and_clear();
    }
}
