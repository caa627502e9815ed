//! An authority and its successor: who believes whom while one takes the other's place.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;
use std::sync::Arc;

use jiff::Timestamp;
use pki::{
    CaBundle, CertificateAuthority, Identity, PinnedAuthority, ServerNames, SwappableAuthorities,
    SwappableIdentity,
};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

const ALPN: &[&[u8]] = &[b"h2"];

struct Two {
    old: CertificateAuthority,
    new: CertificateAuthority,
    both: CaBundle,
}

fn two() -> Two {
    pki::install_provider();
    let now = Timestamp::now();
    let old = CertificateAuthority::create("c", now).unwrap();
    let new = CertificateAuthority::create("c", now).unwrap();
    let both = old.bundle().followed_by(new.bundle()).unwrap();
    Two { old, new, both }
}

fn server_of(authority: &CertificateAuthority) -> Identity {
    let names = ServerNames { dns: vec!["s".into()], addresses: Vec::new() };
    authority.issue_server("s", &names, Timestamp::now()).unwrap()
}

fn shake(client: ClientConfig, server: ServerConfig) -> Result<(), rustls::Error> {
    let name = "s".try_into().unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(())
}

fn swappable(bundle: &CaBundle) -> Arc<SwappableAuthorities> {
    SwappableAuthorities::new(bundle).unwrap()
}

fn shown(identity: &Identity) -> Arc<SwappableIdentity> {
    SwappableIdentity::new(identity).unwrap()
}

#[test]
fn who_knows_only_the_old_one_believes_the_new_one_by_its_word() {
    let Two { old, new, both } = two();
    let word = old.vouch_for(&new, Timestamp::now()).unwrap();
    let mut rest = vec![word];
    rest.extend(new.bundle().followed_by(old.bundle()).unwrap().certificates().to_vec());
    let serves = |identity| swappable(&both).server_tls(identity, ALPN, None).unwrap();
    let host = || Some(shown(&old.issue_host("h", Timestamp::now()).unwrap()));
    let knows = |bundle: &CaBundle| swappable(bundle).client_tls(host(), ALPN, None).unwrap();

    let with = || shown(&server_of(&new).followed_by(&rest).unwrap());
    shake(knows(old.bundle()), serves(with())).unwrap();
    shake(knows(new.bundle()), serves(with())).unwrap();
    let without = shown(&server_of(&new).with_authorities(&both).unwrap());
    assert!(shake(knows(old.bundle()), serves(without)).is_err(), "its word is missing");
    let pinned = PinnedAuthority::new(old.bundle().fingerprint());
    shake(pinned.tls(ALPN, None).unwrap(), serves(with())).unwrap();
    let stranger = CertificateAuthority::create("c", Timestamp::now()).unwrap();
    let pinned = PinnedAuthority::new(stranger.bundle().fingerprint());
    assert!(shake(pinned.tls(ALPN, None).unwrap(), serves(with())).is_err());
    // The word is of this successor only.
    let other = shown(&server_of(&stranger).followed_by(&rest).unwrap());
    assert!(shake(knows(old.bundle()), serves(other)).is_err());
}

#[test]
fn an_authority_that_is_dropped_is_out_at_the_next_handshake() {
    let Two { old, new, both } = two();
    let trusted = swappable(&both);
    let own = shown(&server_of(&new));
    let server = trusted.server_tls(own.clone(), ALPN, None).unwrap();
    let client = |authority: &CertificateAuthority| {
        let identity = shown(&authority.issue_host("h", Timestamp::now()).unwrap());
        swappable(&both).client_tls(Some(identity), ALPN, None).unwrap()
    };
    shake(client(&old), server.clone()).unwrap();
    trusted.replace(new.bundle()).unwrap();
    assert_eq!(trusted.bundle().fingerprints(), [new.bundle().fingerprint()]);
    assert!(shake(client(&old), server.clone()).is_err());
    shake(client(&new), server).unwrap();
    // The other way round: what a client trusts.
    let trusts = swappable(&both);
    let config = trusts.client_tls(None, ALPN, None).unwrap();
    let serves = |authority| swappable(&both).server_tls(shown(&server_of(authority)), ALPN, None);
    shake(config.clone(), serves(&old).unwrap()).unwrap();
    trusts.replace(new.bundle()).unwrap();
    assert!(shake(config.clone(), serves(&old).unwrap()).is_err());
    shake(config, serves(&new).unwrap()).unwrap();
}

#[test]
fn its_files_are_good_wherever_the_exchange_is_cut_off() {
    let Two { old, new, .. } = two();
    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    old.save(dir.path()).unwrap();
    let first = (read("ca.key"), read("ca.pem"));
    new.take_over(dir.path()).unwrap();
    let last = (read("ca.key"), read("ca.pem"));
    let loaded = || CertificateAuthority::load(dir.path()).unwrap().bundle().fingerprint();
    assert_eq!(loaded(), new.bundle().fingerprint());
    let write = |name: &str, bytes: &[u8]| {
        pki::write_atomic(&dir.path().join(name), bytes, pki::PRIVATE_MODE).unwrap();
    };
    write("ca.key", &[first.0.clone(), last.0.clone()].concat());
    assert_eq!(loaded(), new.bundle().fingerprint());
    write("ca.pem", &first.1);
    assert_eq!(loaded(), old.bundle().fingerprint());
    write("ca.key", &last.0);
    assert!(CertificateAuthority::load(dir.path()).is_err(), "a key of another is none");
}

#[test]
fn the_signer_of_a_certificate_is_found() {
    let Two { old, new, both } = two();
    for authority in [&old, &new] {
        let host = authority.issue_host("h", Timestamp::now()).unwrap();
        assert_eq!(both.signer_of(&host.certificate_pem()), Some(authority.bundle().fingerprint()));
    }
    let stranger = CertificateAuthority::create("c", Timestamp::now()).unwrap();
    let host = stranger.issue_host("h", Timestamp::now()).unwrap();
    assert_eq!(both.signer_of(&host.certificate_pem()), None);
    assert_eq!(both.without(old.bundle().fingerprint()).as_ref(), Some(new.bundle()));
    assert_eq!(old.bundle().without(old.bundle().fingerprint()), None);
}

#[test]
fn openssl_believes_the_successor_by_the_old_ones_word() {
    let Two { old, new, .. } = two();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    old.bundle().save(&path("old.pem")).unwrap();
    let word = CaBundle::new(vec![old.vouch_for(&new, Timestamp::now()).unwrap()]).unwrap();
    word.save(&path("word.pem")).unwrap();
    std::fs::write(path("leaf.pem"), server_of(&new).certificate_pem()).unwrap();
    let verified = Command::new("openssl")
        .args(["verify", "-x509_strict", "-CAfile"])
        .args([path("old.pem"), "-untrusted".into(), path("word.pem"), path("leaf.pem")])
        .output();
    match verified {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => eprintln!("skipped: needs openssl ({error})"),
    }
}
