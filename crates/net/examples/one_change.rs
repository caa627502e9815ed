//! How long one change of a large packet filter takes: 1,000 services with 10 backends each, in a
//! namespace made for it. Needs root; prints milliseconds.

use std::collections::BTreeSet;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Instant;

use net::Slug;
use net::namespace::{self, Namespace};
use net::nft::{
    Base, Changer, NftError, Protocol, Ruleset, ServiceAddress, apply, diff, render_full,
};

const SERVICES: u32 = 1000;
const BACKENDS: u32 = 10;
const RUNS: u32 = 50;

fn rules() -> Result<Ruleset, Box<dyn Error>> {
    let mut rules = Ruleset::new(Base {
        slug: Slug::new("bench")?,
        subnet: "10.128.0.0/24".parse()?,
        cluster: "10.128.0.0/10".parse()?,
        services: "10.127.0.0/16".parse()?,
        tunnel: None,
    });
    for service in 0..SERVICES {
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 127, 0, 1)) + service);
        let first = u32::from(Ipv4Addr::new(10, 129, 0, 2)) + service * BACKENDS;
        let backends = (first..first + BACKENDS).map(|at| SocketAddrV4::new(at.into(), 8080));
        let key = ServiceAddress { address, protocol: Protocol::Tcp, port: 80 };
        rules.services.insert(key, backends.collect());
    }
    Ok(rules)
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("one_change-{}", std::process::id()));
    let inside = Namespace::create(&path, &[])?;
    let full = rules()?;
    let mut other = full.clone();
    let (key, backends) = full.services.first_key_value().ok_or("no services")?;
    let fewer: BTreeSet<_> = backends.iter().skip(1).copied().collect();
    other.services.insert(*key, fewer);
    let by_nft = |from: &_, to: &_| apply(&diff(from, to).unwrap_or_default());
    let measured = inside.run(|| -> Result<_, NftError> {
        let mut changer = Changer::open()?;
        let begin = Instant::now();
        apply(&render_full(&full))?;
        let load = begin.elapsed();
        let elements = times(&full, &other, |from, to| changer.bring(from, to))?;
        Ok((load, elements, times(&full, &other, by_nft)?))
    });
    namespace::delete(&path)?;
    let (load, elements, script) = measured??;
    let load = load.as_secs_f64() * 1e3;
    println!("{SERVICES} services x {BACKENDS}: load {load:.1} ms");
    println!("one change by elements: {elements}; by nft: {script}");
    Ok(())
}

/// There and back again, so often.
fn times(
    full: &Ruleset,
    other: &Ruleset,
    mut change: impl FnMut(&Ruleset, &Ruleset) -> Result<(), NftError>,
) -> Result<String, NftError> {
    let mut taken = Vec::new();
    for run in 0..RUNS {
        let (from, to) = if run % 2 == 0 { (full, other) } else { (other, full) };
        let begin = Instant::now();
        change(from, to)?;
        taken.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    taken.sort_unstable_by(f64::total_cmp);
    let at = |share: usize| taken.get(taken.len() * share / 100).copied().unwrap_or_default();
    Ok(format!("median {:.2} ms, 99 % {:.2} ms", at(50), at(99)))
}
