//! `freehold token`.

use std::process::ExitCode;

use api::id::TeamName;
use api::operation::TokenRequest;
use api::token::{Role, Token};
use api::unit::Millis;
use clap::{Subcommand, ValueEnum};

use crate::connect::{Session, print_out};
use crate::failure::Failure;
use crate::output::{Format, Look, Table, age, opt};

/// Tokens let users and machines in
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// List tokens, without their secrets
    List,
    /// Make a token; it is printed once and never again
    Create {
        /// Whose it is, for the record of who did what
        name: String,
        /// What it may do
        #[arg(long, value_enum)]
        role: Word,
        /// The team it is limited to; a developer needs one
        #[arg(long)]
        team: Option<TeamName>,
        /// How long it lives, such as 90d; without it for ever
        #[arg(long, value_name = "DURATION")]
        expires_in: Option<Millis>,
    },
    /// Revoke a token at once
    Revoke {
        /// Its id, as listed
        id: String,
    },
}

/// A role as typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Word {
    /// Sees everything but secrets
    Viewer,
    /// Deploys the apps of one team
    Developer,
    /// Owns environments, hosts and routes
    Operator,
    /// Owns blessing and revocation of images
    Security,
    /// Everything
    Admin,
}

impl From<Word> for Role {
    fn from(word: Word) -> Self {
        match word {
            Word::Viewer => Self::Viewer,
            Word::Developer => Self::Developer,
            Word::Operator => Self::Operator,
            Word::Security => Self::Security,
            Word::Admin => Self::Admin,
        }
    }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Developer => "developer",
        Role::Operator => "operator",
        Role::Security => "security",
        Role::Admin => "admin",
    }
}

pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments {
        Arguments::List => {
            let tokens = session.ask(async |client| client.tokens().await)?;
            session.show(&tokens, |tokens, look| table(tokens, look))
        }
        Arguments::Create { name, role, team, expires_in } => {
            let request = TokenRequest { name, role: role.into(), team, expires_in };
            let answer = session.ask(async |client| client.create_token(&request).await)?;
            if session.format != Format::Table {
                return session.show(&answer, |_, _| String::new());
            }
            eprintln!("token {} of {}; it is not shown again:", answer.token.id, answer.token.name);
            print_out(&format!("{}\n", answer.secret.0))?;
            Ok(ExitCode::SUCCESS)
        }
        Arguments::Revoke { id } => {
            session.ask(async |client| client.revoke_token(&id).await)?;
            eprintln!("token {id} is revoked");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn table(tokens: &[Token], look: &Look) -> String {
    Table::of(&["ID", "NAME", "ROLE", "TEAM", "AGE", "EXPIRES"], tokens, |token| {
        vec![
            token.id.clone(),
            token.name.clone(),
            word(token.role).to_owned(),
            opt(token.team.as_ref()),
            age(look.now, token.created),
            opt(token.expires),
        ]
    })
    .render(look.width)
}

#[cfg(test)]
mod tests {
    use api::time::Timestamp;

    use super::*;

    #[test]
    fn a_list_for_people() {
        let token = Token {
            id: "0011aabb".into(),
            name: "ci".into(),
            role: Role::Developer,
            team: Some(TeamName::new("retail").unwrap()),
            created: Timestamp(0),
            expires: Some(Timestamp(7_776_000_000)),
        };
        let look = Look { width: None, now: Timestamp(0) };
        insta::assert_snapshot!(table(&[token], &look), @r"
        ID        NAME  ROLE       TEAM    AGE  EXPIRES
        0011aabb  ci    developer  retail  0s   1970-04-01T00:00:00.000Z
        ");
    }

    #[test]
    fn every_role_has_the_same_word_here_and_in_the_api() {
        for typed in Word::value_variants() {
            let role = Role::from(*typed);
            let name = typed.to_possible_value().unwrap();
            assert_eq!(name.get_name(), word(role));
            assert_eq!(serde_json::to_value(role).unwrap(), word(role));
        }
    }
}
