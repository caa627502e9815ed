//! A seed in a process of its own, so that nothing of one run is left for the next, and a run that
//! hangs or aborts is one run's misfortune.

use std::process::{Command, Stdio};
use std::sync::Arc;

use lab::sim::{Planted, Settings, run};
use pki::Keyring;

use super::chance;

/// What asks this process to run a seed and nothing else.
const SEED: &str = "FREEHOLD_SIM_SEED";
const PLANTED: &str = "FREEHOLD_SIM_PLANTED";
const TRACE: &str = "FREEHOLD_SIM_TRACE";

/// What a child said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) seed: u64,
    /// Of all that happened.
    pub(crate) digest: String,
    /// What did not hold.
    pub(crate) violations: Vec<String>,
    /// How the process ended, when not well.
    pub(crate) broken: String,
}

/// Runs the seed that this process was asked for, if it was, and says what came of it.
pub(crate) fn run_if_asked() -> bool {
    let Ok(seed) = std::env::var(SEED) else { return false };
    let seed: u64 = seed.parse().expect("a seed is a number");
    let planted = std::env::var(PLANTED).ok();
    let planted: Option<Planted> = planted.map(|name| name.parse().expect("a known bug"));
    let trace = std::env::var_os(TRACE).is_some();
    chance::follows_from(seed);
    // A thread of its own has no key of a hash that was drawn before.
    let outcome = std::thread::Builder::new().stack_size(64 << 20).spawn(move || {
        let dir = std::env::temp_dir().join(format!("freehold-sim-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory for the key");
        let keyring = Keyring::load_or_create(&dir.join("master.key"));
        let keyring = Arc::new(keyring.expect("a key"));
        let _ = std::fs::remove_dir_all(&dir);
        run(Settings { seed, planted, trace }, keyring)
    });
    let outcome = outcome.expect("a thread").join().expect("the run did not panic");
    // The test runner has begun a line.
    println!();
    for line in &outcome.trace {
        println!("{line}");
    }
    for violation in &outcome.violations {
        println!("violation: {violation}");
    }
    println!("digest: {:016x}", outcome.digest);
    true
}

/// Runs a seed in a process of its own.
pub(crate) fn ask(seed: u64, planted: Option<Planted>) -> Said {
    let program = std::env::current_exe().expect("this program is a file");
    let mut child = Command::new(program);
    child.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
    child.env(SEED, seed.to_string()).stdin(Stdio::null());
    if let Some(planted) = planted {
        child.env(PLANTED, format!("{planted:?}"));
    }
    let output = child.output().expect("this program starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let after = |prefix: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let digest = after("digest: ").pop().unwrap_or_default();
    let broken = match output.status.success() && !digest.is_empty() {
        true => String::new(),
        false => {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            format!("{}: {}", output.status, error.trim())
        }
    };
    Said { seed, digest, violations: after("violation: "), broken }
}
