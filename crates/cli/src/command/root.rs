//! The root of the command line: all commands, and the options that all of them have.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::{
    app, backup, cert, check, completions, deploy, environment, event, generate, host, image, lab,
    login, logs, net, promote, ps, registry, release, restore, rollback, route, safe_mode, secret,
    server, status, store, team, token, version,
};
use crate::connect::{Session, print_out};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, Terminal};
use crate::role;

/// A private PaaS: container images through staging to production, on your own hosts
#[derive(Debug, Parser)]
#[command(
    name = "freehold",
    version,
    disable_help_subcommand = false,
    max_term_width = 100,
    after_help = "The exit codes: freehold help exit-codes"
)]
pub(crate) struct Cli {
    /// How answers are written
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
    /// The context of the configuration file to use
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "FREEHOLD_CONTEXT",
        hide_env_values = true
    )]
    pub context: Option<String>,
    #[command(subcommand)]
    pub command: Command,
}

/// All commands, in the order of a beginner's needs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(Box<role::up::Arguments>),
    Login(login::Arguments),
    Check(check::Arguments),
    Deploy(Box<deploy::Arguments>),
    Promote(promote::Arguments),
    Rollback(rollback::Arguments),
    Status(status::Arguments),
    Ps(ps::Arguments),
    Logs(logs::Arguments),
    #[command(subcommand)]
    Image(Box<image::Arguments>),
    #[command(subcommand)]
    App(app::Arguments),
    #[command(subcommand)]
    Release(release::Arguments),
    #[command(subcommand)]
    Env(environment::Arguments),
    #[command(subcommand)]
    Route(route::Arguments),
    #[command(subcommand)]
    Secret(secret::Arguments),
    #[command(subcommand)]
    Cert(cert::Arguments),
    #[command(subcommand)]
    Team(team::Arguments),
    #[command(subcommand)]
    Token(token::Arguments),
    #[command(subcommand)]
    Host(host::Arguments),
    #[command(subcommand)]
    Registry(registry::Arguments),
    #[command(subcommand)]
    Event(event::Arguments),
    Backup(backup::Arguments),
    Restore(restore::Arguments),
    #[command(subcommand)]
    Store(store::Arguments),
    #[command(subcommand)]
    Lab(Box<lab::Arguments>),
    #[command(subcommand)]
    Net(net::Arguments),
    SafeMode(safe_mode::Arguments),
    Server(Box<server::Arguments>),
    Agent(Box<role::agent::Arguments>),
    #[command(hide = true)]
    Proxy(role::proxy::Arguments),
    #[command(flatten)]
    Hidden(lab::Hidden),
    Completions(completions::Arguments),
    Version(version::Arguments),
    /// List the exit codes
    #[command(long_about = exit_codes())]
    ExitCodes,
    #[command(subcommand, hide = true)]
    Gen(generate::Arguments),
}

fn exit_codes() -> String {
    format!("The exit codes:\n\n{}", Exit::table())
}

/// Does what was typed.
pub(crate) fn dispatch(cli: Cli, terminal: Terminal) -> Result<ExitCode, Failure> {
    let session = Session { format: cli.output, context: cli.context, terminal };
    match cli.command {
        Command::Up(arguments) => role::up::run(&arguments),
        Command::Server(arguments) => server::run(&session, *arguments),
        Command::SafeMode(arguments) => safe_mode::run(&session, &arguments),
        Command::Net(arguments) => net::run(&session, &arguments),
        Command::Agent(arguments) => role::agent::run(*arguments),
        Command::Proxy(arguments) => role::proxy::run(arguments),
        Command::Login(arguments) => login::run(&session, &arguments),
        Command::Check(arguments) => check::run(&session, &arguments),
        Command::Deploy(arguments) => deploy::run(&session, &arguments),
        Command::Promote(arguments) => promote::run(&session, arguments),
        Command::Rollback(arguments) => rollback::run(&session, arguments),
        Command::Status(arguments) => status::run(&session, &arguments),
        Command::Ps(arguments) => ps::run(&session, &arguments),
        Command::Logs(arguments) => logs::run(&session, arguments),
        Command::Image(arguments) => image::run(&session, *arguments),
        Command::App(arguments) => app::run(&session, arguments),
        Command::Release(arguments) => release::run(&session, arguments),
        Command::Env(arguments) => environment::run(&session, arguments),
        Command::Route(arguments) => route::run(&session, arguments),
        Command::Secret(arguments) => secret::run(&session, arguments),
        Command::Cert(arguments) => cert::run(&session, arguments),
        Command::Team(arguments) => team::run(&session, arguments),
        Command::Token(arguments) => token::run(&session, arguments),
        Command::Host(arguments) => host::run(&session, arguments),
        Command::Registry(arguments) => registry::run(&session, arguments),
        Command::Event(arguments) => event::run(&session, arguments),
        Command::Backup(arguments) => backup::run(&session, &arguments),
        Command::Restore(arguments) => restore::run(&session, &arguments),
        Command::Store(arguments) => store::run(&session, &arguments),
        Command::Lab(arguments) => lab::run(&session, *arguments),
        Command::Hidden(arguments) => lab::run_hidden(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Version(arguments) => version::run(&session, &arguments),
        Command::Gen(arguments) => generate::run(&arguments),
        Command::ExitCodes => {
            print_out(&Exit::table())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
