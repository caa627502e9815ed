//! `freehold host token`: lets machines in.

use std::process::ExitCode;

use api::join::{JoinRole, JoinToken, JoinTokenRequest};
use api::unit::Millis;
use clap::Subcommand;

use crate::connect::{Session, print_out};
use crate::failure::Failure;
use crate::output::{Format, Look, Table, age, opt};

/// A join token is made, unless something else is asked for.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    make: Make,
}

/// What else can be done with join tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// List join tokens, without their secrets
    List,
    /// Revoke a join token at once; who joined with it stays
    Revoke {
        /// Its id, as listed
        id: String,
    },
}

/// What the token is for.
#[derive(Debug, clap::Args)]
pub(crate) struct Make {
    /// How long it is good for, a week at most [default: 1h]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<Millis>,
    /// Let a server in, which gets the cluster's keys
    #[arg(long)]
    server: bool,
    /// Let the machine take the place of the host or server with this name
    #[arg(long, value_name = "NAME")]
    replace: Option<String>,
}

pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments.action {
        None => make(session, arguments.make),
        Some(Action::List) => {
            let tokens = session.ask(async |client| client.join_tokens().await)?;
            session.show(&tokens, |tokens, look| table(tokens, look))
        }
        Some(Action::Revoke { id }) => {
            session.ask(async |client| client.revoke_join_token(&id).await)?;
            eprintln!("join token {id} is revoked");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn make(session: &Session, make: Make) -> Result<ExitCode, Failure> {
    let role = if make.server { JoinRole::Server } else { JoinRole::Host };
    let request = JoinTokenRequest { role, expires_in: make.ttl, replaces: make.replace };
    let answer = session.ask(async |client| client.create_join_token(&request).await)?;
    if session.format != Format::Table {
        return session.show(&answer, |_, _| String::new());
    }
    let token = &answer.token;
    eprintln!("good once, until {}; it is not shown again:", token.expires);
    print_out(&format!("{}\n", answer.secret.0))?;
    Ok(ExitCode::SUCCESS)
}

fn table(tokens: &[JoinToken], look: &Look) -> String {
    Table::of(&["ID", "FOR", "REPLACES", "AGE", "EXPIRES", "USED BY"], tokens, |token| {
        let role = match token.role {
            JoinRole::Host => "host",
            JoinRole::Server => "server",
        };
        vec![
            token.id.clone(),
            role.to_owned(),
            opt(token.replaces.as_ref()),
            age(look.now, token.created),
            token.expires.to_string(),
            opt(token.used.as_ref().map(|used| &used.name)),
        ]
    })
    .render(look.width)
}

#[cfg(test)]
mod tests {
    use api::join::JoinTokenUse;
    use api::time::Timestamp;

    use super::*;

    #[test]
    fn a_list_for_people() {
        let token = JoinToken {
            id: "0011aabb".into(),
            role: JoinRole::Host,
            replaces: None,
            created: Timestamp(0),
            expires: Timestamp(3_600_000),
            used: Some(JoinTokenUse { name: "h1".into(), key: "k".into(), at: Timestamp(0) }),
        };
        let look = Look { width: None, now: Timestamp(60_000) };
        insta::assert_snapshot!(table(&[token], &look), @r"
        ID        FOR   REPLACES  AGE  EXPIRES                   USED BY
        0011aabb  host  -         60s  1970-01-01T01:00:00.000Z  h1
        ");
    }
}
