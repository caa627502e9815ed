//! `freehold registry`: image registries off the cluster.

use std::path::PathBuf;
use std::process::ExitCode;

use api::protocol::SecretValue;
use api::registry::Registry;
use clap::Subcommand;

use super::source::Source;
use crate::connect::Session;
use crate::failure::Failure;
use crate::output::{Look, Table, opt};

/// Image registries off the cluster
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// Say how to reach a registry; a registry that is known is changed
    Add {
        /// Its host[:port] as it stands in image references
        host: String,
        /// The user to log in as
        #[arg(long, value_name = "USER", requires = "password_file")]
        username: Option<String>,
        /// A file with the password or token; - is standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// Certificates to trust beside the hosts' own, PEM
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// An HTTP proxy to go through, such as http://proxy.example:3128
        #[arg(long, value_name = "URL")]
        proxy: Option<String>,
        /// Speak plain HTTP
        #[arg(long)]
        plain_http: bool,
    },
    /// List registries, without passwords
    List,
    /// Forget a registry
    Remove {
        /// Its host[:port]
        host: String,
    },
}

pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments {
        Arguments::Add { host, username, password_file, ca, proxy, plain_http } => {
            let read = |path: Option<PathBuf>| {
                path.map(|path| Source::read(&path).map(|source| source.text)).transpose()
            };
            let password = read(password_file)?.map(|text| SecretValue(text.trim_end().to_owned()));
            let ca_pem = read(ca)?;
            let registry = Registry { host, username, password, ca_pem, proxy, plain_http };
            let added = session.ask(async |client| client.put_registry(&registry).await)?;
            session.changed(&added, &format!("registry {} is known", added.host))
        }
        Arguments::List => {
            let list = session.ask(async |client| client.registries().await)?;
            session.show(&list, |list, look| table(list, look))
        }
        Arguments::Remove { host } => {
            session.ask(async |client| client.delete_registry(&host).await)?;
            eprintln!("registry {host} is forgotten");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn table(list: &[Registry], look: &Look) -> String {
    let word = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    Table::of(&["REGISTRY", "USER", "OWN CA", "PROXY", "PLAIN HTTP"], list, |registry| {
        vec![
            registry.host.clone(),
            opt(registry.username.as_ref()),
            word(registry.ca_pem.is_some()),
            opt(registry.proxy.as_ref()),
            word(registry.plain_http),
        ]
    })
    .render(look.width)
}

#[cfg(test)]
mod tests {
    use api::time::Timestamp;

    use super::*;

    #[test]
    fn registries_for_people() {
        let registry = Registry {
            host: "registry.example:5000".into(),
            username: Some("ci".into()),
            password: None,
            ca_pem: Some("x".into()),
            proxy: None,
            plain_http: false,
        };
        let look = Look { width: None, now: Timestamp(0) };
        insta::assert_snapshot!(table(&[registry], &look), @r"
        REGISTRY               USER  OWN CA  PROXY  PLAIN HTTP
        registry.example:5000  ci    yes     -      no
        ");
    }
}
