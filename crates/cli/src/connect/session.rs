//! What a command works with: how to show things and, once it asks for it, a client of the cluster.

use std::future::Future;
use std::process::ExitCode;

use client::Client;
use serde::Serialize;

use super::{Config, Target, authorities, config_path};
use crate::failure::Failure;
use crate::output::{Format, Look, Terminal, render};

/// One invocation.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// How answers are written.
    pub format: Format,
    /// The context asked for.
    pub context: Option<String>,
    /// Where output goes.
    pub terminal: Terminal,
}

/// An environment variable that is text.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Runs async work on this thread: a command has one thing to do.
pub(crate) fn run_async<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::io("start the runtime", &e))?;
    runtime.block_on(work)
}

impl Session {
    /// Where the cluster is.
    pub(crate) fn target(&self) -> Result<Target, Failure> {
        let config = match config_path(variable) {
            Some(path) => Config::load(&path)?,
            None => Config::default(),
        };
        Target::choose(self.context.as_deref(), variable, &config)
    }

    /// A client of the cluster.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(&self.target()?.read()?)?)
    }

    /// Asks the cluster something.
    pub(crate) fn ask<T, E: Into<Failure>>(
        &self,
        question: impl AsyncFnOnce(&Client) -> Result<T, E>,
    ) -> Result<T, Failure> {
        let client = self.client()?;
        run_async(async {
            let answer = question(&client).await.map_err(Into::into)?;
            self.keep_authorities(&client).await;
            Ok(answer)
        })
    }

    /// Keeps the cluster's authorities in the context as they are now. The answer was good, so
    /// whatever goes wrong here is only told.
    async fn keep_authorities(&self, client: &Client) {
        let (Some(path), Some(seen)) = (config_path(variable), client.authorities_seen()) else {
            return;
        };
        let Some(ca) = self.target().ok().and_then(|target| target.ca) else { return };
        if let Err(failure) = authorities::keep(client, &path, &ca, &seen).await {
            eprintln!("warning: {}", failure.message);
            eprintln!("hint: the cluster's authorities have changed; freehold cert authority show");
        }
    }

    /// Shows an answer on standard output.
    pub(crate) fn show<T: Serialize>(
        &self,
        answer: &T,
        table: impl FnOnce(&T, &Look) -> String,
    ) -> Result<ExitCode, Failure> {
        let look = self.terminal.look();
        let text = render(self.format, answer, || table(answer, &look))?;
        print_out(&text)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Shows what was changed: a sentence for people, the object for programs.
    pub(crate) fn changed<T: Serialize>(
        &self,
        answer: &T,
        sentence: &str,
    ) -> Result<ExitCode, Failure> {
        if self.format == Format::Table {
            eprintln!("{sentence}");
            return Ok(ExitCode::SUCCESS);
        }
        self.show(answer, |_, _| String::new())
    }
}

/// Writes to standard output; a reader that left early is no error.
pub(crate) fn print_out(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::io("write to standard output", &e))
        }
        _ => Ok(()),
    }
}
