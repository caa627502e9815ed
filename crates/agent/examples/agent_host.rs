//! An agent with its hidden roles, for tests: `agent CONFIGURATION`, `shim …`, `proxy --control
//! PATH`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use agent::ingress::GatewayOptions;
use agent::{DomainCommand, Options};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let role = args.next().and_then(|role| role.into_string().ok());
    match role.as_deref() {
        Some("shim") => agent::shim::main(args),
        Some("proxy") => run_proxy(args),
        Some("agent") => run_agent(args),
        _ => {
            eprintln!("usage: agent_host agent FILE | shim --bundle DIR | proxy --control PATH");
            ExitCode::from(2)
        }
    }
}

fn run_proxy(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    pki::install_provider();
    let (Some(_), Some(control)) = (args.next(), args.next()) else { return ExitCode::from(2) };
    match proxy::run(&proxy::Options::new(PathBuf::from(control))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn run_agent(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    pki::install_provider();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let Some(file) = args.next() else { return ExitCode::from(2) };
    let options = match read(Path::new(&file)) {
        Ok(options) => options,
        Err(error) => return fail(&*error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let result = runtime.block_on(async {
        let mut term = signal(SignalKind::terminate()).expect("SIGTERM can be handled");
        agent::run(options, async move {
            term.recv().await;
        })
        .await
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn read(file: &Path) -> Result<Options, Box<dyn std::error::Error>> {
    let value: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let list = |key: &str| -> Vec<String> {
        let items = value[key].as_array().cloned().unwrap_or_default();
        items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let address = |key: &str| value[key].as_str().map(str::parse).transpose();
    Ok(Options {
        clock: clock::Clock::system(),
        data_dir: text("data_dir").into(),
        run_dir: text("run_dir").into(),
        slug: text("slug").parse()?,
        host: text("host").parse()?,
        servers: list("servers"),
        authorities: text("authorities").into(),
        certificate: text("certificate").into(),
        key: text("key").into(),
        subnet: text("subnet").parse()?,
        domain: None,
        domain_command: value["domain_command"].as_str().map(|command| DomainCommand {
            command: command.to_owned(),
            every: std::time::Duration::from_millis(100),
            within: DomainCommand::WITHIN,
        }),
        address: None,
        overlay: net::overlay::Mode::Auto,
        overlay_port: net::overlay::TUNNEL_PORT,
        vip_port: agent::vip::PORT,
        cluster: text("cluster").parse()?,
        services: text("services").parse()?,
        http: address("http")?,
        https: address("https")?,
        ingress: true,
        gateway: GatewayOptions { port: 7443, address: None },
        exe: std::env::current_exe()?,
        shim_args: vec!["shim".into()],
        proxy_args: vec!["proxy".into()],
        ephemeral: value["ephemeral"].as_bool().unwrap_or(false),
        probe: address("probe")?,
        capacity: None,
    })
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    eprintln!("error: {text}");
    ExitCode::FAILURE
}
