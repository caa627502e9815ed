//! What goes in comes out, whatever the chunks; the disk used is bounded.

use proptest::prelude::*;

use super::*;
use crate::runtime::WhenSlow;
use crate::shim::log::{LogFollower, tail};

fn options(dir: &Path, file_bytes: u64, files: u32) -> LogOptions {
    LogOptions {
        dir: dir.to_owned(),
        file_bytes,
        files,
        rate_bytes_per_s: None,
        when_slow: WhenSlow::Block,
    }
}

fn used(dir: &Path) -> u64 {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lines_survive_any_chunking(
        lines in proptest::collection::vec(0usize..40_000, 0..12),
        chunk in 1usize..9000,
        ended: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::open(&options(dir.path(), 64 << 10, 1000)).unwrap();
        let texts: Vec<Vec<u8>> =
            lines.iter().enumerate().map(|(n, len)| vec![b'a' + n as u8; *len]).collect();
        let mut wire = texts.join(&b'\n');
        if ended { wire.push(b'\n'); }
        for part in wire.chunks(chunk) {
            writer.take(LogStream::Out, part);
        }
        writer.finish();
        let mut follower = LogFollower::from(dir.path(), 1);
        let mut got = Vec::new();
        loop {
            let batch = follower.read(7).unwrap();
            if batch.is_empty() { break }
            got.extend(batch);
        }
        prop_assert!(got.iter().zip(1..).all(|(entry, seq)| entry.seq == seq), "gaps");
        prop_assert!(got.iter().all(|entry| entry.text.len() <= MAX_LINE));
        let mut back = Vec::new();
        for entry in &got {
            back.extend_from_slice(&entry.text);
            if !entry.partial { back.push(b'\n'); }
        }
        prop_assert_eq!(back, wire);
    }
}

#[test]
fn the_disk_used_is_bounded_and_the_newest_lines_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::open(&options(dir.path(), 32 << 10, 3)).unwrap();
    for n in 0..20_000 {
        writer.take(LogStream::Out, format!("line {n}\n").as_bytes());
    }
    assert!(used(dir.path()) <= 3 * (32 << 10), "{}", used(dir.path()));
    let last = tail(dir.path(), 2).unwrap();
    assert_eq!(last[1].text, b"line 19999");
    assert_eq!((last[0].seq, last[1].seq), (19_999, 20_000));
}

#[test]
fn a_second_writer_goes_on_with_the_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), 1 << 20, 3);
    LogWriter::open(&options).unwrap().take(LogStream::Out, b"one\ntwo\n");
    let mut writer = LogWriter::open(&options).unwrap();
    assert_eq!(writer.next_seq(), 3);
    writer.take(LogStream::Err, b"three\n");
    let all = tail(dir.path(), 10).unwrap();
    let seqs: Vec<u64> = all.iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, [1, 2, 3]);
    assert_eq!(all[2].stream, LogStream::Err);
}

#[test]
fn dropped_lines_are_told_where_they_are_missing() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::open(&options(dir.path(), 1 << 20, 3)).unwrap();
    writer.take(LogStream::Out, b"before\n");
    writer.drop_lines(LogStream::Out, b"a\nb\nc");
    writer.drop_lines(LogStream::Out, b"cc");
    writer.take(LogStream::Out, b"c\nafter\n");
    assert_eq!(writer.dropped(), 3);
    let texts: Vec<Vec<u8>> =
        tail(dir.path(), 10).unwrap().into_iter().map(|entry| entry.text).collect();
    assert_eq!(texts, [&b"before"[..], b"3 lines dropped here", b"after"]);
}

#[test]
fn a_line_that_is_cut_says_so_and_its_rest_does_not_stray() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::open(&options(dir.path(), 1 << 20, 3)).unwrap();
    writer.take(LogStream::Out, b"first half, ");
    writer.drop_lines(LogStream::Out, b"second half\nwhole\nbroken");
    writer.take(LogStream::Out, b" off\nafter\n");
    assert_eq!(writer.dropped(), 2);
    let seen: Vec<(Vec<u8>, bool)> = tail(dir.path(), 10)
        .unwrap()
        .into_iter()
        .map(|entry| (entry.text, entry.partial))
        .collect();
    let want = [("first half, ", true), ("2 lines dropped here", false), ("after", false)];
    assert!(
        seen.iter()
            .map(|(text, part)| (&text[..], *part))
            .eq(want.iter().map(|(text, part)| (text.as_bytes(), *part))),
        "{seen:?}"
    );
}

#[test]
fn a_directory_that_cannot_be_written_loses_lines_but_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    let mut writer = LogWriter::open(&options(&logs, 1 << 20, 3)).unwrap();
    fs::remove_dir(&logs).unwrap();
    writer.take(LogStream::Out, b"lost\n");
    assert_eq!((writer.dropped(), writer.next_seq()), (1, 1));
    fs::create_dir(&logs).unwrap();
    writer.take(LogStream::Out, b"kept\n");
    let texts: Vec<Vec<u8>> =
        tail(&logs, 10).unwrap().into_iter().map(|entry| entry.text).collect();
    assert_eq!(texts, [&b"1 lines dropped here"[..], b"kept"]);
}
