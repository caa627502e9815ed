//! Tables of virtual addresses: each host gets its part, under generations that only grow.

use std::net::Ipv4Addr;
use std::time::Duration;

use api::frame::Decoder;
use api::id::HostId;
use api::network::VipTable;
use api::protocol::{Down, Place};
use api::vip::{VipChoice, VipRequest};
use server::core::{Agents, StreamEnd};
use tokio::sync::mpsc;

use crate::world::World;

const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

fn id(name: &str) -> HostId {
    HostId::new(name).unwrap()
}

/// An agent that only reads.
struct Reader {
    _end: StreamEnd,
    frames: mpsc::Receiver<bytes::Bytes>,
    decoder: Decoder,
}

impl Reader {
    async fn of(world: &World, name: &str, last: u8) -> Self {
        let place = Place { address: Some(Ipv4Addr::new(192, 0, 2, last)), ..Place::default() };
        world.core.welcome(&id(name), &place).await.unwrap();
        let (end, frames) = Agents::connect(&world.core, &id(name), true);
        Self { _end: end, frames, decoder: Decoder::new() }
    }

    /// The next document of a kind.
    async fn next<T>(&mut self, mut pick: impl FnMut(Down) -> Option<T>) -> T {
        loop {
            while let Some(down) = self.decoder.next::<Down>().unwrap() {
                if let Some(found) = pick(down) {
                    return found;
                }
            }
            let frame = tokio::time::timeout(Duration::from_secs(30), self.frames.recv()).await;
            self.decoder.push(&frame.expect("a frame in time").expect("the stream goes on"));
        }
    }

    async fn vips(&mut self) -> VipTable {
        self.next(|down| match down {
            Down::Vips(table) => Some(table),
            _ => None,
        })
        .await
    }

    /// The next table with so many addresses.
    async fn vips_of(&mut self, count: usize) -> VipTable {
        loop {
            let table = self.vips().await;
            if table.vips.len() == count {
                return table;
            }
        }
    }
}

fn request() -> VipRequest {
    let segment = "192.0.2.0/24".parse().unwrap();
    VipRequest { address: VIP, segment, choice: VipChoice::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_get_their_part_and_every_change_of_it() {
    let world = World::start().await;
    world.term().await;
    let (mut one, mut two) = (Reader::of(&world, "h1", 1).await, Reader::of(&world, "h2", 2).await);
    let empty = one.vips_of(0).await;
    assert!(empty.key.0.is_empty(), "no key where there is no address");
    two.vips_of(0).await;
    world.core.create_vip(request()).await.unwrap();
    let (first, same) = (one.vips_of(1).await, two.vips_of(1).await);
    assert_eq!(first.vips, same.vips);
    assert!(first.key == same.key && first.key.0.len() >= 32);
    assert!(first.generation > empty.generation);
    assert_eq!(first.vips[0].candidates.len(), 2);

    // Who is not chosen any more gets an empty part, so that it lets go.
    let choice = VipChoice { hosts: vec![id("h1")], ..VipChoice::default() };
    world.core.put_vip(VIP, choice).await.unwrap();
    let gone = two.vips_of(0).await;
    assert!(gone.generation > first.generation && gone.key.0.is_empty());
    assert_eq!(one.vips_of(1).await.vips[0].candidates.len(), 1);

    // A host that loses its label serves no ingress and holds nothing.
    world.core.set_host_labels(&id("h1"), Default::default()).await.unwrap();
    // Whichever comes first.
    let (mut serves, mut holds) = (true, true);
    while serves || holds {
        one.next(|down| match down {
            Down::Serve { ingress } => {
                serves = ingress;
                Some(())
            }
            Down::Vips(table) => {
                holds = !table.vips.is_empty();
                Some(())
            }
            _ => None,
        })
        .await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_publishes_the_same_under_a_higher_generation() {
    let world = World::start().await;
    world.term().await;
    let mut reader = Reader::of(&world, "h1", 1).await;
    world.core.create_vip(request()).await.unwrap();
    let before = reader.vips_of(1).await;
    let second = world.second_server().await;
    second.term().await;
    let mut reader = Reader::of(&second, "h1", 1).await;
    let after = reader.vips_of(1).await;
    assert!(after.generation > before.generation);
    assert_eq!((after.key, after.vips), (before.key, before.vips), "the host changes nothing");
    second.stop().await;
    world.stop().await;
}
