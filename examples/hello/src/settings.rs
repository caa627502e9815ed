//! What the environment asks for: where to listen, who we are, and which trouble to make. Reading
//! is a pure function of a look-up.

use std::net::IpAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// The most worker threads; the pool of the example's manifest is 32 processes and threads.
const MAX_THREADS: usize = 16;

/// Everything the service was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `HELLO_ADDRESS`, default all IPv4 addresses.
    pub(crate) address: IpAddr,
    /// `PORT`, default 8080; 0 takes a free one and prints it.
    pub(crate) port: u16,
    /// `HELLO_THREADS`, default one per core.
    pub(crate) threads: usize,
    /// `FREEHOLD_INSTANCE`.
    pub(crate) instance: String,
    /// `FREEHOLD_RELEASE`.
    pub(crate) release: String,
    /// `FREEHOLD_ENVIRONMENT`.
    pub(crate) environment: String,
    /// `FREEHOLD_EPOCH`.
    pub(crate) epoch: String,
    /// `HELLO_START_DELAY_MS`: sleep before listening.
    pub(crate) start_delay: Duration,
    /// `HELLO_UNHEALTHY=1`: answer 503 to health checks.
    pub(crate) unhealthy: bool,
    /// `HELLO_EXIT_AFTER_MS`: exit by itself ...
    pub(crate) exit_after: Option<Duration>,
    /// ... with `HELLO_EXIT_CODE`, default 1.
    pub(crate) exit_code: i32,
    /// `HELLO_LOG_LINES_PER_S`: write numbered lines to standard output.
    pub(crate) log_lines_per_second: Option<u32>,
    /// `HELLO_EAT_MEMORY`: take and keep so many MiB.
    pub(crate) eat_memory_mib: Option<usize>,
    /// `HELLO_WITNESS`: a file that gets a line again and again.
    pub(crate) witness: Option<PathBuf>,
}

impl Settings {
    /// Reads the settings through `look_up`; the error names the variable that is wrong.
    pub(crate) fn read(look_up: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let number = |name: &str, most: u64| match look_up(name) {
            None => Ok(None),
            Some(text) => match text.parse::<u64>() {
                Ok(value) if value <= most => Ok(Some(value)),
                _ => Err(format!("{name} is {text:?}, it must be a number from 0 to {most}")),
            },
        };
        let milliseconds =
            |name| Ok::<_, String>(number(name, 86_400_000)?.map(Duration::from_millis));
        let text = |name: &str| look_up(name).unwrap_or_else(|| "unknown".to_owned());
        let address = look_up("HELLO_ADDRESS").unwrap_or_else(|| "0.0.0.0".to_owned());
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let fits = "the most is less";
        Ok(Self {
            address: address
                .parse()
                .map_err(|_| format!("HELLO_ADDRESS is {address:?}, it must be an IP address"))?,
            port: u16::try_from(number("PORT", 65_535)?.unwrap_or(8080)).expect(fits),
            threads: number("HELLO_THREADS", MAX_THREADS as u64)?
                .map_or(cores, |count| usize::try_from(count).expect(fits))
                .clamp(1, MAX_THREADS),
            instance: text("FREEHOLD_INSTANCE"),
            release: text("FREEHOLD_RELEASE"),
            environment: text("FREEHOLD_ENVIRONMENT"),
            epoch: text("FREEHOLD_EPOCH"),
            start_delay: milliseconds("HELLO_START_DELAY_MS")?.unwrap_or_default(),
            unhealthy: look_up("HELLO_UNHEALTHY").is_some_and(|value| value == "1"),
            exit_after: milliseconds("HELLO_EXIT_AFTER_MS")?,
            exit_code: i32::try_from(number("HELLO_EXIT_CODE", 255)?.unwrap_or(1)).expect(fits),
            log_lines_per_second: number("HELLO_LOG_LINES_PER_S", 1_000_000)?
                .map(|count| u32::try_from(count).expect(fits)),
            eat_memory_mib: number("HELLO_EAT_MEMORY", 1 << 20)?
                .map(|count| usize::try_from(count).expect(fits)),
            witness: look_up("HELLO_WITNESS").map(PathBuf::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_set_is_fine() {
        let settings = Settings::read(|_| None).unwrap();
        assert_eq!((settings.port, settings.exit_code), (8080, 1));
        assert!(!settings.unhealthy && settings.exit_after.is_none());
        assert!((1..=MAX_THREADS).contains(&settings.threads));
    }

    #[test]
    fn a_wrong_value_is_named() {
        for (name, value) in [
            ("PORT", "65536"),
            ("PORT", "http"),
            ("HELLO_ADDRESS", "here"),
            ("HELLO_EXIT_CODE", "256"),
            ("HELLO_START_DELAY_MS", "-1"),
        ] {
            let error = Settings::read(|it| (it == name).then(|| value.to_owned())).unwrap_err();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
    }
}
