//! Packets of the full size between a container on one host and a service address whose only
//! backend is on another, both ways at once, by tunnel and by plain routes. The ceiling is the same
//! client and server between the same two hosts, without containers and addresses of ours.

mod counters;

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::alone::{Measure, figure, record, series};
use super::client::Filled;
use super::evaluate::milliseconds;
use super::freehold::{Freehold, InstanceRow, Settings};
use super::lab::Lab;
use super::platform::{APP, Platform};
use crate::contest::{Budget, OURS, Row};
use crate::machine::Running;
use crate::setting::Setting;
use counters::{Counters, Place, dropped};

/// Runs each way.
const RUNS: usize = 3;

/// The app that asks; two of it, so that one is not on the backend's host.
const ASKER: &str = "asker";

/// Whom we are compared with: no containers between.
const CEILING: &str = "hosts-alone";

/// The ceiling's port.
const PORT: u16 = 18_080;

/// How long something begins to flow.
const BEGIN_WITHIN: Duration = Duration::from_secs(10);

/// Before what is counted: connections have found their speed.
const WARM: Duration = Duration::from_secs(2);

/// What a tunnel takes of a packet.
const TUNNEL: u32 = net::overlay::TUNNEL_OVERHEAD;

/// Runs what is missing and gives the rows: by tunnel, then by plain routes.
pub(crate) fn run(setting: &Setting) -> Result<Vec<Row>> {
    let mut rows = by(setting, "vxlan", TUNNEL)?;
    rows.extend(by(setting, "direct", 0)?);
    Ok(rows)
}

fn by(setting: &Setting, mode: &str, overhead: u32) -> Result<Vec<Row>> {
    let quick = setting.order.quick;
    let name = format!("mtu-load-{mode}{}", if quick { "-quick" } else { "" });
    let lasts = Duration::from_secs(if quick { 5 } else { 60 });
    let none = [Budget::EachAtMost(0.0)];
    let measures = [
        Measure::more("down", "MiB/s", &[]),
        Measure::more("up", "MiB/s", &[]),
        Measure::more("both", "MiB/s", &[]),
        Measure::less("errors", "requests", &none),
        Measure::less("fragments", "packets", &none),
        Measure::less("too-big", "messages", &none),
        Measure::less("larger", "packets", &none),
        Measure::more("full-size", "packets", &[Budget::AtLeast(1000.0)]),
        Measure::less("resent", "of 1000", &[]),
        Measure::less("needless", "of 1000", &[]),
        Measure::less("dropped", "packets", &[]),
    ];
    let start = || {
        let arguments = ["--overlay", mode];
        let freehold = Freehold::start_with(setting, 3, &arguments, Settings::Default)?;
        freehold.deploy_manifest(&manifest(APP, 1))?;
        freehold.deploy_manifest(&manifest(ASKER, 2))?;
        Ok(freehold)
    };
    let hello = setting.hello()?.to_string_lossy().into_owned();
    let wanted = setting.runs(RUNS, 1);
    series(setting, (&name, wanted), &measures, start, |freehold, _| {
        let (from, to) = ends(freehold)?;
        let what = format!("{} to {}, {} s", from.host, to.host, lasts.as_secs());
        let ours = ours(freehold, (&from, &to), overhead, lasts)?;
        let ceiling = ceiling(freehold.lab(), (&from, &to), &hello, lasts / 3)?;
        Ok(vec![record(OURS, &what, ours), record(CEILING, &what, ceiling)])
    })
}

fn manifest(app: &str, count: usize) -> String {
    format!(
        "app = \"{app}\"\nteam = \"bench\"\n[process]\ncommand = [\"/hello\"]\nport = 8080\n\
         [resources]\ncpu = \"200m\"\nmemory = \"128MiB\"\npids = 32\n\
         [scale]\ninstances = {count}\n[health]\nhttp = \"/healthz\"\n"
    )
}

/// Who asks, and the only one that answers, on another host.
fn ends(freehold: &Freehold) -> Result<(InstanceRow, InstanceRow)> {
    let rows = freehold.rows_of(APP)?;
    let [to] = <[InstanceRow; 1]>::try_from(rows).ok().context("there is one backend")?;
    let mut askers = freehold.rows_of(ASKER)?.into_iter();
    let from = askers.find(|row| row.host != to.host).context("an asker on another host")?;
    Ok((from, to))
}

type Values = Vec<(&'static str, f64)>;

fn ours(
    freehold: &Freehold,
    (from, to): (&InstanceRow, &InstanceRow),
    overhead: u32,
    lasts: Duration,
) -> Result<Values> {
    let lab = freehold.lab();
    let machines = [Place::machine(&from.host), Place::machine(&to.host)];
    let instances = [Place::instance(from)?, Place::instance(to)?];
    for place in &instances {
        place.cut(lab)?;
        let (inner, outer) = (place.mtu(lab)?, Place::machine(place.host()).mtu(lab)?);
        ensure!(inner + overhead == outer, "packets of {inner} in packets of {outer}");
    }
    let address = freehold.service_address(APP)?;
    let start = || freehold.start_inside(from, &["--fill", &address]);
    let kind = if overhead > 0 {
        format!("udp dport {}", net::overlay::TUNNEL_PORT)
    } else {
        format!("ip protocol tcp ip saddr {}", lab.plan().instances)
    };
    flow(lab, (&machines, &[kind]), &instances, start, lasts)
}

fn ceiling(
    lab: &Lab,
    (from, to): (&InstanceRow, &InstanceRow),
    hello: &str,
    lasts: Duration,
) -> Result<Values> {
    let machines = [Place::machine(&from.host), Place::machine(&to.host)];
    for place in &machines {
        place.cut(lab)?;
    }
    let port = format!("PORT={PORT}");
    let mut server = lab.start_on(&to.host, "ceiling", &["env", &port, hello])?;
    server.until("listening", BEGIN_WITHIN, |it| it.output().contains("listen").then_some(()))?;
    let address = lab.address(&to.host, PORT)?.to_string();
    let own = std::env::current_exe().context("find this program")?;
    let own = own.to_string_lossy();
    let start = || lab.start_on(&from.host, "filling", &[&own, "--fill", &address]);
    let kinds = ["sport", "dport"].map(|port| format!("tcp {port} {PORT}"));
    flow(lab, (&machines, &kinds), &[], start, lasts)
}

/// Lets it flow and says how much, and what became of the packets: those of full size are counted
/// where they come out of the wire between hosts.
fn flow(
    lab: &Lab,
    (machines, kinds): (&[Place], &[String]),
    instances: &[Place],
    start: impl FnOnce() -> Result<Running>,
    lasts: Duration,
) -> Result<Values> {
    for machine in machines {
        machine.watch_sizes(lab, kinds)?;
    }
    let count = || -> Result<Counters> {
        let places = machines.iter().chain(instances);
        let all = places.map(|place| place.counters(lab)).collect::<Result<Vec<_>>>()?;
        Ok(all.into_iter().fold(Counters::default(), Counters::plus))
    };
    let (before, dropped_before) = (count()?, dropped()?);
    let mut client = start()?;
    let flows = |client: &Running| last(client).filter(|far| far.down > 0 && far.up > 0);
    client.until("packets both ways", BEGIN_WITHIN, flows)?;
    std::thread::sleep(WARM);
    let first = last(&client).context("a client without a word")?;
    std::thread::sleep(lasts);
    let after = last(&client).context("a client without a word")?;
    drop(client);
    let sizes = machines.iter().map(|machine| machine.sizes(lab)).collect::<Result<Vec<_>>>()?;
    if after.errors > 0 {
        eprintln!("  {} failed: {}", after.errors, after.error);
    }
    let seconds = milliseconds(first.at, after.at) / 1e3;
    // The counts of minutes of packets are far below what a float tells apart.
    let rate = |from: u64, to: u64| figure((to - from) >> 10) / 1024.0 / seconds;
    let during = count()?.minus(&before);
    let without_room = dropped()?.saturating_sub(dropped_before);
    let of_thousand = |count: u64| figure(count) / figure(during.sent.max(1)) * 1000.0;
    let (down, up) = (rate(first.down, after.down), rate(first.up, after.up));
    Ok(vec![
        ("down", down),
        ("up", up),
        ("both", down + up),
        ("errors", figure(after.errors)),
        ("fragments", figure(during.fragments)),
        ("too-big", figure(during.too_big)),
        ("resent", of_thousand(during.resent)),
        ("needless", of_thousand(during.needless)),
        ("dropped", figure(without_room)),
        // The lesser of both hosts: each way was filled.
        ("full-size", figure(sizes.iter().map(|it| it.full).min().unwrap_or_default())),
        ("larger", figure(sizes.iter().map(|it| it.larger).sum::<u64>())),
    ])
}

/// How far a client is.
fn last(client: &Running) -> Option<Filled> {
    client.output().lines().rev().find_map(|line| serde_json::from_str(line).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_are_some() {
        for (app, count) in [(APP, 1), (ASKER, 2)] {
            let text = manifest(app, count);
            assert!(api::manifest::Manifest::parse("freehold.toml", &text).is_ok());
        }
    }
}
