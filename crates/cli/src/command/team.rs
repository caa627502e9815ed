//! `freehold team`.

use std::process::ExitCode;

use api::id::TeamName;
use api::operation::TeamRequest;
use api::team::Team;
use clap::Subcommand;

use crate::connect::Session;
use crate::failure::Failure;
use crate::output::{Look, Table, age, dash};

/// Teams own apps
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// List teams
    List,
    /// Make a team
    Create {
        /// Its name
        name: TeamName,
        /// What people should know about it
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
    },
    /// Delete a team that owns no app
    Delete {
        /// Its name
        name: TeamName,
    },
}

pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments {
        Arguments::List => {
            let teams = session.ask(async |client| client.teams().await)?;
            session.show(&teams, |teams, look| table(teams, look))
        }
        Arguments::Create { name, description } => {
            let request = TeamRequest { name, description };
            let team = session.ask(async |client| client.create_team(&request).await)?;
            session.changed(&team, &format!("team {} is there", team.name))
        }
        Arguments::Delete { name } => {
            session.ask(async |client| client.delete_team(&name).await)?;
            eprintln!("team {name} is deleted");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn table(teams: &[Team], look: &Look) -> String {
    Table::of(&["TEAM", "AGE", "DESCRIPTION"], teams, |team| {
        vec![team.name.to_string(), age(look.now, team.created), dash(&*team.description)]
    })
    .render(look.width)
}

#[cfg(test)]
mod tests {
    use api::time::Timestamp;

    use super::*;

    #[test]
    fn a_list_for_people() {
        let team = |name: &str, description: &str| Team {
            name: TeamName::new(name).unwrap(),
            description: description.into(),
            created: Timestamp(0),
        };
        let look = Look { width: None, now: Timestamp(3_600_000) };
        let teams = [team("retail", "the shop"), team("ops", "")];
        insta::assert_snapshot!(table(&teams, &look), @r"
        TEAM    AGE  DESCRIPTION
        retail  60m  the shop
        ops     60m  -
        ");
    }
}
