//! What agents say of their hosts while they run: taken over, compared with the other hosts, and
//! shown where something is amiss. Deciding what is amiss is pure.

use std::collections::BTreeMap;

use api::about::{About, HostAbout, Settings};
use api::error::ApiError;
use api::event::Event;
use api::id::HostId;
use api::join::{CLOCK_OFF_MAX, JoinRole};
use api::unit::Millis;
use ipnet::Ipv4Net;

use super::invite::clocks_apart;
use super::{Core, StoredAbout, View, member_name};

/// To what a clock's error is rounded, so that it is not written anew every time.
const ROUNDED: u64 = 60_000;

impl Core {
    /// Takes over what an agent says of its host.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn heard_about(&self, host: &HostId, about: About) -> Result<(), ApiError> {
        // One that was removed meanwhile stays so.
        if !self.view().hosts.contains_key(host.as_str()) {
            return Ok(());
        }
        self.welcome(host, &about.place).await?;
        let view = self.view();
        let before = view.abouts.get(&member_name(JoinRole::Host, host.as_str()));
        let before = before.and_then(|row| row.host.clone()).unwrap_or_default();
        let now = HostAbout {
            settings: about.settings,
            domain_problem: about.domain_problem,
            clock_off: clock_off(before.clock_off, clocks_apart(about.time, self.now())),
        };
        let (role, name) = (JoinRole::Host, host.to_string());
        let trusts = about.trusts;
        self.note_about(&StoredAbout { role, name, trusts, host: Some(now.clone()) }).await?;
        if before.clock_off.is_none()
            && let Some(off) = now.clock_off
        {
            self.tell_of(
                host,
                "host.clock_off",
                format!("the clock of host {host} is off by {off}"),
            );
        }
        if before.domain_problem.is_empty() && !now.domain_problem.is_empty() {
            let message = format!("host {host} keeps its failure domain: {}", now.domain_problem);
            self.tell_of(host, "host.domain_unknown", message);
        }
        if before.settings != now.settings {
            for problem in self.differences(&self.view(), host) {
                self.tell_of(host, "host.settings_differ", format!("host {host}: {problem}"));
            }
        }
        Ok(())
    }

    /// What is amiss with a host, for people.
    pub(super) fn problems_of(&self, view: &View, host: &HostId) -> Vec<String> {
        let row = view.abouts.get(&member_name(JoinRole::Host, host.as_str()));
        let Some(about) = row.and_then(|row| row.host.as_ref()) else { return Vec::new() };
        let mut problems = self.differences(view, host);
        if !about.domain_problem.is_empty() {
            problems.push(format!("its failure domain may be old: {}", about.domain_problem));
        }
        if let Some(off) = about.clock_off {
            problems.push(format!("its clock is off by {off}: set it, for example with chrony"));
        }
        problems
    }

    fn differences(&self, view: &View, host: &HostId) -> Vec<String> {
        let settings = |about: &StoredAbout| about.host.as_ref()?.settings.clone();
        let of = |name: &HostId| {
            let row = view.abouts.get(&member_name(JoinRole::Host, name.as_str()));
            row.and_then(|row| settings(row))
        };
        let Some(own) = of(host) else { return Vec::new() };
        let others = view.hosts.values().filter(|row| row.name != *host);
        let others: Vec<Settings> = others.filter_map(|row| of(&row.name)).collect();
        differences(&own, &others, (self.instance_range, self.service_range))
    }

    /// Records what is to be known of a host.
    pub(super) fn tell_of(&self, host: &HostId, kind: &str, message: String) {
        self.events.record(Event {
            at: self.now(),
            kind: kind.to_owned(),
            app: None,
            environment: None,
            release: None,
            instance: None,
            host: Some(host.clone()),
            message,
        });
    }
}

/// What is kept of a clock's error: the first that is too large, until it is right again or quite
/// another one.
fn clock_off(before: Option<Millis>, apart: Millis) -> Option<Millis> {
    if apart <= CLOCK_OFF_MAX {
        return None;
    }
    let rounded = Millis(apart.0.next_multiple_of(ROUNDED));
    let stays = before.filter(|before| before.0.abs_diff(apart.0) <= 2 * ROUNDED);
    stays.or(Some(rounded))
}

/// In what a host differs from most others, or from the cluster.
fn differences(own: &Settings, others: &[Settings], ranges: (Ipv4Net, Ipv4Net)) -> Vec<String> {
    let mut problems = Vec::new();
    let cluster = [("--instance-range", ranges.0), ("--service-range", ranges.1)];
    for (at, (flag, value)) in own.flags().into_iter().enumerate() {
        if let Some((_, range)) = cluster.iter().find(|(name, _)| *name == flag) {
            if value != range.to_string() {
                problems.push(format!("{flag} is {value} here, the cluster's is {range}"));
            }
            continue;
        }
        let mut counted: BTreeMap<String, usize> = BTreeMap::new();
        for other in others {
            *counted.entry(other.flags()[at].1.clone()).or_default() += 1;
        }
        let same = counted.get(&value).copied().unwrap_or(0) + 1;
        let most = counted.iter().filter(|(other, _)| **other != value).max_by_key(|(_, n)| **n);
        if let Some((other, count)) = most
            && *count >= same
        {
            problems.push(format!(
                "{flag} is {value} here and {other} on {count} other hosts: it must be the same \
                 on all"
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            overlay: "auto".into(),
            overlay_port: 4789,
            vip_port: 1,
            probe_port: Some(2),
            instance_range: "10.128.0.0/10".parse().unwrap(),
            service_range: "10.127.0.0/16".parse().unwrap(),
        }
    }

    #[test]
    fn who_differs_from_the_most_is_told_in_what() {
        let ranges = (settings().instance_range, settings().service_range);
        let odd = Settings { overlay: "vxlan".into(), probe_port: None, ..settings() };
        assert_eq!(differences(&settings(), &[], ranges), [""; 0]);
        assert_eq!(differences(&settings(), &[settings(), odd.clone()], ranges), [""; 0]);
        let told = differences(&odd, &[settings(), settings()], ranges);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("--overlay is vxlan here and auto on 2 other"), "{told:?}");
        assert!(told[1].contains("--probe-port is none here"), "{told:?}");
        // Of two, nobody knows who is right: both are named.
        assert_eq!(differences(&settings(), std::slice::from_ref(&odd), ranges).len(), 2);
        let range = Settings { instance_range: "10.0.0.0/8".parse().unwrap(), ..settings() };
        let told = differences(&range, &[], ranges);
        assert!(told[0].contains("the cluster's is 10.128.0.0/10"), "{told:?}");
    }

    #[test]
    fn a_wrong_clock_is_kept_as_it_was_noticed() {
        let minutes = |n: u64| Millis(n * 60_000);
        assert_eq!(clock_off(None, minutes(5)), None);
        assert_eq!(clock_off(None, Millis(3_599_000)), Some(minutes(60)));
        assert_eq!(clock_off(Some(minutes(60)), Millis(3_650_000)), Some(minutes(60)));
        assert_eq!(clock_off(Some(minutes(60)), minutes(90)), Some(minutes(90)));
        assert_eq!(clock_off(Some(minutes(60)), minutes(1)), None);
    }
}
