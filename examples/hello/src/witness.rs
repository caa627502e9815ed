//! Bears witness that this instance runs: a line in a file, again and again, on demand. Whoever
//! reads the files of all instances knows whether two ever ran at once.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::settings::Settings;

/// Between two lines.
const EVERY: Duration = Duration::from_millis(5);

/// Writes `NANOSECONDS EPOCH INSTANCE` to the file that `HELLO_WITNESS` names, as long as it can;
/// the time is that of the wall clock since 1970.
pub(crate) fn start(settings: &Settings) -> io::Result<()> {
    let Some(path) = &settings.witness else { return Ok(()) };
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let whom = format!("{} {}", settings.epoch, settings.instance);
    thread::spawn(move || {
        loop {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            // One write for one line.
            if file.write_all(format!("{} {whom}\n", now.as_nanos()).as_bytes()).is_err() {
                return;
            }
            thread::sleep(EVERY);
        }
    });
    Ok(())
}
