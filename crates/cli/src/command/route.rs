//! `freehold route`.

mod vip;

use std::net::Ipv4Addr;
use std::process::ExitCode;

use api::operation::RouteView;
use clap::Subcommand;

use crate::connect::Session;
use crate::failure::Failure;
use crate::output::{Look, Table};

/// Routes: public names and ports
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// List routes, with the addresses that their names should stand for in DNS
    List,
    #[command(subcommand)]
    Vip(vip::Arguments),
}

pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments {
        Arguments::List => {
            let routes = session.ask(async |client| client.routes().await)?;
            session.show(&routes, |routes, look| table(routes, look))
        }
        Arguments::Vip(arguments) => vip::run(session, arguments),
    }
}

/// The most addresses shown in a row; JSON has all.
const SHOWN: usize = 4;

fn addresses(all: &[Ipv4Addr]) -> String {
    let shown: Vec<String> = all.iter().take(SHOWN).map(ToString::to_string).collect();
    match all.len().saturating_sub(SHOWN) {
        0 if all.is_empty() => "-".to_owned(),
        0 => shown.join(","),
        more => format!("{} and {more} more", shown.join(",")),
    }
}

fn table(routes: &[RouteView], look: &Look) -> String {
    let head = [
        "ROUTE",
        "APP",
        "ENVIRONMENT",
        "ENDPOINTS",
        "TLS",
        "ADDRESSES",
        "REQUESTS",
        "FAILED",
        "P50",
        "P99",
    ];
    let span = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), millis);
    Table::of(&head, routes, |route| {
        vec![
            route.route.clone(),
            route.app.to_string(),
            route.environment.to_string(),
            route.endpoints.to_string(),
            if route.tls { "yes" } else { "no" }.to_owned(),
            addresses(&route.addresses),
            route.requests.to_string(),
            route.failed.to_string(),
            span(route.p50_us),
            span(route.p99_us),
        ]
    })
    .render(look.width)
}

/// The bound of a latency bucket, e.g. `≤2.5ms`.
fn millis(us: u64) -> String {
    let (whole, part) = (us / 1000, us % 1000);
    let part = format!("{part:03}");
    let part = part.trim_end_matches('0');
    if part.is_empty() { format!("≤{whole}ms") } else { format!("≤{whole}.{part}ms") }
}

#[cfg(test)]
mod tests {
    use api::id::{AppName, EnvironmentName};
    use api::time::Timestamp;

    use super::*;

    #[test]
    fn routes_for_people() {
        let route = RouteView {
            route: "shop.example.com/".into(),
            app: AppName::new("shop").unwrap(),
            environment: EnvironmentName::new("production").unwrap(),
            endpoints: 3,
            tls: true,
            addresses: vec![Ipv4Addr::new(192, 0, 2, 80), Ipv4Addr::new(192, 0, 2, 81)],
            requests: 1200,
            failed: 3,
            retries: 1,
            p50_us: Some(500),
            p99_us: Some(2_500),
        };
        let look = Look { width: None, now: Timestamp(0) };
        insta::assert_snapshot!(table(&[route], &look));
    }
}
