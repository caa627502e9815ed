//! When a server that says nothing is given up. Pure.

use std::time::Duration;

/// One look: as long as lies between two signs of life of a server.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// Looks in a row that find nothing until a server is given up: one second.
///
/// Looks are counted, not time: a host that itself was paused finds one look missed, reads what
/// waits for it, and leaves nobody.
const LOOKS: u32 = 4;

/// How long a server has said nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Silence(u32);

impl Silence {
    /// Something came.
    pub(super) fn heard(&mut self) {
        self.0 = 0;
    }

    /// Nothing came for the length of a look; says whether the server is to be given up.
    #[must_use]
    pub(super) fn missed(&mut self) -> bool {
        self.0 = self.0.saturating_add(1);
        self.0 >= LOOKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_without_a_word_is_enough_and_a_word_begins_it_anew() {
        assert_eq!(LOOK * LOOKS, Duration::from_secs(1));
        let mut silence = Silence::default();
        for _ in 0..3 {
            assert_eq!([silence.missed(), silence.missed(), silence.missed()], [false; 3]);
            silence.heard();
        }
        let looks = [silence.missed(), silence.missed(), silence.missed(), silence.missed()];
        assert_eq!(looks, [false, false, false, true]);
    }
}
