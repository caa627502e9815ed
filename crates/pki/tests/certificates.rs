//! The authority and what it signs, compared with what OpenSSL says about the same files.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use data_encoding::BASE64;
use jiff::{SignedDuration, Timestamp};
use pki::{
    BundleError, CaBundle, CaError, CertificateAuthority, Fingerprint, HostKey, Identity,
    IdentityError, MemberError, PeerError, PeerIdentity, PeerRole, Renewal, ServerNames,
    SigningRequest, key_of,
};

fn now() -> Timestamp {
    "2026-01-15T12:00:00Z".parse().unwrap()
}

fn authority() -> CertificateAuthority {
    CertificateAuthority::create("north", now()).unwrap()
}

fn names() -> ServerNames {
    ServerNames {
        dns: vec!["localhost".to_owned(), "*.example.com".to_owned()],
        addresses: vec!["127.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
    }
}

/// Runs `openssl`, or says that it is not there.
fn openssl(arguments: &[&str]) -> Option<(bool, String)> {
    match Command::new("openssl").args(arguments).output() {
        Ok(output) => {
            let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.push_str(&String::from_utf8_lossy(&output.stderr));
            Some((output.status.success(), text))
        }
        Err(e) => {
            eprintln!("skipped: needs openssl ({e})");
            None
        }
    }
}

fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn certificates_name_their_holder() {
    let ca = authority();
    let server = ca.issue_server("s1", &names(), now()).unwrap();
    let peer = server.peer().unwrap();
    assert_eq!((peer.cluster(), peer.role(), peer.name()), ("north", PeerRole::Server, "s1"));
    let host = ca.issue_host("host-1.rack2", now()).unwrap();
    assert_eq!(host.peer().unwrap().to_string(), "freehold://north/host/host-1.rack2");
    let bundle = ca.bundle().certificates();
    assert_eq!(PeerIdentity::from_certificate(&bundle[0]), Err(PeerError::NoIdentity));
}

#[test]
fn validity_is_thirty_days_from_issue() {
    let host = authority().issue_host("h", now()).unwrap();
    let validity = host.validity();
    assert_eq!(validity.not_after, now() + SignedDuration::from_hours(30 * 24));
    assert_eq!(validity.not_before, now() - SignedDuration::from_hours(1));
    assert!(matches!(validity.renewal(now()), Renewal::NotBefore(_)));
    assert_eq!(validity.renewal(now() + SignedDuration::from_hours(11 * 24)), Renewal::Due);
    assert_eq!(validity.renewal(now() + SignedDuration::from_hours(31 * 24)), Renewal::Expired);
}

fn serial(certificate: &[u8]) -> Vec<u8> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).unwrap();
    let serial = parsed.raw_serial().to_vec();
    assert_eq!(serial.len(), 16);
    assert!(serial[0] < 0x80, "serial numbers are positive");
    serial
}

#[test]
fn serial_numbers_and_keys_differ() {
    let ca = authority();
    let a = ca.issue_host("h", now()).unwrap();
    let b = ca.issue_host("h", now()).unwrap();
    assert_ne!(serial(&a.chain()[0]), serial(&b.chain()[0]));
    assert_ne!(*a.key_pem(), *b.key_pem());
    let key = HostKey::generate().unwrap();
    let request = SigningRequest::from_pem(&key.request_pem().unwrap()).unwrap();
    let first = der(&sign(&ca, &request, "h"));
    let renewed = der(&sign(&ca, &request, "h"));
    assert_ne!(serial(&first), serial(&renewed), "even for the same key at the same time");
}

#[test]
fn openssl_verifies_what_we_sign() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let ca = authority();
    ca.save(directory.path()).unwrap();
    ca.issue_server("s1", &names(), now()).unwrap().save(&at("s.pem"), &at("s.key")).unwrap();
    ca.issue_host("h1", now()).unwrap().save(&at("h.pem"), &at("h.key")).unwrap();
    let rogue = CertificateAuthority::create("north", now()).unwrap();
    rogue.issue_host("h1", now()).unwrap().save(&at("r.pem"), &at("r.key")).unwrap();

    let verify = |purpose: &str, file: &str, after_hours: i64| {
        let at_time = (now() + SignedDuration::from_hours(after_hours)).as_second().to_string();
        let (ca_file, file) = (at("ca.pem"), at(file));
        openssl(&[
            "verify",
            "-x509_strict",
            "-attime",
            &at_time,
            "-purpose",
            purpose,
            "-CAfile",
            path_text(&ca_file),
            path_text(&file),
        ])
    };
    let Some(_) = openssl(&["version"]) else { return };
    for (purpose, file, after_hours, good) in [
        ("sslserver", "s.pem", 0, true),
        ("sslclient", "s.pem", 0, true),
        ("sslclient", "h.pem", 0, true),
        ("sslserver", "h.pem", 0, false),
        ("sslclient", "r.pem", 0, false),
        ("sslclient", "h.pem", 30 * 24 - 1, true),
        ("sslclient", "h.pem", 30 * 24 + 1, false),
        ("sslclient", "h.pem", -2, false),
    ] {
        let (verified, text) = verify(purpose, file, after_hours).unwrap();
        assert_eq!(verified, good, "{purpose} {file} after {after_hours} h: {text}");
    }
}

#[test]
fn openssl_reads_what_we_wrote() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let ca = authority();
    ca.save(directory.path()).unwrap();
    let server = ca.issue_server("s1", &names(), now()).unwrap();
    server.save(&at("s.pem"), &at("s.key")).unwrap();
    let certificate = at("s.pem");
    let show = ["x509", "-noout", "-text", "-in", path_text(&certificate)];
    let Some((true, text)) = openssl(&show) else { return };
    for part in [
        "URI:freehold://north/server/s1",
        "DNS:localhost, DNS:*.example.com",
        "IP Address:127.0.0.1, IP Address:FD00:0:0:0:0:0:0:1",
        "CA:FALSE",
        "Digital Signature",
        "TLS Web Client Authentication, TLS Web Server Authentication",
        "prime256v1",
        "Not After : Feb 14 12:00:00 2026 GMT",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let ca_file = at("ca.pem");
    let (_, print) =
        openssl(&["x509", "-noout", "-fingerprint", "-sha256", "-in", path_text(&ca_file)])
            .unwrap();
    let hex = print.trim().split_once('=').unwrap().1.replace(':', "").to_lowercase();
    assert_eq!(ca.bundle().fingerprint().to_string(), format!("sha256:{hex}"));
    let parsed: Fingerprint = format!("sha256:{}", hex.to_uppercase()).parse().unwrap();
    assert_eq!(parsed, ca.bundle().fingerprint());
    for key in ["ca.key", "s.key"] {
        let key = at(key);
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let (good, text) = openssl(&["pkey", "-check", "-noout", "-in", path_text(&key)]).unwrap();
        assert!(good, "{text}");
    }
}

#[test]
fn keys_made_by_openssl_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (key, certificate) = (at("k"), at("c"));
    for algorithm in [&["rsa:2048"][..], &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]] {
        let mut arguments = vec!["req", "-x509", "-nodes", "-days", "10", "-subj", "/CN=x"];
        arguments.extend(["-keyout", path_text(&key), "-out", path_text(&certificate)]);
        arguments.push("-newkey");
        arguments.extend(algorithm);
        let Some((true, _)) = openssl(&arguments) else { return };
        let identity = Identity::load(&certificate, &key).unwrap();
        assert_eq!(identity.peer(), Err(PeerError::NoIdentity));
        assert_eq!(
            Identity::from_pem(
                identity.certificate_pem().as_bytes(),
                identity.key_pem().as_bytes(),
            )
            .unwrap()
            .chain(),
            identity.chain(),
        );
    }
}

fn sign(ca: &CertificateAuthority, request: &SigningRequest, name: &str) -> String {
    ca.sign_request(request, (PeerRole::Host, name), &ServerNames::default(), now()).unwrap()
}

fn der(pem: &str) -> Vec<u8> {
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    BASE64.decode(lines.collect::<String>().as_bytes()).unwrap()
}

fn request_pem(der: &[u8]) -> String {
    let (label, text) = ("CERTIFICATE REQUEST", BASE64.encode(der));
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

#[test]
fn a_member_is_known_by_its_certificate_even_when_it_has_expired() {
    let ca = authority();
    let host = ca.issue_host("h1", now()).unwrap();
    let member = ca.bundle().member(&host.certificate_pem()).unwrap();
    assert_eq!(member.peer.to_string(), "freehold://north/host/h1");
    assert_eq!(member.validity, host.validity());
    assert_eq!(Some(member.key), key_of(&host.chain()[0]));
    let copy = CertificateAuthority::import(&ca.export().0, &ca.export().1).unwrap();
    let again = copy.issue_host("h1", now()).unwrap();
    assert!(ca.bundle().member(&again.certificate_pem()).is_ok(), "the copy is the authority");
    let other = CertificateAuthority::create(ca.cluster(), now()).unwrap();
    let stranger = other.issue_host("h1", now()).unwrap();
    let refused = ca.bundle().member(&stranger.certificate_pem());
    assert!(matches!(refused, Err(MemberError::NotOurs(_))), "{refused:?}");
    assert_eq!(ca.bundle().member("x"), Err(MemberError::NotACertificate));
}

#[test]
fn a_key_waits_for_its_certificate_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("host.key");
    let request = HostKey::load_or_create(&path).unwrap().request_pem().unwrap();
    let again = HostKey::load_or_create(&path).unwrap().request_pem().unwrap();
    let key = |pem: &str| SigningRequest::from_pem(pem).unwrap().key();
    assert_eq!(key(&request), key(&again), "the same key asks again");
    std::fs::write(&path, "no key").unwrap();
    assert!(matches!(HostKey::load_or_create(&path), Err(CaError::KeyFile(_))));
}

#[test]
fn a_request_gives_the_key_and_nothing_else() {
    let ca = authority();
    let key = HostKey::generate().unwrap();
    let request = der(&key.request_pem().unwrap());
    let parsed = SigningRequest::from_pem(&request_pem(&request)).unwrap();
    let certificate = sign(&ca, &parsed, "h1");
    assert_eq!(key_of(&der(&certificate)), Some(parsed.key()));
    let identity = key.with_certificate(&certificate).unwrap();
    assert_eq!(identity.peer().unwrap().name(), "h1");

    let other = HostKey::generate().unwrap();
    assert!(matches!(other.with_certificate(&certificate), Err(CaError::Signed(_))));
    // An uncompressed point on P-256 is the byte 4 and twice 32 (SEC 1 §2.3.3), announced by the
    // end of the curve's name and the header of a bit string.
    let point = request.windows(5).position(|part| part == [0x07, 0x03, 0x42, 0, 4]).unwrap();
    let key_bytes = &request[point + 4..point + 69];
    let mut tolerated = 0;
    for at in 0..request.len() {
        let mut changed = request.clone();
        changed[at] ^= 1;
        // Outside the signed part a change may go unnoticed; then it must have no effect.
        if let Ok(request) = SigningRequest::from_pem(&request_pem(&changed)) {
            let certificate = der(&sign(&ca, &request, "h1"));
            assert!(certificate.windows(key_bytes.len()).any(|part| part == key_bytes), "{at}");
            tolerated += 1;
        }
    }
    assert!(tolerated < 4, "{tolerated} changes went unnoticed");
}

#[test]
fn bad_names_are_refused() {
    let ca = authority();
    assert!(matches!(ca.issue_host("a/b", now()), Err(CaError::Name(_))));
    assert!(matches!(CertificateAuthority::create("", now()), Err(CaError::Name(_))));
    for bad in ["a b", "", "a..b", "*.*.x", "*", "x\0y", "ä.example"] {
        let names = ServerNames { dns: vec![bad.to_owned()], addresses: Vec::new() };
        let refused = ca.issue_server("s", &names, now());
        assert!(matches!(refused, Err(CaError::DnsName(_))), "{bad:?}");
    }
    let names = ServerNames { dns: vec!["x".to_owned(); 101], addresses: Vec::new() };
    assert!(matches!(ca.issue_server("s", &names, now()), Err(CaError::TooManyNames(101))));
    assert!(matches!(ca.issue_host("h", Timestamp::MIN), Err(CaError::Time(_))));
    assert!(ca.issue_host("h", Timestamp::MAX).is_ok(), "the end of time is a time");
}

#[test]
fn the_authority_survives_its_files() {
    let directory = tempfile::tempdir().unwrap();
    let first = CertificateAuthority::load_or_create(directory.path(), "north", now()).unwrap();
    let again = CertificateAuthority::load_or_create(directory.path(), "north", now()).unwrap();
    assert_eq!(first.bundle(), again.bundle());
    assert_eq!(again.cluster(), "north");
    let other = CertificateAuthority::load_or_create(directory.path(), "south", now());
    assert!(matches!(other, Err(CaError::OtherCluster { .. })));

    let key = directory.path().join("ca.key");
    let text = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let refused = CertificateAuthority::load_or_create(directory.path(), "north", now());
    assert!(matches!(refused, Err(CaError::KeyMissing(_))));

    let stranger = tempfile::tempdir().unwrap();
    authority().save(stranger.path()).unwrap();
    std::fs::copy(stranger.path().join("ca.key"), &key).unwrap();
    let refused = CertificateAuthority::load_or_create(directory.path(), "north", now());
    assert!(matches!(refused, Err(CaError::Key)));

    // A key alone is what a stop between the two writes leaves: nothing was signed by it.
    pki::write_atomic(&key, &text, pki::PRIVATE_MODE).unwrap();
    std::fs::remove_file(directory.path().join("ca.pem")).unwrap();
    let anew = CertificateAuthority::load_or_create(directory.path(), "north", now()).unwrap();
    assert_ne!(anew.bundle(), first.bundle());
}

#[test]
fn a_key_open_to_others_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    authority().save(directory.path()).unwrap();
    let key = directory.path().join("ca.key");
    for mode in [0o640, 0o604, 0o660, 0o602] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let refused = CertificateAuthority::load(directory.path());
        assert!(matches!(refused, Err(CaError::File(_))), "{mode:o}");
    }
}

#[test]
fn identities_refuse_what_does_not_belong_together() {
    let ca = authority();
    let a = ca.issue_host("a", now()).unwrap();
    let b = ca.issue_host("b", now()).unwrap();
    let mixed = Identity::from_pem(a.certificate_pem().as_bytes(), b.key_pem().as_bytes());
    assert!(matches!(mixed, Err(IdentityError::KeyMismatch(_))));
    let none = Identity::from_pem(b"", a.key_pem().as_bytes());
    assert!(matches!(none, Err(IdentityError::ChainLength(0))));
    let key = Identity::from_pem(a.certificate_pem().as_bytes(), b"no key");
    assert!(matches!(key, Err(IdentityError::KeyPem)));
    let shown = format!("{a:?} {ca:?} {:?}", HostKey::generate().unwrap());
    assert!(!shown.contains("PRIVATE") && shown.len() < 700, "{shown}");
}

#[test]
fn bundles_hold_authorities_only() {
    let (a, b) = (authority(), authority());
    let leaf = a.issue_host("h", now()).unwrap();
    assert!(matches!(CaBundle::from_pem(b""), Err(BundleError::Count(0))));
    let refused = CaBundle::from_pem(leaf.certificate_pem().as_bytes());
    assert!(matches!(refused, Err(BundleError::NotAnAuthority(1))));
    let both = a.bundle().to_pem() + &b.bundle().to_pem();
    let bundle = CaBundle::from_pem(both.as_bytes()).unwrap();
    assert_eq!(bundle.certificates().len(), 2);
    assert_eq!(bundle.fingerprint(), a.bundle().fingerprint());
    let many = a.bundle().to_pem().repeat(17);
    assert!(matches!(CaBundle::from_pem(many.as_bytes()), Err(BundleError::Count(17))));
}
