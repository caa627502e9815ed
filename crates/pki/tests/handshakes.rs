//! Every pairing of a server and a client that must, or must not, come to an agreement. The two
//! ends are joined in memory; the clock is given.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use pki::{
    CaBundle, CertificateAuthority, ClientAuth, ClientTls, Identity, PeerIdentity, PinError,
    PinnedAuthority, ServerNames, ServerTls, SwappableIdentity, client_tls, server_tls,
};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, ClientConnection, Error, ServerConnection};

#[derive(Debug)]
struct Fixed(Timestamp);

impl TimeProvider for Fixed {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

fn start() -> Timestamp {
    "2026-01-15T12:00:00Z".parse().unwrap()
}

fn after_days(days: i64) -> Arc<dyn TimeProvider> {
    Arc::new(Fixed(start() + SignedDuration::from_hours(24 * days)))
}

fn server_identity(ca: &CertificateAuthority) -> Identity {
    let names = ServerNames { dns: vec!["server.test".to_owned()], addresses: Vec::new() };
    ca.issue_server("s1", &names, start()).unwrap()
}

/// What both ends knew when they agreed.
#[derive(Debug)]
struct Agreed {
    client: Option<PeerIdentity>,
    alpn: Option<Vec<u8>>,
}

/// Which end refused, and why.
#[derive(Debug)]
enum Refused {
    ByServer(Error),
    ByClient(Error),
}

fn shake(server: &ServerTls<'_>, client: &ClientTls<'_>, name: &str) -> Result<Agreed, Refused> {
    shake_with(server, client_tls(client).unwrap(), name)
}

fn shake_with(server: &ServerTls<'_>, client: ClientConfig, name: &str) -> Result<Agreed, Refused> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut server = ServerConnection::new(Arc::new(server_tls(server).unwrap())).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    // Ten rounds are more than any handshake takes.
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().map_err(Refused::ByServer)?;
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().map_err(Refused::ByClient)?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    let client =
        server.peer_certificates().map(|chain| PeerIdentity::from_certificate(&chain[0]).unwrap());
    Ok(Agreed { client, alpn: server.alpn_protocol().map(<[u8]>::to_vec) })
}

fn server<'a>(identity: &Identity, clients: ClientAuth<'a>, days: i64) -> ServerTls<'a> {
    let identity = SwappableIdentity::new(identity).unwrap();
    ServerTls { identity, clients, alpn: &[b"h2", b"http/1.1"], time: Some(after_days(days)) }
}

fn client<'a>(authorities: &'a CaBundle, identity: Option<&Identity>, days: i64) -> ClientTls<'a> {
    let identity = identity.map(|identity| SwappableIdentity::new(identity).unwrap());
    ClientTls { authorities, identity, alpn: &[b"h2"], time: Some(after_days(days)) }
}

#[test]
fn a_good_client_is_known_by_name() {
    pki::install_provider();
    let ca = CertificateAuthority::create("north", start()).unwrap();
    let host = ca.issue_host("h1", start()).unwrap();
    for clients in [ClientAuth::Optional(ca.bundle()), ClientAuth::Required(ca.bundle())] {
        let server = server(&server_identity(&ca), clients, 1);
        let agreed = shake(&server, &client(ca.bundle(), Some(&host), 1), "server.test").unwrap();
        assert_eq!(agreed.client.unwrap().to_string(), "freehold://north/host/h1");
        assert_eq!(agreed.alpn.as_deref(), Some(b"h2".as_slice()));
    }
}

#[test]
fn a_client_without_a_certificate_depends_on_the_demand() {
    pki::install_provider();
    let ca = CertificateAuthority::create("north", start()).unwrap();
    for (clients, good) in [
        (ClientAuth::None, true),
        (ClientAuth::Optional(ca.bundle()), true),
        (ClientAuth::Required(ca.bundle()), false),
    ] {
        let server = server(&server_identity(&ca), clients, 1);
        match shake(&server, &client(ca.bundle(), None, 1), "server.test") {
            Ok(agreed) => assert!(good && agreed.client.is_none()),
            Err(Refused::ByServer(Error::NoCertificatesPresented)) => assert!(!good),
            other => panic!("{clients:?}: {other:?}"),
        }
    }
}

#[test]
fn a_rogue_authoritys_client_is_refused() {
    pki::install_provider();
    let ca = CertificateAuthority::create("north", start()).unwrap();
    let rogue = CertificateAuthority::create("north", start()).unwrap();
    let host = rogue.issue_host("h1", start()).unwrap();
    for clients in [ClientAuth::Optional(ca.bundle()), ClientAuth::Required(ca.bundle())] {
        let server = server(&server_identity(&ca), clients, 1);
        match shake(&server, &client(ca.bundle(), Some(&host), 1), "server.test") {
            Err(Refused::ByServer(Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ))) => {}
            other => panic!("{clients:?}: {other:?}"),
        }
    }
}

#[test]
fn a_rogue_authoritys_server_is_refused() {
    pki::install_provider();
    let ca = CertificateAuthority::create("north", start()).unwrap();
    let rogue = CertificateAuthority::create("north", start()).unwrap();
    let server = server(&server_identity(&rogue), ClientAuth::None, 1);
    let refused = shake(&server, &client(ca.bundle(), None, 1), "server.test");
    assert!(matches!(refused, Err(Refused::ByClient(Error::InvalidCertificate(_)))));
}

#[test]
fn expired_and_future_certificates_are_refused_by_the_given_clock() {
    pki::install_provider();
    let ca = CertificateAuthority::create("north", start()).unwrap();
    let host = ca.issue_host("h1", start()).unwrap();
    let identity = server_identity(&ca);
    for (server_days, client_days, good) in
        [(29, 29, true), (31, 29, false), (29, 31, false), (-1, 1, false), (1, -1, false)]
    {
        let server = server(&identity, ClientAuth::Required(ca.bundle()), server_days);
        let client = client(ca.bundle(), Some(&host), client_days);
        let shaken = shake(&server, &client, "server.test");
        assert_eq!(shaken.is_ok(), good, "{server_days} {client_days}: {shaken:?}");
        match shaken {
            Err(Refused::ByServer(e)) => assert!(server_days != 29, "{e}"),
            Err(Refused::ByClient(e)) => assert!(!(1..=29).contains(&client_days), "{e}"),
            Ok(_) => {}
        }
    }
}

#[test]
fn a_server_of_another_name_is_refused() {
    pki::install_provider();
    let ca = CertificateAuthority::create("north", start()).unwrap();
    let server = server(&server_identity(&ca), ClientAuth::None, 1);
    let refused = shake(&server, &client(ca.bundle(), None, 1), "other.test");
    assert!(matches!(
        refused,
        Err(Refused::ByClient(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        )))
    ));
}

#[test]
fn a_host_cannot_pose_as_a_server() {
    pki::install_provider();
    let ca = CertificateAuthority::create("north", start()).unwrap();
    let host = ca.issue_host("server.test", start()).unwrap();
    let server = server(&host, ClientAuth::None, 1);
    let refused = shake(&server, &client(ca.bundle(), None, 1), "server.test");
    assert!(matches!(refused, Err(Refused::ByClient(Error::InvalidCertificate(_)))));
}

#[test]
fn no_common_protocol_is_refused() {
    pki::install_provider();
    let ca = CertificateAuthority::create("north", start()).unwrap();
    let server = server(&server_identity(&ca), ClientAuth::None, 1);
    let client = ClientTls { alpn: &[b"other"], ..client(ca.bundle(), None, 1) };
    let refused = shake(&server, &client, "server.test");
    assert!(matches!(refused, Err(Refused::ByServer(Error::NoApplicationProtocol))));
}

#[test]
fn both_authorities_are_trusted_while_they_are_exchanged() {
    pki::install_provider();
    let old = CertificateAuthority::create("north", start()).unwrap();
    let new = CertificateAuthority::create("north", start()).unwrap();
    let both = CaBundle::from_pem((new.bundle().to_pem() + &old.bundle().to_pem()).as_bytes());
    let both = both.unwrap();
    for (servers, hosts) in [(&old, &new), (&new, &old)] {
        let host = hosts.issue_host("h1", start()).unwrap();
        let server = server(&server_identity(servers), ClientAuth::Required(&both), 1);
        assert!(shake(&server, &client(&both, Some(&host), 1), "server.test").is_ok());
    }
}

#[test]
fn an_exchanged_identity_is_used_from_the_next_handshake_on() {
    pki::install_provider();
    let ca = CertificateAuthority::create("north", start()).unwrap();
    let first = ca.issue_host("h1", start()).unwrap();
    let second = ca.issue_host("h2", start()).unwrap();
    let server = server(&server_identity(&ca), ClientAuth::Required(ca.bundle()), 1);
    let client = client(ca.bundle(), Some(&first), 1);
    let name = |it: Result<Agreed, Refused>| it.unwrap().client.unwrap().name().to_owned();
    assert_eq!(name(shake(&server, &client, "server.test")), "h1");
    client.identity.as_ref().unwrap().replace(&second).unwrap();
    assert_eq!(name(shake(&server, &client, "server.test")), "h2");
}

#[test]
fn a_joiner_believes_only_servers_of_the_authority_it_was_told() {
    pki::install_provider();
    let ca = CertificateAuthority::create("north", start()).unwrap();
    let impostor = CertificateAuthority::create("north", start()).unwrap();
    let joins = |shows: &Identity, days: i64| {
        let pin = PinnedAuthority::new(ca.bundle().fingerprint());
        let tls = pin.tls(&[b"h2"], Some(after_days(days))).unwrap();
        let shaken = shake_with(&server(shows, ClientAuth::None, days), tls, "server.test");
        (shaken, pin.refused())
    };
    let good = server_identity(&ca).with_authorities(ca.bundle()).unwrap();
    assert!(matches!(joins(&good, 1), (Ok(_), None)));

    let (shaken, refused) = joins(&server_identity(&ca), 1);
    assert!(matches!(shaken, Err(Refused::ByClient(_))), "its authority is not shown");
    assert!(matches!(refused, Some(PinError::OtherAuthority { .. })));
    let other = server_identity(&impostor).with_authorities(impostor.bundle()).unwrap();
    let (shaken, refused) = joins(&other, 1);
    assert!(shaken.is_err() && matches!(refused, Some(PinError::OtherAuthority { .. })));
    // The right authority is public: showing it proves nothing.
    let dressed = server_identity(&impostor).with_authorities(ca.bundle()).unwrap();
    let (shaken, _) = joins(&dressed, 1);
    assert!(matches!(shaken, Err(Refused::ByClient(_))), "{shaken:?}");

    for days in [-1, 40] {
        let (shaken, refused) = joins(&good, days);
        assert!(shaken.is_err() && matches!(refused, Some(PinError::Clock { .. })), "{days}");
    }
}
