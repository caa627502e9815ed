//! The simulator: seeds run, known bugs are found, and one seed is always the same run.
//!
//! `make sim SEEDS=1000` runs many, on all cores; `SEED=7` begins there. `FREEHOLD_SIM_TRACE=1
//! FREEHOLD_SIM_SEED=7` and the test `child` show what happens in one.

mod chance;
mod child;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use lab::sim::Planted;

use child::{Said, ask};

/// A quarter faster than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Runs seeds on all cores until all are done or one is as wanted; gives those that are.
fn search(first: u64, count: u64, planted: Option<Planted>, enough: usize) -> Vec<Said> {
    let (next, found) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::SeqCst);
                    if at >= count || found.lock().expect("no search panics").len() >= enough {
                        return;
                    }
                    let said = ask(first + at, planted);
                    if !said.violations.is_empty() || !said.broken.is_empty() {
                        found.lock().expect("no search panics").push(said);
                    }
                }
            });
        }
    });
    found.into_inner().expect("no search panics")
}

/// Runs one seed where the environment asks for it; else there is nothing to do.
#[test]
fn child() {
    child::run_if_asked();
}

#[test]
fn seeds() {
    let (first, count) = (number("SEED", 1), number("SEEDS", 8));
    let begin = std::time::Instant::now();
    let bad = search(first, count, None, 20);
    println!("{count} seeds from {first} took {:.1} s", begin.elapsed().as_secs_f64());
    for said in &bad {
        println!("seed {}: {:?} {}", said.seed, said.violations, said.broken);
    }
    assert!(bad.is_empty(), "{} seeds failed", bad.len());
}

#[test]
fn a_seed_is_always_the_same_run() {
    let seed = number("SEED", 3);
    let (one, other) = (ask(seed, None), ask(seed, None));
    assert_eq!(one, other);
    assert_eq!(one.broken, "");
    assert_ne!(one.digest, ask(seed + 1, None).digest, "another seed is another run");
}

/// Of so many seeds at least one finds a planted bug.
const ENOUGH: u64 = 40;

fn is_found(planted: Planted) {
    let found = search(number("SEED", 1), ENOUGH, Some(planted), 1);
    let Some(said) = found.first() else { panic!("{planted:?} was not found") };
    assert_eq!(said.broken, "", "seed {}", said.seed);
    println!("{planted:?}: seed {}: {:?}", said.seed, said.violations);
}

macro_rules! planted {
    ($($name:ident: $bug:ident,)*) => {$(
        #[test]
        fn $name() {
            is_found(Planted::$bug);
        }
    )*};
}

planted! {
    finds_that_the_term_is_not_compared: NoTermCompare,
    finds_that_documents_are_not_compared: NoDocumentCompare,
    finds_that_an_acknowledged_write_is_lost: LostWrite,
    finds_that_a_watch_leaves_events_out: LostEvent,
    finds_that_a_disk_forgets: ForgetfulDisk,
    finds_that_tables_are_acknowledged_early: EarlyAcknowledgment,
    finds_that_a_lonely_host_stops_its_instances: StopsWhenAlone,
    finds_that_one_observer_decides: DeafObservers,
    finds_that_addresses_do_not_cool: HotAddresses,
    finds_that_surge_is_not_bounded: LooseSurge,
}
