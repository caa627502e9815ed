//! `freehold cert`.

use std::path::PathBuf;
use std::process::ExitCode;

use api::certificate::Certificate;
use api::operation::CertificateRequest;
use api::protocol::SecretValue;
use clap::Subcommand;

use super::authority;
use super::source::Source;
use crate::connect::Session;
use crate::failure::Failure;
use crate::output::{Look, Table};

/// Certificates that the ingress serves, and the cluster's own authority
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// Set a certificate; it is served at once
    Set {
        /// What it is called here
        name: String,
        /// The chain, PEM, the leaf first
        #[arg(long, value_name = "FILE")]
        chain: PathBuf,
        /// The leaf's key, PEM
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// A host name to serve it for; may be repeated [default: those in the certificate]
        #[arg(long = "host", value_name = "NAME")]
        hosts: Vec<String>,
    },
    /// List certificates, without keys
    List,
    /// Delete a certificate
    Delete {
        /// Its name
        name: String,
    },
    #[command(subcommand)]
    Authority(authority::Arguments),
}

pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments {
        Arguments::Authority(arguments) => authority::run(session, &arguments),
        Arguments::Set { name, chain, key, hosts } => {
            let request = CertificateRequest {
                hosts,
                chain_pem: Source::read(&chain)?.text,
                key_pem: SecretValue(Source::read(&key)?.text),
            };
            let set = session.ask(async |client| client.put_certificate(&name, &request).await)?;
            let hosts = set.hosts.join(", ");
            session.changed(&set, &format!("certificate {name} is served for {hosts}"))
        }
        Arguments::List => {
            let list = session.ask(async |client| client.certificates().await)?;
            session.show(&list, |list, look| table(list, look))
        }
        Arguments::Delete { name } => {
            session.ask(async |client| client.delete_certificate(&name).await)?;
            eprintln!("certificate {name} is deleted");
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// How long a certificate is still valid.
fn left(certificate: &Certificate, look: &Look) -> String {
    let days = certificate.not_after.since(look.now).0 / 86_400_000;
    if certificate.not_after <= look.now { "expired".to_owned() } else { format!("{days}d") }
}

fn table(list: &[Certificate], look: &Look) -> String {
    Table::of(&["CERTIFICATE", "HOSTS", "ENDS", "LEFT"], list, |certificate| {
        vec![
            certificate.name.clone(),
            certificate.hosts.join(","),
            certificate.not_after.to_string(),
            left(certificate, look),
        ]
    })
    .render(look.width)
}

#[cfg(test)]
mod tests {
    use api::time::Timestamp;

    use super::*;

    #[test]
    fn certificates_for_people() {
        let certificate = |name: &str, days: i64| Certificate {
            name: name.into(),
            hosts: vec!["a.example".into(), "*.b.example".into()],
            chain_pem: String::new(),
            not_after: Timestamp(days * 86_400_000),
        };
        let look = Look { width: None, now: Timestamp(86_400_000) };
        insta::assert_snapshot!(table(&[certificate("web", 31), certificate("old", 1)], &look), @r"
        CERTIFICATE  HOSTS                  ENDS                      LEFT
        web          a.example,*.b.example  1970-02-01T00:00:00.000Z  30d
        old          a.example,*.b.example  1970-01-02T00:00:00.000Z  expired
        ");
    }
}
