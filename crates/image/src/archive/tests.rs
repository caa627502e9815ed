//! Archives of every format, whole, cut off and hostile, read in chunks of any size.

use super::*;

fn file(name: &str, body: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(body.len() as u64);
    header.set_mode(0o640);
    header.set_uid(7);
    header.set_gid(8);
    header.set_mtime(9);
    builder.append_data(&mut header, name, body).unwrap();
    builder.into_inner().unwrap()
}

/// A PAX record with its own length counted in.
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n").len();
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n")
}

fn pax(records: &[(&str, &str)], kind: EntryType, body: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let text: String = records.iter().map(|(k, v)| record(k, v)).collect();
    for (kind, name, body) in
        [(EntryType::XHeader, "pax", text.as_bytes()), (kind, "plain-name", body)]
    {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(body.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        builder.append_data(&mut header, name, body).unwrap();
    }
    builder.into_inner().unwrap()
}

fn only(bytes: &[u8]) -> (Entry, Vec<u8>) {
    let mut archive = Archive::new(bytes);
    let entry = archive.next().unwrap().unwrap();
    let mut body = Vec::new();
    archive.read_to_end(&mut body).unwrap();
    assert!(archive.next().unwrap().is_none());
    (entry, body)
}

#[test]
fn plain_and_long_names() {
    let long = format!("{}/{}", "d".repeat(150), "f".repeat(200));
    for name in ["a/b", &long] {
        let (entry, body) = only(&file(name, b"hello"));
        assert_eq!(entry.path, name.as_bytes());
        assert_eq!((entry.kind, entry.mode, entry.uid, entry.gid), (Kind::File, 0o640, 7, 8));
        assert_eq!((entry.mtime.seconds, entry.size), (9, 5));
        assert_eq!(body, b"hello");
    }
}

#[test]
fn pax_records_override_the_header() {
    let records = [
        ("path", "real/näme"),
        ("uid", "3000000000"),
        ("gid", "5"),
        ("mtime", "-1.25"),
        ("SCHILY.xattr.user.x", "a=b\nc"),
    ];
    let (entry, _) = only(&pax(&records, EntryType::Regular, b"x"));
    assert_eq!(entry.path, "real/näme".as_bytes());
    assert_eq!((entry.uid, entry.gid), (3_000_000_000, 5));
    assert_eq!(entry.mtime, Time { seconds: -2, nanos: 750_000_000 });
    assert_eq!(entry.xattrs, [(b"user.x".to_vec(), b"a=b\nc".to_vec())]);
}

#[test]
fn sparse_maps_in_every_pax_form() {
    let v00 = [
        ("GNU.sparse.size", "100"),
        ("GNU.sparse.offset", "10"),
        ("GNU.sparse.numbytes", "3"),
        ("GNU.sparse.offset", "90"),
        ("GNU.sparse.numbytes", "2"),
    ];
    let v01 = [("GNU.sparse.size", "100"), ("GNU.sparse.map", "10,3,90,2")];
    let v10 = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "real"),
        ("GNU.sparse.realsize", "100"),
    ];
    let mut text = b"2\n10\n3\n90\n2\n".to_vec();
    text.resize(BLOCK, 0);
    text.extend(b"abcde");
    for (records, body) in [(&v00[..], &b"abcde"[..]), (&v01, b"abcde"), (&v10, &text)] {
        let (entry, body) = only(&pax(records, EntryType::Regular, body));
        assert_eq!(entry.sparse, Some(vec![(10, 3), (90, 2)]));
        assert_eq!((entry.size, body), (100, b"abcde".to_vec()));
    }
    for map in ["10,3,11,2", "10,3", "99,5", "18446744073709551615,5", "x,y", "1"] {
        let bytes = pax(
            &[("GNU.sparse.size", "100"), ("GNU.sparse.map", map)],
            EntryType::Regular,
            b"abcde",
        );
        assert!(Archive::new(&bytes[..]).next().is_err(), "{map}");
    }
}

#[test]
fn hostile_forms_are_errors() {
    let good = file("a", b"hello");
    let mut flipped = good.clone();
    flipped[0] ^= 1;
    assert!(matches!(Archive::new(&flipped[..]).next(), Err(ArchiveError::Checksum(0))));
    for cut in [1, 511, 513, 516] {
        let mut archive = Archive::new(&good[..cut]);
        let end = archive.next().and_then(|_| archive.next().map(|_| ()));
        assert!(end.is_err(), "cut at {cut}");
    }
    // An extended header that claims eight exbibytes, and one over the limit with content.
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    header.set_size(1 << 62);
    header.set_cksum();
    assert!(matches!(
        Archive::new(&header.as_bytes()[..]).next(),
        Err(ArchiveError::Limit { what: "extended header", .. })
    ));
    // Long names chained for ever.
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(0);
    header.set_cksum();
    struct Endless([u8; BLOCK], usize);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            for byte in buffer.iter_mut() {
                *byte = self.0[self.1 % BLOCK];
                self.1 += 1;
            }
            Ok(buffer.len())
        }
    }
    let endless = Endless(*header.as_bytes(), 0);
    assert!(matches!(Archive::new(endless).next(), Err(ArchiveError::Limit { .. })));
    for bad in
        [&b"5 a=b\n"[..], b"x a=b\n", b"99 a=b\n", b"6 ab\n", b"2 \n", b"0 a=\n", b"7 uid=x\n"]
    {
        assert!(Extensions::default().read(0, bad).is_err(), "{}", bad.escape_ascii());
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_end_without_panic(
        noise in proptest::collection::vec(proptest::num::u8::ANY, 0..2048),
        at in 0_usize..1200,
        with in proptest::num::u8::ANY,
    ) {
        let run = |bytes: &[u8]| {
            let mut archive = Archive::new(bytes);
            while let Ok(Some(_)) = archive.next() {}
        };
        run(&noise);
        let mut real = pax(&[("path", "x"), ("GNU.sparse.size", "9")], EntryType::Regular, b"abc");
        if let Some(byte) = real.get_mut(at) { *byte = with; }
        run(&real);
    }
}
