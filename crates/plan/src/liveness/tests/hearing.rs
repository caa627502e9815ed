//! Pairs that do not hear each other.

use api::server::WayBack;

use super::verdict::{NOW, World};
use super::*;
use crate::liveness::{Observer, Unheard, unheard};
use crate::restart::Moment;

fn pairs(world: &World) -> Vec<(String, HostId, WayBack)> {
    let found = world.with(|evidence| unheard(evidence).1);
    let short = |one: Unheard| (one.observer.to_string(), one.host, one.back);
    found.into_iter().map(short).collect()
}

#[test]
fn a_pair_is_named_with_what_is_known_of_the_way_back() {
    let mut world = World::new(3, 1);
    assert_eq!(world.with(|evidence| unheard(evidence).0), 9, "six between hosts, three from s0");
    assert_eq!(pairs(&world), []);
    world.silent(0, 1, 1499);
    assert_eq!(pairs(&world), [], "not for long yet");
    world.silent(0, 1, 1500);
    assert_eq!(pairs(&world), [("host h000".to_owned(), id(1), WayBack::Heard)]);
    world.silent(1, 0, 1500);
    let both = [
        ("host h000".to_owned(), id(1), WayBack::Silent),
        ("host h001".to_owned(), id(0), WayBack::Silent),
    ];
    assert_eq!(pairs(&world), both);
    let s0 = Observer::Server(ServerId::new("s0").unwrap());
    let word = world.words[&Observer::Host(id(0))].observed.clone();
    world.words.get_mut(&s0).unwrap().observed = word;
    assert_eq!(pairs(&world)[2], ("server s0".to_owned(), id(1), WayBack::Unknown));
}

#[test]
fn neither_a_dead_host_nor_the_word_of_a_late_observer_is_a_problem_of_the_network() {
    let mut world = World::new(3, 0);
    for observer in 0..2 {
        world.silent(observer, 2, 1500);
    }
    assert_eq!(pairs(&world).len(), 2);
    let word = world.words.get_mut(&Observer::Host(id(0))).unwrap();
    word.observed.votes = false;
    assert_eq!(pairs(&world).len(), 1);
    world.words.get_mut(&Observer::Host(id(1))).unwrap().heard = Moment(NOW.0 - 750);
    assert_eq!(pairs(&world), []);

    let mut world = World::new(3, 0);
    for observer in 0..2 {
        world.silent(observer, 2, 1500);
    }
    world.unheard(2, 5000);
    assert_eq!(pairs(&world), [], "no server hears it either");
}
