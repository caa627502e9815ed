//! Output on disk: bounded, whole, in order.

use std::fs;
use std::time::Duration;

use agent::runtime::*;
use agent::shim::log::{LogFollower, LogStream};

use crate::support::*;

#[test]
fn a_flood_does_not_fill_the_disk() {
    if !possible() {
        return;
    }
    let world = World::new();
    let mut spec = world.spec("flood", "exec yes a-line-of-some-length-to-fill-disks-with");
    spec.log.file_bytes = 256 << 10;
    spec.log.files = 3;
    spec.log.rate_bytes_per_s = None;
    world.runtime.create(&spec).unwrap();
    let began = std::time::Instant::now();
    let mut most = 0;
    // As long as a busy machine needs to fill more than one file, and then some.
    while most <= 256 << 10 || began.elapsed() < Duration::from_millis(700) {
        let files = fs::read_dir(&spec.log.dir).unwrap().flatten();
        let used: u64 = files.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum();
        assert!(used <= 4 * (256 << 10), "{used} bytes");
        most = most.max(used);
        assert!(began.elapsed() < Duration::from_secs(30), "only {most} bytes came");
    }
    world.runtime.delete(&spec.id).unwrap();
    // Logs are kept after deletion, and are whole.
    let mut follower = LogFollower::from(&spec.log.dir, 1);
    let entries = follower.read(usize::MAX).unwrap();
    assert!(entries.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq));
}

#[test]
fn above_the_rate_lines_wait_or_are_counted() {
    if !possible() {
        return;
    }
    let world = World::new();
    let ways = [("block", WhenSlow::Block, 200_000), ("drop", WhenSlow::Drop, 20_000)];
    for (name, when_slow, rate) in ways {
        let mut spec = world.spec(name, "seq 1 60000; echo done");
        spec.log.rate_bytes_per_s = Some(rate);
        spec.log.when_slow = when_slow;
        assert_eq!(world.run(&spec).cause, ExitCause::Code(0));
        let mut follower = LogFollower::from(&spec.log.dir, 1);
        let entries = follower.read(usize::MAX).unwrap();
        let (shim, lines): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.stream == LogStream::Shim);
        match when_slow {
            WhenSlow::Block => assert_eq!((lines.len(), shim.len()), (60_001, 0)),
            WhenSlow::Drop => {
                assert!(!shim.is_empty() && lines.len() < 60_001, "{} {}", lines.len(), shim.len());
            }
        }
    }
}

#[test]
fn long_lines_come_in_parts_and_last_words_are_kept() {
    if !possible() {
        return;
    }
    let world = World::new();
    let script = "head -c 40000 /dev/zero | tr '\\0' x; echo; printf 'no newline at the end'";
    let spec = world.spec("long", script);
    world.run(&spec);
    let entries = LogFollower::from(&spec.log.dir, 1).read(100).unwrap();
    let shape: Vec<(usize, bool)> =
        entries.iter().map(|entry| (entry.text.len(), entry.partial)).collect();
    assert_eq!(shape, [(16_384, true), (16_384, true), (7_232, false), (21, true)]);
}
