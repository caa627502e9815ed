//! `freehold route`.

use std::process::ExitCode;

use api::operation::RouteView;
use clap::Subcommand;

use crate::connect::Session;
use crate::failure::Failure;
use crate::output::{Look, Table};

/// Routes: public names and ports
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// List routes
    List,
}

pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments::List = arguments;
    let routes = session.ask(async |client| client.routes().await)?;
    session.show(&routes, |routes, look| table(routes, look))
}

fn table(routes: &[RouteView], look: &Look) -> String {
    Table::of(&["ROUTE", "APP", "ENVIRONMENT", "ENDPOINTS", "TLS"], routes, |route| {
        vec![
            route.route.clone(),
            route.app.to_string(),
            route.environment.to_string(),
            route.endpoints.to_string(),
            if route.tls { "yes" } else { "no" }.to_owned(),
        ]
    })
    .render(look.width)
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
        };
        let look = Look { width: None, now: Timestamp(0) };
        insta::assert_snapshot!(table(&[route], &look), @r"
        ROUTE              APP   ENVIRONMENT  ENDPOINTS  TLS
        shop.example.com/  shop  production   3          yes
        ");
    }
}
