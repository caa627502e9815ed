//! `freehold app`.

use std::process::ExitCode;

use api::app::App;
use api::id::AppName;
use clap::Subcommand;

use crate::connect::Session;
use crate::failure::Failure;
use crate::output::{Look, Table, age, fields};

/// Apps are named workloads of a team
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// List apps
    List,
    /// Show an app
    Show {
        /// Its name
        app: AppName,
    },
    /// Delete an app: its instances are drained and stopped, then it goes
    Delete {
        /// Its name
        app: AppName,
    },
}

pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments {
        Arguments::List => {
            let apps = session.ask(async |client| client.apps().await)?;
            session.show(&apps, |apps, look| table(apps, look))
        }
        Arguments::Show { app } => {
            let app = session.ask(async |client| client.app(&app).await)?;
            session.show(&app, one)
        }
        Arguments::Delete { app } => {
            session.ask(async |client| client.delete_app(&app).await)?;
            eprintln!("app {app} is being removed");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn table(apps: &[App], look: &Look) -> String {
    Table::of(&["APP", "TEAM", "LATEST", "AGE"], apps, |app| {
        let (name, team) = (app.name.to_string(), app.team.to_string());
        vec![name, team, app.latest_release.to_string(), age(look.now, app.created)]
    })
    .render(look.width)
}

fn one(app: &App, _: &Look) -> String {
    fields(&[
        ("app", app.name.to_string()),
        ("team", app.team.to_string()),
        ("latest release", app.latest_release.to_string()),
        ("created", app.created.to_string()),
    ])
}

#[cfg(test)]
mod tests {
    use api::id::{ReleaseNumber, TeamName};
    use api::time::Timestamp;

    use super::*;

    #[test]
    fn apps_for_people() {
        let app = App {
            name: AppName::new("shop").unwrap(),
            team: TeamName::new("retail").unwrap(),
            latest_release: ReleaseNumber(7),
            created: Timestamp(0),
        };
        let look = Look { width: Some(80), now: Timestamp(86_400_000 * 3) };
        insta::assert_snapshot!(table(std::slice::from_ref(&app), &look), @r"
        APP   TEAM    LATEST  AGE
        shop  retail  7       3d
        ");
        insta::assert_snapshot!(one(&app, &look), @r"
        app             shop
        team            retail
        latest release  7
        created         1970-01-01T00:00:00.000Z
        ");
    }
}
