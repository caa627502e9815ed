//! Machines that join over TLS, and certificates that are renewed, under a clock of the test's own.

mod removal;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use api::id::HostId;
use api::join::{
    Handover, HandoverRequest, HostJoinRequest, HostJoined, JoinRole, JoinTokenRequest,
    RenewRequest, ServerJoinRequest,
};
use api::protocol::SecretValue;
use api::time::Timestamp;
use api::token::Role;
use api::unit::Millis;
use client::{Client, ClientError};
use http::StatusCode;
use jiff::SignedDuration;
use pki::{
    CaBundle, CertificateAuthority, ClientTls, HandoverKey, HostKey, Identity, JoinToken, Keyring,
    PinError, PinnedAuthority, ServerNames, SwappableIdentity,
};

use crate::world::{Cluster, World, bearer, whole};

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn refused<T: std::fmt::Debug>(result: Result<T, ClientError>) -> ApiError {
    match result {
        Err(ClientError::Api(error)) => error,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

impl World {
    async fn invite(&self, role: JoinRole, replaces: Option<&str>) -> JoinToken {
        let replaces = replaces.map(str::to_owned);
        let request = JoinTokenRequest { role, expires_in: None, replaces };
        let answer = self.client().create_join_token(&request).await.unwrap();
        answer.secret.0.parse().unwrap()
    }

    /// A client that believes only whom a token names.
    fn joiner(&self, token: &JoinToken) -> (Client, Arc<PinnedAuthority>) {
        let pin = PinnedAuthority::new(token.authority());
        let tls = pin.tls(&[b"h2"], Some(self.cluster.clock.clone())).unwrap();
        (Client::with_tls(&[self.address.to_string()], tls).unwrap(), pin)
    }

    fn host_request(&self, token: &JoinToken, name: &str, key: &HostKey) -> HostJoinRequest {
        HostJoinRequest {
            token: SecretValue(token.token().reveal().to_string()),
            name: name.parse().unwrap(),
            request_pem: key.request_pem().unwrap(),
            address: Ipv4Addr::new(10, 0, 0, 9),
            domain: "rack-1/hv-2".parse().unwrap(),
            labels: BTreeMap::from([("ingress".to_owned(), "true".to_owned())]),
            replace: false,
            time: Timestamp(self.cluster.clock.now().as_millisecond()),
        }
    }

    async fn join(
        &self,
        token: &JoinToken,
        name: &str,
        key: &HostKey,
    ) -> Result<HostJoined, ClientError> {
        self.joiner(token).0.join_host(&self.host_request(token, name, key)).await
    }

    /// A client with a certificate, by the test's clock.
    fn member(&self, identity: &Identity) -> Client {
        let tls = pki::client_tls(&ClientTls {
            authorities: self.cluster.authority.bundle(),
            identity: Some(SwappableIdentity::new(identity).unwrap()),
            alpn: &[b"h2"],
            time: Some(self.cluster.clock.clone()),
        });
        Client::with_tls(&[self.address.to_string()], tls.unwrap()).unwrap()
    }

    /// A client without one, by the test's clock.
    fn anonymous(&self) -> Client {
        let tls = pki::client_tls(&ClientTls {
            authorities: self.cluster.authority.bundle(),
            identity: None,
            alpn: &[b"h2"],
            time: Some(self.cluster.clock.clone()),
        });
        Client::with_tls(&[self.address.to_string()], tls.unwrap()).unwrap()
    }

    fn renewal(&self, certificate_pem: &str, key: &HostKey) -> RenewRequest {
        RenewRequest {
            certificate_pem: certificate_pem.to_owned(),
            request_pem: key.request_pem().unwrap(),
            time: Timestamp(self.cluster.clock.now().as_millisecond()),
        }
    }

    /// What the agents' stream answers to whoever shows this certificate.
    async fn stream_answers(&self, identity: &Identity) -> StatusCode {
        let identity = SwappableIdentity::new(identity).unwrap();
        let request = self.request("POST", "/agent/v1/stream", &[], bytes::Bytes::new());
        let response = self.connection(Some(identity)).await.send_request(request).await.unwrap();
        whole(response).await.status
    }
}

/// A key, kept for later: keys are used up by what they become.
fn key() -> (tempfile::TempDir, impl Fn() -> HostKey) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("host.key");
    (directory, move || HostKey::load_or_create(&path).unwrap())
}

#[tokio::test]
async fn a_machine_with_a_token_becomes_a_host_once() {
    let world = World::new().await;
    let token = world.invite(JoinRole::Host, None).await;
    let (_kept, key) = key();
    let joined = world.join(&token, "h1", &key()).await.unwrap();
    assert_eq!((joined.cluster.as_str(), joined.subnet.prefix_len()), ("test", 24));
    let authorities = CaBundle::from_pem(joined.authorities_pem.as_bytes()).unwrap();
    assert_eq!(&authorities, world.cluster.authority.bundle());
    let identity = key().with_certificate(&joined.certificate_pem).unwrap();
    assert_eq!(identity.peer().unwrap().to_string(), "freehold://test/host/h1");
    assert_eq!(world.stream_answers(&identity).await, StatusCode::BAD_REQUEST, "no greeting");

    let host = world.client().host(&"h1".parse().unwrap()).await.unwrap().host;
    assert_eq!((host.address, host.subnet), (Ipv4Addr::new(10, 0, 0, 9), joined.subnet));
    assert_eq!(host.domain.to_string(), "rack-1/hv-2");
    assert_eq!(host.labels["ingress"], "true");

    // Whoever did not hear the answer asks again; whoever stole the token is not it.
    let again = world.join(&token, "h1", &key()).await.unwrap();
    assert_eq!(again.subnet, joined.subnet);
    let thief = HostKey::generate().unwrap();
    for name in ["h1", "h2"] {
        let error = refused(world.join(&token, name, &thief).await);
        assert_eq!(error.code, ErrorCode::Forbidden);
        assert!(error.message.contains("was used by h1"), "{}", error.message);
    }
    let error = refused(world.join(&token, "h2", &key()).await);
    assert!(error.message.contains("was used by h1"), "not under another name either");
    let listed = world.client().join_tokens().await.unwrap();
    assert_eq!(listed[0].used.as_ref().unwrap().name, "h1");
    assert_eq!(world.client().hosts().await.unwrap().len(), 1);

    let second = world.invite(JoinRole::Host, None).await;
    let other = world.join(&second, "h2", &HostKey::generate().unwrap()).await.unwrap();
    assert_ne!(other.subnet, joined.subnet);
}

#[tokio::test]
async fn of_many_with_one_token_one_gets_in() {
    let world = Arc::new(World::new().await);
    let token = Arc::new(world.invite(JoinRole::Host, None).await);
    let tries = (0..8).map(|number| {
        let (world, token) = (world.clone(), token.clone());
        tokio::spawn(async move {
            let key = HostKey::generate().unwrap();
            world.join(&token, &format!("h{number}"), &key).await
        })
    });
    let mut entered = 0;
    for one in tries.collect::<Vec<_>>() {
        match one.await.unwrap() {
            Ok(_) => entered += 1,
            Err(ClientError::Api(error)) => assert_eq!(error.code, ErrorCode::Forbidden),
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(entered, 1);
    assert_eq!(world.client().hosts().await.unwrap().len(), 1);
}

#[tokio::test]
async fn tokens_that_are_no_good_are_refused_with_what_to_do() {
    let world = World::new().await;
    let client = world.client();
    let key = HostKey::generate().unwrap();
    let expect = |error: ApiError, code, part: &str| {
        assert_eq!(error.code, code, "{}", error.message);
        assert!(error.message.contains(part), "{}", error.message);
        assert!(error.hint.is_some(), "{}", error.message);
    };
    let expired = world.invite(JoinRole::Host, None).await;
    world.cluster.clock.pass(SignedDuration::from_mins(61));
    let error = refused(world.join(&expired, "h1", &key).await);
    expect(error, ErrorCode::Unauthenticated, "expired");

    let revoked = world.invite(JoinRole::Host, None).await;
    client.revoke_join_token(revoked.token().id().as_str()).await.unwrap();
    let error = refused(world.join(&revoked, "h1", &key).await);
    expect(error, ErrorCode::Unauthenticated, "not known");

    let (stranger, _) = pki::mint();
    let stranger = JoinToken::new(stranger, world.cluster.authority.bundle().fingerprint());
    let error = refused(world.join(&stranger, "h1", &key).await);
    expect(error, ErrorCode::Unauthenticated, "not known");

    let server = world.invite(JoinRole::Server, None).await;
    let error = refused(world.join(&server, "h1", &key).await);
    expect(error, ErrorCode::Forbidden, "makes a server");

    let token = world.invite(JoinRole::Host, None).await;
    for off in [-3_600_000, -301_000, 301_000] {
        let mut request = world.host_request(&token, "h1", &key);
        request.time.0 += off;
        let error = refused(world.joiner(&token).0.join_host(&request).await);
        expect(error, ErrorCode::Invalid, "clock");
    }
    let mut request = world.host_request(&token, "h1", &key);
    request.request_pem = request.request_pem.replace('A', "B");
    let error = refused(world.joiner(&token).0.join_host(&request).await);
    assert_eq!(error.code, ErrorCode::Invalid);
    assert!(client.hosts().await.unwrap().is_empty());
    world.join(&token, "h1", &key).await.unwrap();

    for life in [Millis(0), Millis::secs(8 * 24 * 3600)] {
        let request =
            JoinTokenRequest { role: JoinRole::Host, expires_in: Some(life), replaces: None };
        assert_eq!(refused(client.create_join_token(&request).await).code, ErrorCode::Invalid);
    }
}

#[tokio::test]
async fn only_operators_invite_and_only_admins_let_servers_in() {
    let world = World::new().await;
    let request = |role| JoinTokenRequest { role, expires_in: None, replaces: None };
    let viewer = world.client_with(Some(&world.token(Role::Viewer, None).await));
    let error = refused(viewer.create_join_token(&request(JoinRole::Host)).await);
    assert_eq!(error.code, ErrorCode::Forbidden);
    let operator = world.client_with(Some(&world.token(Role::Operator, None).await));
    operator.create_join_token(&request(JoinRole::Host)).await.unwrap();
    let error = refused(operator.create_join_token(&request(JoinRole::Server)).await);
    assert_eq!(error.code, ErrorCode::Forbidden);
    // A join token opens nothing but the door.
    let token = world.invite(JoinRole::Host, None).await;
    for text in [token.reveal(), token.token().reveal()] {
        let answer = world.raw("GET", "/v1/hosts", &[("authorization", &bearer(&text))], "").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_joiner_shows_its_token_to_nobody_else() {
    let (right, wrong) = (World::new().await, World::new().await);
    let token = right.invite(JoinRole::Host, None).await;
    let request = right.host_request(&token, "h1", &HostKey::generate().unwrap());
    let (client, pin) = wrong.joiner(&token);
    assert!(matches!(client.join_host(&request).await, Err(ClientError::Unreachable(_))));
    assert!(matches!(pin.refused(), Some(PinError::OtherAuthority { .. })));
    assert!(right.client().join_tokens().await.unwrap()[0].used.is_none());
}

#[tokio::test]
async fn a_name_is_taken_over_only_on_an_operators_word() {
    let world = World::new().await;
    let (_kept, old) = key();
    let token = world.invite(JoinRole::Host, None).await;
    let joined = world.join(&token, "h1", &old()).await.unwrap();
    let before = old().with_certificate(&joined.certificate_pem).unwrap();
    let (_kept, new) = key();

    let token = world.invite(JoinRole::Host, None).await;
    let error = refused(world.join(&token, "h1", &new()).await);
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(error.hint.unwrap().contains("freehold host token --replace h1"));
    let mut request = world.host_request(&token, "h1", &new());
    request.replace = true;
    let error = refused(world.joiner(&token).0.join_host(&request).await);
    assert_eq!(error.code, ErrorCode::Conflict, "the joiner's own word is not enough");

    let token = world.invite(JoinRole::Host, Some("h1")).await;
    let error = refused(world.join(&token, "h1", &new()).await);
    assert_eq!(error.code, ErrorCode::Conflict, "the operator's word without the joiner's");
    let mut request = world.host_request(&token, "h2", &new());
    request.replace = true;
    let error = refused(world.joiner(&token).0.join_host(&request).await);
    assert_eq!(error.code, ErrorCode::Forbidden, "the token is for one name");
    request.name = HostId::new("h1").unwrap();
    let after = world.joiner(&token).0.join_host(&request).await.unwrap();
    assert_eq!(after.subnet, joined.subnet, "it takes the whole place");

    let now = new().with_certificate(&after.certificate_pem).unwrap();
    assert_eq!(world.stream_answers(&now).await, StatusCode::BAD_REQUEST, "no greeting");
    assert_eq!(world.stream_answers(&before).await, StatusCode::FORBIDDEN, "it was replaced");
    let renewal = world.renewal(&before.certificate_pem(), &old());
    assert_eq!(refused(world.anonymous().renew(&renewal).await).code, ErrorCode::Forbidden);
    let nobody = JoinTokenRequest {
        role: JoinRole::Host,
        expires_in: None,
        replaces: Some("h9".to_owned()),
    };
    let none = world.client().create_join_token(&nobody).await;
    assert_eq!(refused(none).code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_host_renews_in_time_and_after_a_month_off() {
    let world = World::new().await;
    let token = world.invite(JoinRole::Host, None).await;
    let (_kept, key) = key();
    let joined = world.join(&token, "h1", &key()).await.unwrap();
    world.cluster.clock.pass(DAY * 11);
    let renewal = world.renewal(&joined.certificate_pem, &key());
    let renewed = world.anonymous().renew(&renewal).await.unwrap();
    let second = key().with_certificate(&renewed.certificate_pem).unwrap();
    let first = key().with_certificate(&joined.certificate_pem).unwrap();
    assert!(second.validity().not_after > first.validity().not_after);

    // All was off for two months: the server has renewed its own certificate when it started.
    world.cluster.clock.pass(DAY * 60);
    let names = ServerNames { dns: vec![], addresses: vec!["127.0.0.1".parse().unwrap()] };
    let authority = &world.cluster.authority;
    let own = authority.issue_server("one", &names, world.cluster.clock.now()).unwrap();
    world.identity.replace(&own).unwrap();
    let expired = world.member(&second).renew(&renewal).await;
    assert!(!matches!(expired, Ok(_) | Err(ClientError::Api(_))), "{expired:?}");
    let renewal = world.renewal(&renewed.certificate_pem, &key());
    let renewed = world.anonymous().renew(&renewal).await.unwrap();
    let third = key().with_certificate(&renewed.certificate_pem).unwrap();
    assert!(third.validity().contains(world.cluster.clock.now()));
    assert!(world.member(&third).version().await.is_ok(), "it is let in again");
}

#[tokio::test]
async fn only_the_keys_own_host_renews() {
    let world = World::new().await;
    let token = world.invite(JoinRole::Host, None).await;
    let (_kept, key) = key();
    let joined = world.join(&token, "h1", &key()).await.unwrap();
    let refuse = async |certificate: &str, key: &HostKey, part: &str| {
        let error = refused(world.anonymous().renew(&world.renewal(certificate, key)).await);
        assert_eq!(error.code, ErrorCode::Forbidden);
        assert!(error.message.contains(part), "{}", error.message);
    };
    // A certificate is public: who has only that gets nothing.
    refuse(&joined.certificate_pem, &HostKey::generate().unwrap(), "another key").await;
    let rogue = CertificateAuthority::create("test", world.cluster.clock.now()).unwrap();
    let forged = rogue.issue_host("h1", world.cluster.clock.now()).unwrap();
    refuse(&forged.certificate_pem(), &key(), "did not sign").await;
    let now = world.cluster.clock.now();
    let server = world.cluster.authority.issue_server("s", &ServerNames::default(), now).unwrap();
    refuse(&server.certificate_pem(), &key(), "no host").await;
    let gone = world.cluster.authority.issue_host("h7", now).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("h7");
    gone.save(&directory.path().join("h7.pem"), &path).unwrap();
    let its_key = HostKey::load(&path).unwrap();
    refuse(&gone.certificate_pem(), &its_key, "removed or replaced").await;
}

#[tokio::test]
async fn a_server_gets_the_keys_by_its_certificate_and_only_where_etcd_keeps_the_state() {
    let request = |world: &World, token: &JoinToken, key: &HostKey| ServerJoinRequest {
        token: SecretValue(token.token().reveal().to_string()),
        name: "s2".parse().unwrap(),
        request_pem: key.request_pem().unwrap(),
        dns_names: vec!["s2.example".to_owned()],
        addresses: vec!["10.0.0.2".parse().unwrap()],
        replace: false,
        time: Timestamp(world.cluster.clock.now().as_millisecond()),
    };
    let (_kept, key) = key();
    let alone = World::new().await;
    let token = alone.invite(JoinRole::Server, None).await;
    let error = refused(alone.joiner(&token).0.join_server(&request(&alone, &token, &key())).await);
    assert_eq!(error.code, ErrorCode::Blocked);
    assert!(error.hint.unwrap().contains("freehold store move"));
    assert!(alone.client().join_tokens().await.unwrap()[0].used.is_none(), "it is still good");

    let etcd = vec!["https://10.0.0.1:2379".to_owned()];
    let world = World::of(Arc::new(Cluster::on(etcd.clone()))).await;
    let token = world.invite(JoinRole::Server, None).await;
    let asked = world.joiner(&token).0.join_server(&request(&world, &token, &key())).await;
    let joined = asked.unwrap();
    assert_eq!(joined.etcd, etcd);
    let identity = key().with_certificate(&joined.certificate_pem).unwrap();
    assert_eq!(identity.dns_names(), ["s2.example"]);
    let own = HandoverKey::generate().unwrap();
    let ask = HandoverRequest { public: own.public() };
    let answer = world.member(&identity).hand_over(&ask).await.unwrap();
    let opened = own.open(&identity.peer().unwrap().to_string(), &answer.sealed).unwrap();
    let keys: Handover = serde_json::from_slice(&opened).unwrap();
    let authority =
        CertificateAuthority::import(&keys.authority_pem, &keys.authority_key_pem.0).unwrap();
    assert_eq!(authority.bundle(), world.cluster.authority.bundle());
    let ring = Keyring::import(keys.master_keys.0.as_bytes()).unwrap();
    assert_eq!(ring.current(), world.core.keyring.current());

    // Nobody else gets them: without a certificate, or with a host's.
    assert_eq!(refused(world.anonymous().hand_over(&ask).await).code, ErrorCode::Forbidden);
    let now = world.cluster.clock.now();
    let host = world.cluster.authority.issue_host("h1", now).unwrap();
    assert_eq!(refused(world.member(&host).hand_over(&ask).await).code, ErrorCode::Forbidden);
}
