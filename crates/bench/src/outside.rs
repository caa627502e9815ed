//! The process that was called: runs each benchmark inside namespaces of its own, clears up after
//! it, and writes the report. It measures nothing itself.
//!
//! Inside, process, network and mount namespaces are new, so whatever a benchmark starts ends with
//! it and none of its links, rules or mounts are ever seen outside; only control groups and the
//! scratch directory have to be removed.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};

use crate::contest::{Measured, Row, render};
use crate::machine::{hybrid_mount, remove_groups};
use crate::options::{Benchmark, Options};
use crate::setting::{ORDER, Order, group_prefix};

/// Prepares the namespaces, then becomes the program with its arguments. `$0` and `$@` are the
/// program,
/// `$HYBRID` a mount to take away, `$HOSTS` a file of names. With `$STAY` the shell remains the
/// first process, which takes leave of processes that nobody waits for.
const PREPARE: &str = "set -e
ip link set lo up
mount -t tmpfs -o mode=0755 tmpfs /run
mount --bind \"$HOSTS\" /etc/hosts
[ -z \"$HYBRID\" ] || umount \"$HYBRID\"
[ -z \"$STAY\" ] || { \"$0\" \"$@\"; exit $?; }
exec \"$0\" \"$@\"";

/// The name that the ingress is asked for, and every name below it.
pub(crate) const DOMAIN: &str = "bench.test";

/// Between two looks at a benchmark that runs.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The longest that one benchmark may take: the longest takes about four minutes.
const BENCHMARK_WITHIN: Duration = Duration::from_secs(1200);

/// The longest that a series of whole clusters may take: about an hour is needed.
const SERIES_WITHIN: Duration = Duration::from_secs(3 * 3600);

/// Runs the chosen benchmarks. The exit code says whether all could be run, not what they measured.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "containers, namespaces and pinned processes need root; hint: sudo make bench"
    );
    let places = Places::resolve(options)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, stop.clone()).context("listen for signals")?;
    }
    let chosen: Vec<Benchmark> = match options.only.as_slice() {
        [] => {
            let all = Benchmark::value_variants().iter().copied();
            all.filter(|benchmark| !benchmark.is_of_clusters()).collect()
        }
        only => only.to_vec(),
    };
    let mut rows: Vec<Row> = Vec::new();
    let mut failed = Vec::new();
    for benchmark in chosen {
        eprintln!("{}", benchmark.name());
        match run_one(options, &places, benchmark, &stop) {
            Ok(measured) => rows.extend(measured.rows),
            Err(error) if stop.load(Ordering::SeqCst) => return Err(error),
            Err(error) => {
                eprintln!("  failed: {error:#}");
                failed.push(benchmark.name());
            }
        }
    }
    write_report(&places.report, &rows)?;
    print!("{}", render(&rows));
    eprintln!("report: {}", places.report.display());
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    bail!("these benchmarks failed: {}", failed.join(", "))
}

/// Where everything is.
struct Places {
    own: PathBuf,
    freehold: PathBuf,
    hello: PathBuf,
    own_programs: PathBuf,
    report: PathBuf,
    journal: PathBuf,
}

impl Places {
    fn resolve(options: &Options) -> Result<Self> {
        let own = std::env::current_exe().context("find this program")?;
        let beside = own.parent().context("this program lies nowhere")?;
        let target = beside.parent().context("this program lies nowhere")?;
        let absolute = |path: &Path| {
            let found = path.canonicalize();
            found.with_context(|| format!("find {}; hint: make build", path.display()))
        };
        let freehold = options.freehold.clone().unwrap_or_else(|| beside.join("freehold"));
        let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let hello = || target.join(triple).join("release/hello");
        let hello = options.hello.clone().unwrap_or_else(hello);
        let report = options.report.clone();
        Ok(Self {
            freehold: absolute(&freehold)?,
            hello,
            own_programs: target.join("bench-venv/bin"),
            report: report.unwrap_or_else(|| target.join("bench/report.json")),
            journal: target.join("bench/runs"),
            own,
        })
    }
}

fn run_one(
    options: &Options,
    places: &Places,
    benchmark: Benchmark,
    stop: &AtomicBool,
) -> Result<Measured> {
    // On disk, where layers and images belong; containers must be able to pass through it.
    let scratch = tempfile::Builder::new().prefix("freehold-bench-").tempdir_in("/var/tmp");
    let scratch = scratch.context("make a scratch directory")?;
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755))
        .context("open the scratch directory")?;
    let slug = format!("z{}", std::process::id() % 10_000_000);
    let order = Order {
        benchmark,
        quick: options.quick,
        runs: options.runs,
        freehold: places.freehold.clone(),
        hello: places.hello.clone(),
        own_programs: places.own_programs.clone(),
        within: options.within.map(Duration::from_secs),
        journal: places.journal.clone(),
        slug: slug.clone(),
    };
    let order = serde_json::to_vec(&order).context("write the order")?;
    fs::write(scratch.path().join(ORDER), order).context("write the order")?;
    let hosts = format!("127.0.0.1 localhost {DOMAIN} www.{DOMAIN}\n");
    fs::write(scratch.path().join("hosts"), hosts).context("write names")?;
    let child = inside(&places.own, scratch.path(), benchmark)?;
    let within = if benchmark.is_of_clusters() { SERIES_WITHIN } else { BENCHMARK_WITHIN };
    let measured = wait(child, stop, within);
    let left = crate::cluster::remove_left(scratch.path());
    let groups = remove_groups(&group_prefix(&slug));
    let gone = scratch.close().context("remove the scratch directory");
    let measured = measured?;
    left?;
    groups?;
    gone?;
    Ok(measured)
}

/// Starts this program as the first process of new namespaces.
fn inside(own: &Path, scratch: &Path, benchmark: Benchmark) -> Result<Child> {
    // One of the peers of this benchmark refuses the hybrid layout, so everybody gets the other
    // one.
    let mounts = fs::read_to_string("/proc/self/mounts").context("read the mounts")?;
    let hybrid = (benchmark == Benchmark::CreateStart).then(|| hybrid_mount(&mounts)).flatten();
    Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["--", "sh", "-c", PREPARE])
        .arg(own)
        .arg("--inside")
        .arg(scratch)
        .env("HOSTS", scratch.join("hosts"))
        .env("HYBRID", hybrid.unwrap_or_default())
        .env("STAY", if benchmark.is_of_clusters() { "yes" } else { "" })
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("run unshare (util-linux)")
}

/// Waits for its rows. On a signal, or when it takes too long, it is killed, and with it its
/// namespaces.
fn wait(mut child: Child, stop: &AtomicBool, within: Duration) -> Result<Measured> {
    let mut output = child.stdout.take().context("no output")?;
    // The rows are far smaller than what a pipe holds, and are read to the end before it is waited
    // for.
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        output.read_to_end(&mut bytes).map(|_| bytes)
    });
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().context("wait for a benchmark")? {
            break status;
        }
        let stopped = stop.load(Ordering::SeqCst);
        if stopped || begun.elapsed() > within {
            end(&mut child)?;
            bail!(if stopped { "interrupted" } else { "it took too long" });
        }
        sleep(LOOK_EVERY);
    };
    ensure!(status.success(), "it did not end well ({status})");
    let read = reader.join().map_err(|_| anyhow::anyhow!("reading rows panicked"))?;
    serde_json::from_slice(&read.context("read the rows")?).context("understand the rows")
}

/// Kills the first process of the namespaces, and with it all others. `unshare` waits for it and
/// ends too, so that nobody else has to; it is killed where that process is not there yet.
fn end(child: &mut Child) -> Result<()> {
    let id = child.id();
    let first = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let first = first.split_whitespace().next().and_then(|pid| pid.parse().ok());
    match first.and_then(Pid::from_raw) {
        // Gone already is fine.
        Some(first) => drop(kill_process(first, Signal::KILL)),
        None => child.kill().context("end a benchmark")?,
    }
    child.wait().context("wait for a benchmark").map(drop)
}

fn write_report(path: &Path, rows: &[Row]) -> Result<()> {
    let directory = path.parent().context("the report needs a directory")?;
    fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    let mut json = serde_json::to_vec_pretty(rows).context("write the report")?;
    json.push(b'\n');
    fs::write(path, json).with_context(|| format!("write {}", path.display()))
}
