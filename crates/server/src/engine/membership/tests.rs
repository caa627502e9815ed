//! Which members are added, replaced and promoted, and which never.

use std::path::PathBuf;

use super::*;

fn options(name: &str, port: u16) -> Options {
    let address = |port| std::net::SocketAddr::from(([10, 0, 0, 1], port));
    Options {
        name: name.to_owned(),
        cluster: "c".to_owned(),
        directory: PathBuf::from("/engine"),
        binary: PathBuf::from("etcd"),
        client: address(port),
        peer: address(port + 1),
        certificate: PathBuf::from("/c"),
        key: PathBuf::from("/k"),
        authorities: PathBuf::from("/a"),
        quota_bytes: Options::QUOTA_BYTES,
        heartbeat: Options::HEARTBEAT,
        election: Options::ELECTION,
    }
}

fn member(id: u64, name: &str, port: u16) -> Member {
    Member {
        id,
        name: name.to_owned(),
        peer_urls: vec![format!("https://10.0.0.1:{}", port + 1)],
        client_urls: vec![format!("https://10.0.0.1:{port}")],
        learner: false,
    }
}

#[test]
fn a_new_member_is_added_and_then_started_with_all_the_others() {
    let mut members = vec![member(1, "s1", 10), member(2, "s2", 20)];
    let own = options("s3", 30);
    assert_eq!(decide(&members, &own, None).unwrap(), Step::Add);
    members.push(member(3, "", 30));
    let Step::Start(launch) = decide(&members, &own, None).unwrap() else { panic!() };
    assert_eq!(
        launch.members(),
        "s1=https://10.0.0.1:11,s2=https://10.0.0.1:21,s3=https://10.0.0.1:31"
    );
    assert_eq!(launch.state(), "existing");
}

#[test]
fn nobody_is_replaced_without_being_named() {
    let members = [member(1, "s1", 10), member(2, "s2", 20)];
    let taken = decide(&members, &options("s2", 40), None);
    assert!(matches!(taken, Err(JoinError::NameTaken { .. })), "{taken:?}");
    let lost = decide(&members, &options("s2", 20), None);
    assert!(matches!(lost, Err(JoinError::DataMissing { .. })), "{lost:?}");
    let unknown = decide(&members, &options("s3", 30), Some("s4"));
    assert!(
        matches!(&unknown, Err(JoinError::NoSuchMember { members, .. }) if members == "s1, s2"),
        "{unknown:?}"
    );
    let step = decide(&members, &options("s3", 30), Some("s2")).unwrap();
    assert!(matches!(step, Step::Remove { id: 2, .. }), "{step:?}");
}

#[test]
fn five_members_are_enough() {
    let members: Vec<_> =
        (1..=5u8).map(|n| member(n.into(), &format!("s{n}"), u16::from(n) * 10)).collect();
    let full = decide(&members, &options("s6", 60), None);
    assert!(matches!(full, Err(JoinError::Full { members: 5, .. })), "{full:?}");
}
