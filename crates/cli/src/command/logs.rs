//! `freehold logs`.

use std::process::ExitCode;

use api::id::{AppName, EnvironmentName, InstanceId};
use api::operation::LogQuery;
use api::protocol::LogLine;

use crate::connect::{Session, print_out};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Format;

/// Show what instances write, live and after their death
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The app
    pub app: AppName,
    /// Only in this environment
    #[arg(long, value_name = "NAME")]
    pub env: Option<EnvironmentName>,
    /// Only of this instance, also when it is gone
    #[arg(long, value_name = "ID")]
    pub instance: Option<InstanceId>,
    /// The last lines of each instance
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub tail: u32,
    /// Go on with new lines
    #[arg(long, short)]
    pub follow: bool,
}

pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { app, env, instance, tail, follow } = arguments;
    let alone = instance.is_some();
    let query = LogQuery { environment: env, instance, tail: Some(tail), follow };
    let format = session.format;
    session.ask(async |client| {
        let mut stream = client.logs(&app, &query).await?;
        loop {
            let line = tokio::select! {
                // A line that was not taken is lost with the process, as are all after it.
                line = stream.next() => line?,
                _ = tokio::signal::ctrl_c() => {
                    return Ok(ExitCode::from(Exit::Interrupted.code()));
                }
            };
            match line {
                Some(line) => print_out(&render(&line, format, alone))?,
                None => return Ok::<_, Failure>(ExitCode::SUCCESS),
            }
        }
    })
}

/// A line: for people with the instance in front where there are several; JSON as NDJSON, YAML as a
/// stream of documents, since a list would have no end.
fn render(line: &LogLine, format: Format, alone: bool) -> String {
    match format {
        Format::Json => serde_json::to_string(line).unwrap_or_default() + "\n",
        Format::Yaml => {
            format!("---\n{}", serde_saphyr::to_string(line).unwrap_or_default())
        }
        Format::Table => {
            let cut = if line.partial { "…" } else { "" };
            // What an app writes must not steer the reader's terminal.
            let text = line.text.replace(|c: char| c.is_control() && c != '\t', "\u{fffd}");
            let who = if alone { String::new() } else { format!("{} ", line.instance) };
            format!("{} {who}{text}{cut}\n", line.at)
        }
    }
}

#[cfg(test)]
mod tests {
    use api::time::Timestamp;

    use super::*;

    #[test]
    fn lines_for_people_and_for_programs() {
        let line = LogLine {
            instance: InstanceId::new("shop-staging-00000001").unwrap(),
            at: Timestamp(0),
            sequence: 7,
            stderr: true,
            text: "red \u{1b}[31m\tend".into(),
            partial: true,
        };
        assert_eq!(
            render(&line, Format::Table, false),
            "1970-01-01T00:00:00.000Z shop-staging-00000001 red \u{fffd}[31m\tend…\n"
        );
        assert!(!render(&line, Format::Table, true).contains("shop"));
        let json = render(&line, Format::Json, false);
        assert_eq!(json.lines().count(), 1);
        assert_eq!(serde_json::from_str::<LogLine>(&json).unwrap(), line);
        assert!(render(&line, Format::Yaml, false).starts_with("---\ninstance: "));
    }
}
