//! How far an exchange of the cluster's authority may go: decided from values alone.

use std::collections::BTreeSet;

use api::authority::{Phase, Trusts, WaitsFor};

/// A member of the cluster, as it described itself last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// `host NAME` or `server NAME`.
    pub(super) name: String,
    /// Servers cannot be waited for in part: they stand between everybody.
    pub(super) server: bool,
    /// Whether a server hears it.
    pub(super) connected: bool,
    /// What it said last; none when it never said anything.
    pub(super) trusts: Option<Trusts>,
}

/// What is to be trusted in the present phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    pub(super) phase: Phase,
    pub(super) generation: u64,
    /// The fingerprint of the authority that signs.
    pub(super) signs: &'a str,
    /// The fingerprints of all that are to be trusted.
    pub(super) authorities: &'a [String],
    /// Who is left out.
    pub(super) left_out: &'a [String],
}

impl Wanted<'_> {
    /// For whom the present phase waits, and why.
    pub(super) fn waits_for(&self, members: &[Member]) -> Vec<WaitsFor> {
        let waited = members.iter().filter(|member| !self.left_out.contains(&member.name));
        let why = waited.filter_map(|member| Some((member, self.lacks(member)?)));
        why.map(|(member, why)| WaitsFor {
            member: member.name.clone(),
            why,
            connected: member.connected,
        })
        .collect()
    }

    /// What a member has not done of the present phase; none when it is through.
    fn lacks(&self, member: &Member) -> Option<String> {
        let none = Trusts::default();
        let said = member.trusts.as_ref().unwrap_or(&none);
        let behind = said.generation < self.generation || !self.same(&said.authorities);
        let problem = |why: &str| match said.problem.as_str() {
            "" => why.to_owned(),
            problem => format!("{why}: {problem}"),
        };
        match self.phase {
            Phase::Settled => None,
            // A host that is away believes the new one by the old one's word when it comes back.
            Phase::Trust | Phase::Drop if !member.server && !member.connected => None,
            Phase::Trust if behind => Some(problem("it does not trust the new authority yet")),
            Phase::Drop if behind => Some(problem("it still trusts the old authority")),
            Phase::Issue if said.signer != self.signs => {
                Some(problem("its certificate is not of the new authority yet"))
            }
            Phase::Issue if member.server && behind => {
                Some(problem("it has not changed over to the new authority yet"))
            }
            // The order in which authorities stand is nothing to an etcd.
            Phase::Trust | Phase::Issue | Phase::Drop => match &said.engine {
                Some(engine) if !self.same(engine) => {
                    Some(problem("its etcd was not started anew with the authorities yet"))
                }
                _ => None,
            },
        }
    }

    /// The server whose etcd is next to be started anew: one at a time, the one whose turn it is
    /// first.
    pub(super) fn engine_turn<'a>(
        &self,
        members: &'a [Member],
        present: Option<&str>,
    ) -> Option<&'a str> {
        let due = members.iter().filter(|member| {
            let said = member.trusts.as_ref();
            let engine = said.and_then(|said| said.engine.as_ref());
            let ready = said.is_some_and(|said| said.generation >= self.generation);
            let left_out = self.left_out.contains(&member.name);
            ready && !left_out && engine.is_some_and(|engine| !self.same(engine))
        });
        let mut names: Vec<&str> = due.map(|member| member.name.as_str()).collect();
        names.sort_unstable();
        names.iter().find(|name| present == Some(**name)).or(names.first()).copied()
    }

    fn same(&self, authorities: &[String]) -> bool {
        let set = |list: &[String]| list.iter().cloned().collect::<BTreeSet<String>>();
        set(authorities) == set(self.authorities)
    }
}

/// The phase after one that waits for nobody.
pub(super) fn next(phase: Phase) -> Phase {
    match phase {
        Phase::Trust => Phase::Issue,
        Phase::Issue => Phase::Drop,
        Phase::Drop | Phase::Settled => Phase::Settled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, connected: bool, trusts: Option<Trusts>) -> Member {
        Member { name: name.into(), server: name.starts_with("server"), connected, trusts }
    }

    fn said(generation: u64, authorities: &[&str], signer: &str) -> Option<Trusts> {
        let authorities = authorities.iter().map(|&one| one.to_owned()).collect();
        Some(Trusts { generation, authorities, signer: signer.into(), ..Trusts::default() })
    }

    fn wanted(phase: Phase, authorities: &[String]) -> Wanted<'_> {
        Wanted { phase, generation: 5, signs: "new", authorities, left_out: &[] }
    }

    fn both() -> Vec<String> {
        vec!["new".into(), "old".into()]
    }

    /// Every mixture of members is waited for until it cannot be locked out, and no longer.
    #[test]
    fn no_phase_ends_before_all_can_bear_the_next() {
        let behind = said(4, &["old"], "old");
        let trusting = said(5, &["old", "new"], "old");
        let changed = said(5, &["new", "old"], "new");
        let states = [None, behind, trusting, changed];
        let both = both();
        for server in [true, false] {
            for connected in [true, false] {
                for state in &states {
                    let name = if server { "server s" } else { "host h" };
                    let one = [member(name, connected, state.clone())];
                    let waits = |phase| !wanted(phase, &both).waits_for(&one).is_empty();
                    let trusts_new = state.as_ref().is_some_and(|s| s.authorities.len() == 2);
                    let has_new = state.as_ref().is_some_and(|s| s.signer == "new");
                    // The new one may sign: servers must know it, hosts may learn it later.
                    if !waits(Phase::Trust) {
                        assert!(trusts_new || (!server && !connected), "{state:?}");
                    }
                    // The old one may be forgotten: nobody may still live on it.
                    assert_eq!(waits(Phase::Issue), !has_new, "{state:?}");
                    assert!(!waits(Phase::Settled));
                }
            }
        }
    }

    #[test]
    fn who_is_left_out_is_not_waited_for() {
        let (both, left_out) = (both(), ["host h".to_owned()]);
        let members = [member("host h", false, None), member("host i", false, None)];
        let wanted = Wanted { left_out: &left_out, ..wanted(Phase::Issue, &both) };
        let waits = wanted.waits_for(&members);
        assert_eq!(waits.len(), 1);
        assert_eq!(waits[0].member, "host i");
    }

    #[test]
    fn engines_are_started_anew_one_at_a_time() {
        let both = both();
        let engine = |name: &str, engine: &[&str]| {
            let mut trusts = said(5, &["new", "old"], "old").unwrap();
            trusts.engine = Some(engine.iter().map(|&one| one.to_owned()).collect());
            member(name, true, Some(trusts))
        };
        let wanted = wanted(Phase::Trust, &both);
        let all = [
            engine("server s2", &["old"]),
            engine("server s1", &["old"]),
            engine("server s3", &["old", "new"]),
        ];
        assert_eq!(wanted.engine_turn(&all, None), Some("server s1"));
        assert_eq!(wanted.engine_turn(&all, Some("server s2")), Some("server s2"), "not two");
        assert_eq!(wanted.engine_turn(&all, Some("server s3")), Some("server s1"), "it is done");
        assert_eq!(wanted.waits_for(&all).len(), 2);
        assert_eq!(wanted.engine_turn(&all[2..], None), None);
        // Who has not taken the authorities over cannot start its etcd with them.
        let mut early = engine("server s0", &["old"]);
        early.trusts.as_mut().unwrap().generation = 4;
        assert_eq!(wanted.engine_turn(&[early], None), None);
    }
}
