//! Who is defragmented when: one at a time, the leader last.

use super::*;

fn seen(id: u64, leader: u64, megabytes: Option<(u64, u64)>) -> Seen {
    let member = Member {
        id,
        name: format!("s{id}"),
        peer_urls: vec![format!("https://p{id}")],
        client_urls: vec![format!("https://c{id}")],
        learner: false,
    };
    let status = megabytes.map(|(size, used)| MemberStatus {
        id,
        leader,
        db_bytes: size << 20,
        db_used_bytes: used << 20,
        applied: 1,
        learner: false,
        version: "3.4.23".to_owned(),
    });
    Seen { member, status }
}

#[test]
fn one_member_is_rewritten_at_a_time_and_the_leader_last() {
    let wasteful = Some((200, 20));
    let fine = Some((200, 180));
    let of = |seen: [Seen; 3]| decide(&seen, &[]);
    let rewrite = |id| Some(Chore::Defragment(format!("https://c{id}")));
    assert_eq!(of([1, 2, 3].map(|id| seen(id, 1, wasteful))), rewrite(2));
    assert_eq!(of([seen(1, 1, wasteful), seen(2, 1, fine), seen(3, 1, wasteful)]), rewrite(3));
    assert_eq!(of([seen(1, 1, wasteful), seen(2, 1, fine), seen(3, 1, fine)]), rewrite(1));
    assert_eq!(of([1, 2, 3].map(|id| seen(id, 1, fine))), None);
    assert_eq!(of([1, 2, 3].map(|id| seen(id, 1, Some((60, 1))))), None, "too small to matter");
    // With one silent, another must not stop answering.
    assert_eq!(of([seen(1, 1, wasteful), seen(2, 1, wasteful), seen(3, 1, None)]), None);
}

#[test]
fn room_is_made_before_all_else_on_every_member_that_answers() {
    let all = [seen(1, 1, Some((99, 9))), seen(2, 1, None), seen(3, 1, Some((99, 9)))];
    let wanted = ["https://c3", "https://c1"].map(str::to_owned).to_vec();
    assert_eq!(decide(&all, &[3]), Some(Chore::MakeRoom(wanted)));
}

#[test]
fn a_learner_left_behind_gets_its_vote() {
    let mut learner = seen(3, 1, Some((1, 1)));
    learner.member.learner = true;
    let all = [seen(1, 1, Some((99, 9))), seen(2, 1, None), learner];
    assert_eq!(decide(&all, &[]), Some(Chore::Promote(3)));
}
