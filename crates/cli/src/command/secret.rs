//! `freehold secret`. Values come from a file, standard input or a terminal that does not show
//! them; never from the command line, which everybody on the machine can read.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use api::id::{EnvironmentName, SecretName, TeamName};
use api::operation::SecretRequest;
use api::protocol::SecretValue;
use api::secret::Secret;
use clap::Subcommand;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::connect::Session;
use crate::failure::Failure;
use crate::output::{Look, Table, age};

/// The longest value, in bytes (the servers' own limit).
const MAX_BYTES: u64 = pki::MAX_SECRET_BYTES as u64;

/// Secrets: values that apps get in their environment
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// Set a secret; its value is read from standard input
    Set {
        /// Its name
        name: SecretName,
        /// The team it belongs to
        #[arg(long)]
        team: TeamName,
        /// The environment it is for
        #[arg(long)]
        env: EnvironmentName,
        /// Read the value from this file, as it is
        #[arg(long, value_name = "FILE")]
        from_file: Option<PathBuf>,
    },
    /// List secrets, without their values
    List,
    /// Delete a secret
    Delete {
        /// Its name
        name: SecretName,
        /// The team it belongs to
        #[arg(long)]
        team: TeamName,
        /// The environment it is for
        #[arg(long)]
        env: EnvironmentName,
    },
}

pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments {
        Arguments::Set { name, team, env, from_file } => {
            let request = SecretRequest { value: SecretValue(value(from_file)?) };
            let set = session
                .ask(async |client| client.put_secret(&team, &env, &name, &request).await)?;
            let told = format!("secret {name} of {team} in {env} has version {}", set.version);
            session.changed(&set, &told)
        }
        Arguments::List => {
            let secrets = session.ask(async |client| client.secrets().await)?;
            session.show(&secrets, |secrets, look| table(secrets, look))
        }
        Arguments::Delete { name, team, env } => {
            session.ask(async |client| client.delete_secret(&team, &env, &name).await)?;
            eprintln!("secret {name} of {team} in {env} is deleted");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn value(from_file: Option<PathBuf>) -> Result<String, Failure> {
    if let Some(path) = from_file {
        let doing = format!("read the secret from {}", path.display());
        let file = std::fs::File::open(&path);
        let file = file.map_err(|e| Failure::invalid(&*doing).because(e.to_string()))?;
        return bounded(file, &doing);
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return prompt();
    }
    let text = bounded(stdin.lock(), "read the secret from standard input")?;
    // What `echo` adds is not meant.
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

fn bounded(input: impl Read, doing: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = input.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|e| Failure::invalid(doing).because(e.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::invalid(format!("{doing}: it is longer than {MAX_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| {
        Failure::invalid(format!("{doing}: it is not UTF-8 text"))
            .hint("encode it, for instance with base64")
    })
}

/// Asks on the terminal without showing what is typed.
fn prompt() -> Result<String, Failure> {
    let failed = |e: std::io::Error| Failure::io("read the secret from the terminal", &e);
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).map_err(|e| failed(e.into()))?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    eprint!("value: ");
    tcsetattr(&stdin, OptionalActions::Flush, &hidden).map_err(|e| failed(e.into()))?;
    let mut line = String::new();
    let read = stdin.read_line(&mut line);
    tcsetattr(&stdin, OptionalActions::Flush, &before).map_err(|e| failed(e.into()))?;
    eprintln!();
    read.map_err(failed)?;
    Ok(line.trim_end_matches('\n').to_owned())
}

fn table(secrets: &[Secret], look: &Look) -> String {
    Table::of(&["TEAM", "ENVIRONMENT", "SECRET", "VERSION", "AGE"], secrets, |secret| {
        vec![
            secret.team.to_string(),
            secret.environment.to_string(),
            secret.name.to_string(),
            secret.version.to_string(),
            age(look.now, secret.updated),
        ]
    })
    .render(look.width)
}

#[cfg(test)]
mod tests {
    use api::time::Timestamp;

    use super::*;

    #[test]
    fn files_are_taken_as_they_are_within_limits() {
        assert_eq!(bounded("a\n".as_bytes(), "x").unwrap(), "a\n");
        assert!(bounded(&[0xff_u8][..], "x").unwrap_err().message.contains("UTF-8"));
        let long = vec![b'a'; pki::MAX_SECRET_BYTES + 1];
        assert!(bounded(&long[..], "x").is_err());
    }

    #[test]
    fn secrets_for_people() {
        let secret = Secret {
            team: TeamName::new("retail").unwrap(),
            environment: EnvironmentName::new("staging").unwrap(),
            name: SecretName::new("database-password").unwrap(),
            version: 2,
            updated: Timestamp(0),
        };
        let look = Look { width: None, now: Timestamp(0) };
        insta::assert_snapshot!(table(&[secret], &look), @r"
        TEAM    ENVIRONMENT  SECRET             VERSION  AGE
        retail  staging      database-password  2        0s
        ");
    }
}
