//! Puts and compare-and-swaps a second of the SQLite store: 6 KB values, 1, 16 and 64 in flight.
//! Takes the directory to work in; the system's temporary one by default.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use store::{Compare, Op, Revision, SqliteOptions, SqliteStore, Store, Txn};

const VALUE_BYTES: usize = 6_000;
const RUN: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let base = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, Into::into);
    println!(
        "{:<6}{:>10}{:>12}{:>10}{:>10}",
        "kind", "in flight", "per second", "p50 ms", "p99 ms"
    );
    for kind in ["put", "cas"] {
        for in_flight in [1, 16, 64] {
            let directory = tempfile::tempdir_in(&base)?;
            let path = directory.path().join("db");
            let store = Arc::new(SqliteStore::open(path, SqliteOptions::default()).await?);
            let mut times = run(&store, kind, in_flight).await?;
            store.close().await?;
            times.sort_unstable();
            let at = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e3;
            let rate = times.len() as f64 / RUN.as_secs_f64();
            println!("{kind:<6}{in_flight:>10}{rate:>12.0}{:>10.2}{:>10.2}", at(50), at(99));
        }
    }
    Ok(())
}

async fn run(
    store: &Arc<SqliteStore>,
    kind: &'static str,
    in_flight: usize,
) -> anyhow::Result<Vec<Duration>> {
    let end = Instant::now() + RUN;
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for task in 0..in_flight {
        let (store, next) = (Arc::clone(store), Arc::clone(&next));
        tasks.push(tokio::spawn(async move {
            let (mut times, mut last) = (Vec::new(), Revision::ZERO);
            while Instant::now() < end {
                let began = Instant::now();
                let number = next.fetch_add(1, Ordering::Relaxed) % 10_000;
                let cas = kind == "cas";
                let key = if cas { format!("cas/{task}") } else { format!("put/{number}") };
                let mut txn = Txn::of([Op::put(key.clone(), vec![7; VALUE_BYTES])]);
                if cas {
                    txn = txn.when(Compare::unchanged_since(key, last));
                }
                let answer = store.txn(txn).await?;
                anyhow::ensure!(answer.succeeded, "a compare-and-swap without rival failed");
                last = answer.revision;
                times.push(began.elapsed());
            }
            Ok(times)
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    Ok(all)
}
