//! Hosts that are removed.

use api::assignment::{Assignment, Entry, Wanted};
use api::id::{Generation, ReleaseNumber};
use server::core::Change;

use super::*;

/// Gives a host something to run.
async fn assign(world: &World, host: &HostId) {
    let entry = Entry {
        instance: "shop-staging-00000001".parse().unwrap(),
        app: "shop".parse().unwrap(),
        environment: "staging".parse().unwrap(),
        release: ReleaseNumber(1),
        wanted: Wanted::Run,
        address: [10, 128, 0, 2].into(),
        replaces: None,
        epoch: 0,
    };
    let assignment = Assignment {
        generation: Generation(1),
        entries: vec![entry],
        ..Assignment::empty(host.clone())
    };
    world.core.commit(Change::new().create(&assignment)).await.unwrap();
}

async fn take_for_dead(world: &World, host: &HostId) {
    let view = world.core.view();
    let row = &view.hosts[host.as_str()];
    let mut dead = row.document.body.clone();
    dead.down_since = Some(Timestamp(7));
    world.core.commit(Change::new().update(row, dead)).await.unwrap();
}

#[tokio::test]
async fn a_removed_hosts_certificate_and_token_are_worth_nothing_until_it_joins_anew() {
    let world = World::new().await;
    let token = world.invite(JoinRole::Host, None).await;
    let (_kept, key) = key();
    let joined = world.join(&token, "h1", &key()).await.unwrap();
    let identity = key().with_certificate(&joined.certificate_pem).unwrap();
    assert_eq!(world.stream_answers(&identity).await, StatusCode::BAD_REQUEST, "no greeting");

    let h1: HostId = "h1".parse().unwrap();
    let removed = world.client().remove_host(&h1, false).await.unwrap();
    assert_eq!(removed.subnet, joined.subnet);
    assert_eq!(refused(world.client().host(&h1).await).code, ErrorCode::NotFound);
    assert_eq!(world.stream_answers(&identity).await, StatusCode::FORBIDDEN);
    let shown = SwappableIdentity::new(&identity).unwrap();
    let request = world.request("POST", "/agent/v1/stream", &[], bytes::Bytes::new());
    let answer = world.connection(Some(shown)).await.send_request(request).await.unwrap();
    let told = whole(answer).await.error();
    assert!(told.message.contains("host h1 was removed"), "{told:?}");
    assert!(told.hint.unwrap().contains("freehold host token"));

    let renewal = world.renewal(&joined.certificate_pem, &key());
    assert_eq!(refused(world.anonymous().renew(&renewal).await).code, ErrorCode::Forbidden);
    let again = refused(world.join(&token, "h1", &key()).await);
    assert_eq!(again.code, ErrorCode::Unauthenticated, "the token it came with: {again:?}");
    // A connection from before does not bring it back either.
    let welcomed = world.core.welcome(&h1, &Default::default()).await.unwrap_err();
    assert_eq!(welcomed.code, ErrorCode::Forbidden);
    assert!(world.core.view().hosts.is_empty());

    let other = world.invite(JoinRole::Host, None).await;
    let other = world.join(&other, "h2", &HostKey::generate().unwrap()).await.unwrap();
    assert_eq!(other.subnet, joined.subnet, "it is free again");
    let anew = world.invite(JoinRole::Host, None).await;
    let anew = world.join(&anew, "h1", &key()).await.unwrap();
    assert_ne!(anew.subnet, joined.subnet);
    let identity = key().with_certificate(&anew.certificate_pem).unwrap();
    assert_eq!(world.stream_answers(&identity).await, StatusCode::BAD_REQUEST, "let in again");
}

#[tokio::test]
async fn a_host_that_runs_something_is_removed_only_when_it_is_dead_and_by_force() {
    let world = World::new().await;
    let host: HostId = "h1".parse().unwrap();
    world.core.welcome(&host, &Default::default()).await.unwrap();
    assign(&world, &host).await;
    let client = world.client();
    for force in [false, true] {
        let error = refused(client.remove_host(&host, force).await);
        assert_eq!(error.code, ErrorCode::Blocked);
        assert!(error.hint.unwrap().contains("freehold host drain h1"));
    }
    take_for_dead(&world, &host).await;
    let error = refused(client.remove_host(&host, false).await);
    assert!(error.hint.unwrap().contains("--force"));
    let viewer = world.token(Role::Viewer, None).await;
    let denied = refused(world.client_with(Some(&viewer)).remove_host(&host, true).await);
    assert_eq!(denied.code, ErrorCode::Forbidden);
    client.remove_host(&host, true).await.unwrap();
    assert!(world.core.view().assignments.is_empty());
    // It had no record, since it came without a token; it has one now.
    let back = world.core.welcome(&host, &Default::default()).await.unwrap_err();
    assert!(back.message.contains("was removed"), "{back}");
    assert_eq!(refused(client.remove_host(&host, true).await).code, ErrorCode::NotFound);
}
