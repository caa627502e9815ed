//! What happened, as lines: for people, and as a number that two runs of one seed must share.

/// Lines that are kept for people.
const KEPT: usize = 100_000;

/// What happened so far.
#[derive(Debug)]
pub(super) struct Trace {
    lines: Vec<String>,
    digest: u64,
    keep: bool,
}

impl Trace {
    pub(super) fn new(keep: bool) -> Self {
        Self { lines: Vec::new(), digest: 0xcbf2_9ce4_8422_2325, keep }
    }

    /// Notes what happened at a time. FNV-1a (Fowler, Noll, Vo) over all of it.
    pub(super) fn note(&mut self, at: u64, what: &str) {
        for byte in at.to_le_bytes().into_iter().chain(what.bytes()) {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.keep && self.lines.len() < KEPT {
            self.lines.push(format!("{:>4}.{:03} {what}", at / 1000, at % 1000));
        }
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines
    }
}
