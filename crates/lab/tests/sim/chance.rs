//! The system's randomness and clocks, taken over: in a process that runs a seed, all chance
//! follows from the seed, and real time stands still. The standard library and other crates come
//! through here, because the program's own symbol goes before the C library's.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static STATE: AtomicU64 = AtomicU64::new(0);
static SEEDED: AtomicBool = AtomicBool::new(false);

/// From now on all randomness of this process follows from a seed.
pub(crate) fn follows_from(seed: u64) {
    STATE.store(seed, Ordering::SeqCst);
    SEEDED.store(true, Ordering::SeqCst);
}

/// The next number of the sequence: the `SplitMix64` generator (Steele, Lea, Flood 2014).
fn next() -> u64 {
    let state = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// In the place of getrandom(2).
///
/// # Safety
/// As of the original: `buffer` has room for `length` bytes.
#[expect(unsafe_code, reason = "a C function is replaced by its name")]
// SAFETY: the name is that of the C library's function, with the same arguments and meaning.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getrandom(
    buffer: *mut libc::c_void,
    length: libc::size_t,
    flags: libc::c_uint,
) -> libc::ssize_t {
    if !SEEDED.load(Ordering::SeqCst) {
        // SAFETY: the arguments are the caller's own.
        let read = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
        return libc::ssize_t::try_from(read).unwrap_or(-1);
    }
    // SAFETY: the caller gives a buffer of this length.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&next().to_le_bytes()[..chunk.len()]);
    }
    libc::ssize_t::try_from(length).unwrap_or(-1)
}

/// In the place of `clock_gettime(2)`: whoever runs a seed learns nothing of real time.
///
/// # Safety
/// As of the original: `time` may be written.
#[expect(unsafe_code, reason = "a C function is replaced by its name")]
// SAFETY: the name is that of the C library's function, with the same arguments and meaning.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    time: *mut libc::timespec,
) -> libc::c_int {
    if SEEDED.load(Ordering::Relaxed) {
        // SAFETY: the caller gives a place for it.
        unsafe { time.write(libc::timespec { tv_sec: 1_795_000_000, tv_nsec: 0 }) };
        return 0;
    }
    // SAFETY: the arguments are the caller's own.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    if result == 0 { 0 } else { -1 }
}
