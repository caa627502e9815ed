//! Misbehaviour on demand: dying, flooding the log, eating memory. Nothing here runs unless an
//! environment variable asks for it.

use std::io::{self, Write};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use crate::settings::Settings;

/// Starts what the settings ask for, each on a thread of its own.
pub(crate) fn start(settings: &Settings) {
    if let Some(after) = settings.exit_after {
        let code = settings.exit_code;
        thread::spawn(move || {
            thread::sleep(after);
            println!("exiting by itself with code {code}");
            process::exit(code);
        });
    }
    if let Some(rate) = settings.log_lines_per_second.filter(|rate| *rate > 0) {
        thread::spawn(move || write_lines(rate));
    }
    if let Some(mebibytes) = settings.eat_memory_mib {
        thread::spawn(move || eat(mebibytes));
    }
}

/// Writes numbered lines at `rate` a second until standard output is gone. Late lines are made up
/// for, so the count follows the time.
fn write_lines(rate: u32) {
    let begin = Instant::now();
    for number in 0_u64.. {
        let due = Duration::from_nanos(number.saturating_mul(1_000_000_000) / u64::from(rate));
        thread::sleep(due.saturating_sub(begin.elapsed()));
        if writeln!(io::stdout().lock(), "line {number:09}").is_err() {
            return;
        }
    }
}

fn eat(mebibytes: usize) {
    let mut eaten = Vec::with_capacity(mebibytes);
    for number in 1..=mebibytes {
        // Ones, not zeros: zeroed memory would not be touched.
        eaten.push(vec![1_u8; 1 << 20]);
        if number % 16 == 0 {
            println!("holding {number} MiB");
        }
    }
    println!("holding {mebibytes} MiB, done");
    loop {
        thread::park();
        std::hint::black_box(&eaten);
    }
}
