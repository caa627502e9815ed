//! The rounds: every proxy in turn under the same load, the others idle.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::load::Load;
use super::ours::start_ours;
use super::peers::{PEERS, Proxy, start_peer};
use super::place::Place;
use crate::contest::{Better, Budget, Entrant, Measure, Plan, Row, compete};
use crate::setting::Setting;

const AT_LEAST: &[Budget] =
    &[Budget::TimesAtLeast("haproxy", 1.0), Budget::TimesAtLeast("nginx", 1.0)];
const NO_WORSE: &[Budget] =
    &[Budget::TimesAtMost("haproxy", 1.0), Budget::TimesAtMost("nginx", 1.0)];

const fn rate(name: &'static str, budgets: &'static [Budget]) -> Measure {
    Measure { name, unit: "requests/s", better: Better::More, budgets }
}

const fn time(name: &'static str, unit: &'static str, budgets: &'static [Budget]) -> Measure {
    Measure { name, unit, better: Better::Less, budgets }
}

const PLAIN: &[Measure] = &[
    rate("ingress", AT_LEAST),
    time("ingress-latency-p50", "ms", &[]),
    time("ingress-latency-p99", "ms", NO_WORSE),
    time("ingress-cpu", "µs/request", &[]),
];

const TLS: &[Measure] = &[
    rate("ingress-tls", &[]),
    time("ingress-tls-latency-p50", "ms", &[]),
    time("ingress-tls-latency-p99", "ms", &[]),
    time("ingress-tls-cpu", "µs/request", &[]),
];

/// Rounds, and how long each proxy is under load in each: 6 × 6 × 5 s are three minutes.
const RUNS: usize = 5;
const SECONDS: u32 = 5;
const QUICK_RUNS: usize = 1;
const QUICK_SECONDS: u32 = 1;

/// Connections of the round before end meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs the benchmark, with clients that speak TLS or not.
pub(crate) fn run(setting: &Setting, tls: bool) -> Result<Vec<Row>> {
    let place = Place::new(setting, tls, true)?;
    let seconds = if setting.order.quick { QUICK_SECONDS } else { SECONDS };
    let load = Load::new(&place, seconds)?;
    if !tls {
        let met = load.put(place.instance.port()).context("ask the instance itself")?;
        eprintln!("  the instance itself: {:.0} requests/s, p99 {:.2} ms", met.rate, met.p99);
    }
    let ours = start_ours(&place)?;
    let peers = PEERS.map(|peer| (peer.name, start_peer(&place, peer)));
    let mut entrants = vec![Entrant::ours(|_| round(&load, &ours))];
    for (name, peer) in &peers {
        entrants.push(match peer {
            Ok(proxy) => Entrant::peer(name, |_| round(&load, proxy)),
            Err(why) => Entrant::skipped(name, why),
        });
    }
    let measures = if tls { TLS } else { PLAIN };
    let runs = setting.runs(RUNS, QUICK_RUNS);
    compete(Plan { measures, runs, pause: PAUSE }, entrants)
}

fn round(load: &Load<'_>, proxy: &Proxy) -> Result<Vec<f64>> {
    let before = proxy.cpu_seconds()?;
    let met = load.put(proxy.port).with_context(|| format!("ask {}", proxy.name))?;
    let used = proxy.cpu_seconds()? - before;
    ensure!(used > 0.0, "{} used no time", proxy.name);
    Ok(vec![met.rate, met.p50, met.p99, used * 1e6 / met.requests])
}
