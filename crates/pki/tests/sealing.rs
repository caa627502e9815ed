//! Sealed secrets: what opens, and everything that must not.

use std::os::unix::fs::PermissionsExt;

use pki::{Keyring, KeyringError, MAX_SECRET_BYTES, SealContext, SealError, Sealed};
use proptest::prelude::*;

const PLACE: SealContext<'_> = SealContext { path: "/secrets/shop/db", version: 7 };

#[test]
fn every_changed_byte_is_refused() {
    let ring = Keyring::generate();
    let sealed = ring.seal(&PLACE, b"correct horse").unwrap();
    for at in 0..sealed.as_bytes().len() {
        for bit in 0..8 {
            let mut bytes = sealed.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            let opened = Sealed::from_bytes(bytes).and_then(|it| ring.open(&PLACE, &it));
            assert!(opened.is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn every_cut_and_every_extension_is_refused() {
    let ring = Keyring::generate();
    let sealed = ring.seal(&PLACE, b"correct horse").unwrap();
    for length in 0..sealed.as_bytes().len() {
        let bytes = sealed.as_bytes()[..length].to_vec();
        assert!(Sealed::from_bytes(bytes).and_then(|it| ring.open(&PLACE, &it)).is_err());
    }
    let mut bytes = sealed.as_bytes().to_vec();
    bytes.push(0);
    assert!(Sealed::from_bytes(bytes).and_then(|it| ring.open(&PLACE, &it)).is_err());
}

#[test]
fn parts_of_two_envelopes_do_not_mix() {
    let ring = Keyring::generate();
    let a = ring.seal(&PLACE, b"secret a").unwrap();
    let b = ring.seal(&PLACE, b"secret b").unwrap();
    for at in 1..a.as_bytes().len() {
        let mixed = [&a.as_bytes()[..at], &b.as_bytes()[at..]].concat();
        let opened = Sealed::from_bytes(mixed.clone()).and_then(|it| ring.open(&PLACE, &it));
        let whole = mixed == a.as_bytes() || mixed == b.as_bytes();
        assert_eq!(opened.is_ok(), whole, "cut at {at}");
    }
}

#[test]
fn another_place_version_or_ring_does_not_open() {
    let ring = Keyring::generate();
    let sealed = ring.seal(&PLACE, b"s").unwrap();
    for context in [
        SealContext { path: "/secrets/shop/d", ..PLACE },
        SealContext { path: "/secrets/shop/db\0", ..PLACE },
        SealContext { version: 6, ..PLACE },
        SealContext { version: 8, ..PLACE },
    ] {
        assert_eq!(ring.open(&context, &sealed), Err(SealError::Refused));
    }
    assert!(matches!(Keyring::generate().open(&PLACE, &sealed), Err(SealError::UnknownKey(_))));
    assert_eq!(ring.open(&PLACE, &sealed).unwrap().as_slice(), b"s");
}

#[test]
fn rotation_keeps_secrets_and_ends_with_the_old_key_gone() {
    let mut ring = Keyring::generate();
    let first = ring.current();
    let sealed = ring.seal(&PLACE, b"kept").unwrap();
    assert_eq!(ring.rewrap(&PLACE, &sealed), Ok(None));

    ring.rotate().unwrap();
    assert_eq!(ring.open(&PLACE, &sealed).unwrap().as_slice(), b"kept");
    let anew = ring.rewrap(&PLACE, &sealed).unwrap().unwrap();
    assert_eq!(ring.rewrap(&PLACE, &anew), Ok(None));

    assert!(matches!(ring.retire(ring.current()), Err(KeyringError::NotAnOldKey(_))));
    ring.retire(first).unwrap();
    assert!(matches!(ring.retire(first), Err(KeyringError::NotAnOldKey(_))));
    assert!(matches!(ring.open(&PLACE, &sealed), Err(SealError::UnknownKey(_))));
    assert_eq!(ring.open(&PLACE, &anew).unwrap().as_slice(), b"kept");
}

#[test]
fn a_damaged_envelope_is_found_at_rotation() {
    let mut ring = Keyring::generate();
    let sealed = ring.seal(&PLACE, b"kept").unwrap();
    ring.rotate().unwrap();
    let mut bytes = sealed.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = Sealed::from_bytes(bytes).unwrap();
    assert_eq!(ring.rewrap(&PLACE, &damaged), Err(SealError::Refused));
}

#[test]
fn rotation_is_bounded() {
    let mut ring = Keyring::generate();
    let rotations = std::iter::from_fn(|| ring.rotate().ok()).take(100).count();
    assert_eq!(rotations, 7);
    assert!(matches!(ring.rotate(), Err(KeyringError::Full)));
}

#[test]
fn the_ring_survives_its_file_and_the_file_is_private() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("master.key");
    let mut ring = Keyring::load_or_create(&path).unwrap();
    ring.rotate().unwrap();
    ring.save(&path).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let sealed = ring.seal(&PLACE, b"kept").unwrap();
    let again = Keyring::load_or_create(&path).unwrap();
    assert_eq!(again.current(), ring.current());
    assert_eq!(again.old().collect::<Vec<_>>(), ring.old().collect::<Vec<_>>());
    assert_eq!(again.open(&PLACE, &sealed).unwrap().as_slice(), b"kept");
    let names: Vec<_> = directory.path().read_dir().unwrap().map(|e| e.unwrap()).collect();
    assert_eq!(names.len(), 1, "nothing is left beside it");

    let mut open = path.metadata().unwrap().permissions();
    open.set_mode(0o640);
    std::fs::set_permissions(&path, open).unwrap();
    assert!(Keyring::load(&path).unwrap_err().to_string().contains("master keys"));
}

#[test]
fn a_damaged_ring_is_neither_used_nor_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("master.key");
    Keyring::load_or_create(&path).unwrap();
    let good = std::fs::read_to_string(&path).unwrap();
    for bad in [
        String::new(),
        good.lines().next().unwrap().to_owned(),
        good.replace("keys 1", "keys 2"),
        good.trim_end()[..good.len() - 2].to_owned(),
        good.clone() + "\n",
        good.lines().next().unwrap().to_owned() + &format!("\n{}", "00".repeat(32)).repeat(9),
    ] {
        pki::write_atomic(&path, bad.as_bytes(), pki::PRIVATE_MODE).unwrap();
        let refused = Keyring::load_or_create(&path);
        assert!(matches!(refused, Err(KeyringError::Damaged)), "{bad:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), bad);
    }
}

#[test]
fn debug_shows_no_key_and_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("master.key");
    let ring = Keyring::load_or_create(&path).unwrap();
    let key = std::fs::read_to_string(&path).unwrap().lines().nth(1).unwrap().to_owned();
    let sealed = ring.seal(&PLACE, b"hunter2").unwrap();
    let shown = format!("{ring:?} {sealed:?} {}", ring.current());
    assert!(!shown.contains(&key[..16]) && !shown.contains("hunter2"));
}

#[test]
fn the_longest_secret_fits_and_the_next_does_not() {
    let ring = Keyring::generate();
    let longest = vec![b'x'; MAX_SECRET_BYTES];
    let sealed = ring.seal(&PLACE, &longest).unwrap();
    assert_eq!(ring.open(&PLACE, &sealed).unwrap().as_slice(), longest);
    let longer = vec![b'x'; MAX_SECRET_BYTES + 1];
    assert_eq!(ring.seal(&PLACE, &longer), Err(SealError::TooLong(MAX_SECRET_BYTES + 1)));
}

proptest! {
    #[test]
    fn what_was_sealed_opens_in_its_place_alone(
        secret in prop::collection::vec(any::<u8>(), 0..600),
        path in ".{0,40}", version: u64, other_path in ".{0,40}", other_version: u64,
    ) {
        let ring = Keyring::generate();
        let here = SealContext { path: &path, version };
        let there = SealContext { path: &other_path, version: other_version };
        let sealed = ring.seal(&here, &secret).unwrap();
        let stored = serde_json::to_string(&sealed).unwrap();
        let sealed: Sealed = serde_json::from_str(&stored).unwrap();
        let opened = ring.open(&here, &sealed).unwrap();
        prop_assert_eq!(opened.as_slice(), secret.as_slice());
        prop_assert_eq!(ring.open(&there, &sealed).is_ok(), here == there);
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let ring = Keyring::generate();
        let with_magic = [b"FHS1".as_slice(), &bytes].concat();
        for bytes in [bytes, with_magic] {
            prop_assert!(Sealed::from_bytes(bytes).and_then(|it| ring.open(&PLACE, &it)).is_err());
        }
    }
}
