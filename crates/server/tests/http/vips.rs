//! Virtual addresses by the client that everybody uses.

use std::net::Ipv4Addr;

use api::error::ErrorCode;
use api::id::HostId;
use api::protocol::Place;
use api::time::Timestamp;
use api::token::Role;
use api::vip::{HeldSince, VipChoice, VipRequest};
use client::{Client, ClientError};
use server::core::Agents;

use crate::world::World;

const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

fn request(address: &str, segment: &str) -> VipRequest {
    VipRequest {
        address: address.parse().unwrap(),
        segment: segment.parse().unwrap(),
        choice: VipChoice::default(),
    }
}

fn id(name: &str) -> HostId {
    HostId::new(name).unwrap()
}

/// Hosts that serve the ingress, on one network.
async fn hosts(world: &World, names: &[(&str, u8)]) {
    for (name, last) in names {
        let place = Place { address: Some(Ipv4Addr::new(192, 0, 2, *last)), ..Place::default() };
        world.core.welcome(&id(name), &place).await.unwrap();
    }
}

async fn refused(client: &Client, request: VipRequest) -> String {
    match client.create_vip(&request).await {
        Err(ClientError::Api(error)) => {
            assert_eq!(error.code, ErrorCode::Invalid, "{error:?}");
            error.message
        }
        other => panic!("expected a refusal of {request:?}, got {other:?}"),
    }
}

#[tokio::test]
async fn an_address_is_added_changed_shown_and_removed() {
    let world = World::new().await;
    let client = world.client();
    hosts(&world, &[("h1", 1), ("h2", 2)]).await;
    let made = client.create_vip(&request("192.0.2.100", "192.0.2.0/24")).await.unwrap();
    let shown = client.vip(VIP).await.unwrap();
    assert_eq!(shown.vip, made);
    assert_eq!(shown.candidates.len(), 2);
    assert!(shown.holders.is_empty() && shown.problem.is_some(), "{shown:?}");
    match client.create_vip(&request("192.0.2.100", "192.0.2.0/24")).await {
        Err(ClientError::Api(error)) => assert_eq!(error.code, ErrorCode::Conflict),
        other => panic!("{other:?}"),
    }

    let choice = VipChoice { prefer: vec![id("h2")], take_back: true, ..VipChoice::default() };
    let changed = client.put_vip(VIP, &choice).await.unwrap();
    assert_eq!(changed.choice, choice);
    assert_eq!(client.vip(VIP).await.unwrap().candidates[0].host, id("h2"));

    // A host says that it holds it.
    let (_end, _frames) = Agents::connect(&world.core, &id("h2"), true);
    let since = Timestamp(42);
    world.core.agents.gathered.holds(&id("h2"), vec![HeldSince { address: VIP, since }]);
    let held = client.vips().await.unwrap().remove(0);
    assert_eq!((held.holders[0].host.clone(), held.holders[0].since), (id("h2"), since));
    assert_eq!(held.problem, None);
    assert!(held.candidates[0].connected && !held.candidates[1].connected);

    client.delete_vip(VIP).await.unwrap();
    assert!(client.vips().await.unwrap().is_empty());
    for missing in [client.delete_vip(VIP).await, client.vip(VIP).await.map(drop)] {
        assert!(matches!(missing, Err(ClientError::Api(e)) if e.code == ErrorCode::NotFound));
    }
}

#[tokio::test]
async fn addresses_that_cannot_be_are_refused_with_the_reason() {
    let world = World::new().await;
    let client = world.client();
    hosts(&world, &[("h1", 1)]).await;
    for (address, segment, why) in [
        ("192.0.2.1", "192.0.2.0/24", "host h1"),
        ("10.128.3.4", "10.128.0.0/16", "instances"),
        ("127.0.0.1", "127.0.0.0/8", "no address that a host can have"),
        ("198.51.100.7", "192.0.2.0/24", "not of the network"),
    ] {
        let message = refused(&client, request(address, segment)).await;
        assert!(message.contains(why), "{address}: {message}");
    }
    let mut stranger = request("192.0.2.100", "192.0.2.0/24");
    stranger.choice.prefer = vec![id("nobody")];
    assert!(refused(&client, stranger).await.contains("no host nobody"));
    let mut elsewhere = request("198.51.100.7", "198.51.100.0/24");
    elsewhere.choice.hosts = vec![id("h1")];
    assert!(refused(&client, elsewhere).await.contains("192.0.2.1"));
    assert!(world.core.view().vip_keys.is_empty(), "nothing was written");

    // One of another network can be added; that nobody holds it is shown.
    client.create_vip(&request("198.51.100.7", "198.51.100.0/24")).await.unwrap();
    let shown = client.vips().await.unwrap().remove(0);
    assert!(shown.problem.unwrap().contains("no host has an address"), "who could");

    let viewer = world.token(Role::Viewer, None).await;
    let viewer = world.client_with(Some(&viewer));
    assert_eq!(viewer.vips().await.unwrap().len(), 1);
    let denied = viewer.delete_vip("198.51.100.7".parse().unwrap()).await;
    assert!(matches!(denied, Err(ClientError::Api(e)) if e.code == ErrorCode::Forbidden));
}

/// The other way round: an address that is virtual already becomes nobody's own.
#[tokio::test]
async fn a_later_address_that_is_virtual_is_refused_and_what_was_known_stays() {
    let world = World::new().await;
    let client = world.client();
    hosts(&world, &[("h1", 1)]).await;
    client.create_vip(&request("192.0.2.100", "192.0.2.0/24")).await.unwrap();
    let place = Place { address: Some(VIP), ..Place::default() };
    for name in ["h1", "h2"] {
        let error = world.core.welcome(&id(name), &place).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid);
        assert!(error.message.contains("is a virtual address"), "{error:?}");
        assert!(error.hint.unwrap().contains("--address"), "what to type");
    }
    let view = world.core.view();
    assert_eq!(view.hosts["h1"].address, Ipv4Addr::new(192, 0, 2, 1));
    assert!(!view.hosts.contains_key("h2"));
    // It may move to any other one, and what it has was checked before.
    for last in [7, 7] {
        let address = Some(Ipv4Addr::new(192, 0, 2, last));
        let place = Place { address, ..Place::default() };
        world.core.welcome(&id("h1"), &place).await.unwrap();
    }
    assert_eq!(world.core.view().hosts["h1"].address, Ipv4Addr::new(192, 0, 2, 7));
}
