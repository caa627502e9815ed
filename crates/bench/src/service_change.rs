//! One backend leaves among a thousand services of ten, and comes back: from the wanted state to
//! the kernel's acknowledgement, as an agent does it. Against one `nft -f -`, the same rule sets.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::network::{Filter, Wanted};
use anyhow::{Context, Result};
use api::id::{AppName, EnvironmentName, Generation};
use api::network::{NetworkTable, Service};
use net::Slug;
use net::namespace::{self, Namespace};
use net::nft::{Base, Groups, apply, diff, render_full};

use crate::contest::{Better, Budget, Entrant, Measure, Plan, Row, compete};
use crate::create_start::milliseconds;
use crate::setting::Setting;

const MEASURES: &[Measure] = &[Measure {
    name: "service-change",
    unit: "ms",
    better: Better::Less,
    budgets: &[Budget::AtMost(10.0), Budget::TimesAtMost("nft", 1.0)],
}];

const SERVICES: u32 = 1000;
const BACKENDS: u32 = 10;

const RUNS: usize = 200;
const QUICK_RUNS: usize = 4;
/// The kernel frees what a change replaced some milliseconds later.
const PAUSE: Duration = Duration::from_millis(30);

/// Runs the benchmark.
pub(crate) fn run(setting: &Setting) -> Result<Vec<Row>> {
    let base = base(setting)?;
    let states = [Arc::new(wanted(0)?), Arc::new(wanted(1)?)];
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("start a runtime")?;
    let filter = runtime.block_on(async { Filter::start(&base, &states[0]) })?;
    let ours = |number: usize| {
        let begun = Instant::now();
        let order = filter.want(states[(number + 1) % 2].clone());
        runtime.block_on(filter.loaded(order));
        Ok(vec![milliseconds(begun.elapsed())])
    };
    // In a namespace of its own: nft reads all rules of the one it is called in.
    let path = setting.directory("namespaces")?.join("nft");
    let apart = Namespace::create(&path, &[]).context("make a namespace")?;
    let mut groups = Groups::default();
    let rules = [states[0].rules(&base, &mut groups)?, states[1].rules(&base, &mut groups)?];
    apart.run(|| apply(&render_full(&rules[0])))??;
    let theirs = |number: usize| {
        let (old, new) = (&rules[number % 2], &rules[(number + 1) % 2]);
        let begun = Instant::now();
        apart.run(|| diff(old, new).map_or(Ok(()), |script| apply(&script)))??;
        Ok(vec![milliseconds(begun.elapsed())])
    };
    let entrants = vec![Entrant::ours(ours), Entrant::peer("nft", theirs)];
    let runs = setting.runs(RUNS, QUICK_RUNS);
    let rows = compete(Plan { measures: MEASURES, runs, pause: PAUSE }, entrants);
    namespace::delete(&path).context("remove a namespace")?;
    rows
}

fn base(setting: &Setting) -> Result<Base> {
    Ok(Base {
        slug: Slug::new(&setting.order.slug)?,
        subnet: "10.128.0.0/24".parse()?,
        cluster: "10.128.0.0/10".parse()?,
        services: "10.127.0.0/16".parse()?,
        tunnel: None,
    })
}

/// The state in which `missing` backends of the first service are not there.
fn wanted(missing: u32) -> Result<Wanted> {
    let environment = EnvironmentName::new("production")?;
    let address = |base: [u8; 4], number: u32| Ipv4Addr::from(u32::from_be_bytes(base) + number);
    let mut services = Vec::new();
    for number in 0..SERVICES {
        let left = if number == 0 { missing } else { 0 };
        let backends = (left..BACKENDS).map(|backend| number * BACKENDS + backend);
        let endpoint = |at| SocketAddrV4::new(address([10, 129, 0, 2], at), 8080);
        services.push(Service {
            app: AppName::new(format!("app-{number}"))?,
            environment: environment.clone(),
            address: address([10, 127, 0, 1], number),
            port: 80,
            endpoints: backends.map(endpoint).collect(),
        });
    }
    let generation = Generation(1 + u64::from(missing));
    let table = NetworkTable { generation, services, ..NetworkTable::default() };
    Ok(Wanted { table, local: BTreeMap::new() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn one_backend_of_one_service_differs() {
        let (full, fewer) = (wanted(0).unwrap(), wanted(1).unwrap());
        let count = |wanted: &Wanted| -> usize {
            wanted.table.services.iter().map(|service| service.endpoints.len()).sum()
        };
        assert_eq!((count(&full), count(&fewer)), (10_000, 9_999));
        let addresses: BTreeSet<_> =
            full.table.services.iter().flat_map(|service| &service.endpoints).collect();
        assert_eq!(addresses.len(), 10_000);
    }
}
