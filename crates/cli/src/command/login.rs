//! `freehold login`: keeps how to reach a cluster in the configuration file.

use std::path::PathBuf;
use std::process::ExitCode;

use client::Client;

use super::source::Source;
use crate::connect::{Config, Context, Session, config_path, run_async};
use crate::failure::Failure;

/// Keep how to reach a cluster
///
/// The token and the authorities are copied into the configuration file,
/// ~/.config/freehold/config.toml or FREEHOLD_CONFIG, which only its owner can read. The cluster
/// is asked whether they are good.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The servers' addresses, HOST:PORT, joined by commas
    pub address: String,
    /// A file with the token; - is standard input
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,
    /// The cluster's authorities, PEM [default: the machine's own]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// What the context is called [default: the cluster's name]
    #[arg(long, value_name = "CONTEXT")]
    pub name: Option<String>,
}

pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let path = config_path(|name| std::env::var(name).ok())
        .ok_or_else(|| Failure::invalid("find the configuration file: HOME is not set"))?;
    let mut config = Config::load(&path)?;
    let addresses = arguments.address.split(',').map(str::trim).filter(|text| !text.is_empty());
    let context = Context {
        api: addresses.map(str::to_owned).collect(),
        token: Some(Source::read(&arguments.token_file)?.text.trim().to_owned()),
        token_file: None,
        ca_pem: arguments.ca.as_ref().map(|path| Source::read(path)).transpose()?.map(|ca| ca.text),
        ca: None,
    };
    let client = Client::new(&client::Config {
        addresses: context.api.clone(),
        token: context.token.clone().map(api::protocol::SecretValue),
        ca_pem: context.ca_pem.clone(),
    })?;
    let (version, caller) =
        run_async(async { Ok((client.version().await?, client.whoami().await?)) })?;
    let name = arguments.name.clone().unwrap_or_else(|| version.cluster.clone());
    config.contexts.insert(name.clone(), context);
    config.current = Some(name.clone());
    config.save(&path)?;
    let told = format!("{} on cluster {}, kept as context {name}", caller.name, version.cluster);
    session.changed(&caller, &told)
}
