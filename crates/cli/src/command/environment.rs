//! `freehold env`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use api::environment::Environment;
use api::id::EnvironmentName;
use api::operation::EnvironmentRequest;
use clap::Subcommand;
use serde::Deserialize;

use super::source::Source;
use crate::connect::Session;
use crate::failure::Failure;
use crate::output::{Look, Table, age, dash, fields};

/// Environments: the stages of the pipeline
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// List environments in the order of the pipeline
    List,
    /// Show an environment
    Show {
        /// Its name
        name: EnvironmentName,
    },
    /// Make or change the environments of a TOML file
    ///
    /// The file has a table for each: [production] with order = 2 (its place in the pipeline) and
    /// host_labels = { disk = "ssd" } (what a host must carry for its instances).
    Apply {
        /// The file; - is standard input
        file: PathBuf,
    },
    /// Delete an environment in which nothing runs
    Delete {
        /// Its name
        name: EnvironmentName,
    },
}

/// One environment as written in a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    order: u32,
    #[serde(default)]
    host_labels: BTreeMap<String, String>,
}

pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments {
        Arguments::List => {
            let list = session.ask(async |client| client.environments().await)?;
            session.show(&list, |list, look| table(list, look))
        }
        Arguments::Show { name } => {
            let environment = session.ask(async |client| client.environment(&name).await)?;
            session.show(&environment, one)
        }
        Arguments::Apply { file } => {
            let requests = parse(&Source::read(&file)?)?;
            let applied = session.ask(async |client| {
                let mut applied = Vec::new();
                for (name, request) in &requests {
                    applied.push(client.put_environment(name, request).await?);
                }
                Ok::<_, client::ClientError>(applied)
            })?;
            let names: Vec<String> = applied.iter().map(|known| known.name.to_string()).collect();
            session.changed(&applied, &format!("applied {}", names.join(", ")))
        }
        Arguments::Delete { name } => {
            session.ask(async |client| client.delete_environment(&name).await)?;
            eprintln!("environment {name} is deleted");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn parse(source: &Source) -> Result<Vec<(EnvironmentName, EnvironmentRequest)>, Failure> {
    let written: BTreeMap<String, Written> = toml::from_str(&source.text).map_err(|error| {
        Failure::invalid(format!("read {}", source.name))
            .because(error.to_string())
            .hint("write a table for each environment: [staging] with order = 1")
    })?;
    let request = |(name, written): (String, Written)| {
        let request = EnvironmentRequest { order: written.order, host_labels: written.host_labels };
        Ok((EnvironmentName::new(name)?, request))
    };
    written.into_iter().map(request).collect()
}

fn labels(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    dash(pairs.join(","))
}

fn table(list: &[Environment], look: &Look) -> String {
    Table::of(&["ENVIRONMENT", "ORDER", "HOST LABELS", "AGE"], list, |environment| {
        vec![
            environment.name.to_string(),
            environment.order.to_string(),
            labels(&environment.host_labels),
            age(look.now, environment.created),
        ]
    })
    .render(look.width)
}

fn one(environment: &Environment, _: &Look) -> String {
    fields(&[
        ("environment", environment.name.to_string()),
        ("order", environment.order.to_string()),
        ("host labels", labels(&environment.host_labels)),
        ("created", environment.created.to_string()),
    ])
}

#[cfg(test)]
mod tests {
    use api::time::Timestamp;

    use super::*;

    #[test]
    fn files_are_read_and_mistakes_are_named() {
        let read = |text: &str| parse(&Source { name: "f.toml".into(), text: text.into() });
        let good =
            read("[staging]\norder = 1\n[production]\norder = 2\nhost_labels = {a = \"b\"}\n");
        let good = good.unwrap();
        assert_eq!(good.len(), 2);
        assert_eq!(good[0].1.host_labels["a"], "b");
        for bad in ["[staging]\n", "[staging]\norder = 1\ncolour = 2\n", "[Staging]\norder = 1\n"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn environments_for_people() {
        let environment = Environment {
            name: EnvironmentName::new("staging").unwrap(),
            order: 1,
            host_labels: BTreeMap::from([("disk".into(), "ssd".into())]),
            created: Timestamp(0),
        };
        let look = Look { width: None, now: Timestamp(0) };
        insta::assert_snapshot!(table(&[environment], &look), @r"
        ENVIRONMENT  ORDER  HOST LABELS  AGE
        staging      1      disk=ssd     0s
        ");
    }
}
