//! Random bytes from the operating system, and nothing else. No generator with state of its own
//! lives here, so a forked or restored process never repeats a key.

use rand::TryRng;
use rand::rngs::SysRng;

/// `N` bytes fit for keys, nonces and serial numbers.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    SysRng.try_fill_bytes(&mut out).expect("getrandom(2) does not fail once the system has booted");
    out
}
