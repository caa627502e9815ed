//! The load: `wrk` with one thread, and what it tells.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::place::Place;
use crate::machine::run_for_text;
use crate::outside::DOMAIN;

/// Connections, all kept alive.
const CONNECTIONS: u32 = 64;

/// Bytes of an answer's body.
const BODY_BYTES: u64 = 1024;

/// Prints one line for programs: requests, microseconds, percentiles in microseconds, errors,
/// bytes.
const SCRIPT: &str = "\
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('RESULT %d %d %d %d %d %d\\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout, summary.bytes))
end
";

/// What a load met.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Met {
    /// Requests answered.
    pub(super) requests: f64,
    /// Requests a second.
    pub(super) rate: f64,
    /// Half of the answers came within, in milliseconds.
    pub(super) p50: f64,
    /// 99 % of the answers came within, in milliseconds.
    pub(super) p99: f64,
}

/// A load that can be put on any proxy.
#[derive(Debug)]
pub(super) struct Load<'a> {
    place: &'a Place<'a>,
    wrk: PathBuf,
    script: PathBuf,
    seconds: u32,
}

impl<'a> Load<'a> {
    /// Fails where `wrk` is missing.
    pub(super) fn new(place: &'a Place<'a>, seconds: u32) -> Result<Self> {
        let wrk = place.setting.programs.find("wrk").map_err(anyhow::Error::msg)?;
        let script = place.setting.scratch.join("load.lua");
        fs::write(&script, SCRIPT).context("write the load's script")?;
        Ok(Self { place, wrk, script, seconds })
    }

    /// Puts the load on whoever listens at `port`. Every answer must be a good one.
    pub(super) fn put(&self, port: u16) -> Result<Met> {
        let mut command = self.place.load(&self.wrk);
        command.args(["--threads", "1", "--connections", &CONNECTIONS.to_string()]);
        command.args(["--duration", &format!("{}s", self.seconds), "--timeout", "10s"]);
        command.arg("--script").arg(&self.script);
        let scheme = self.place.scheme();
        command.arg(format!("{scheme}://www.{DOMAIN}:{port}/bytes?n={BODY_BYTES}"));
        understand(&run_for_text(&mut command)?)
    }
}

fn understand(output: &str) -> Result<Met> {
    let line = output.lines().find_map(|line| line.strip_prefix("RESULT "));
    let line = line.with_context(|| format!("wrk said: {}", output.trim()))?;
    let numbers: Result<Vec<u64>, _> = line.split_whitespace().map(str::parse).collect();
    let numbers = numbers.with_context(|| format!("wrk said: {line}"))?;
    let [requests, time, p50, p99, errors, bytes] = numbers[..] else {
        anyhow::bail!("wrk said: {line}");
    };
    ensure!(errors == 0, "{errors} of {requests} requests failed");
    ensure!(requests > 0 && time > 0, "no requests were answered");
    ensure!(bytes / requests >= BODY_BYTES, "answers had only {} bytes", bytes / requests);
    #[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
    let met = Met {
        requests: requests as f64,
        rate: requests as f64 / (time as f64 / 1e6),
        p50: p50 as f64 / 1000.0,
        p99: p99 as f64 / 1000.0,
    };
    Ok(met)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_line_is_understood() {
        let output = "Running 5s test\n  1 threads\nRESULT 400000 5000000 700 1200 0 480000000\n";
        let met = Met { requests: 400_000.0, rate: 80_000.0, p50: 0.7, p99: 1.2 };
        assert_eq!(understand(output).unwrap(), met);
    }

    #[test]
    fn a_round_that_is_no_measurement_is_refused() {
        for (line, why) in [
            ("RESULT 1000 5000000 700 1200 3 2000000", "3 of 1000"),
            ("RESULT 0 5000000 0 0 0 0", "no requests"),
            ("RESULT 1000 5000000 700 1200 0 200000", "200 bytes"),
            ("RESULT 1000 5000000 700 1200 0", "wrk said"),
            ("nothing", "wrk said"),
        ] {
            let error = format!("{:#}", understand(line).unwrap_err());
            assert!(error.contains(why), "{error}");
        }
    }
}
