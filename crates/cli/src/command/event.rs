//! `freehold event`.

use std::process::ExitCode;

use api::event::Event;
use api::id::AppName;
use api::time::Timestamp;
use api::unit::Millis;
use clap::Subcommand;
use client::EventQuery;

use crate::connect::Session;
use crate::failure::Failure;
use crate::output::{Look, Table, age, dash};

/// Events: what the platform did and why
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// List events, the oldest first
    List {
        /// Only those about this app
        app: Option<AppName>,
        /// Only the newest
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: u32,
        /// Only those of the last time, such as 10m
        #[arg(long, value_name = "DURATION")]
        since: Option<Millis>,
    },
}

pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments::List { app, limit, since } = arguments;
    let now = session.terminal.look().now;
    let since = since.map(|span| earlier(now, span));
    let query = EventQuery { app, limit: Some(limit), since };
    let events = session.ask(async |client| client.events(&query).await)?;
    session.show(&events, |events, look| table(events, look))
}

fn earlier(now: Timestamp, span: Millis) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::try_from(span.0).unwrap_or(i64::MAX)))
}

/// What an event is about, the most exact first.
fn subject(event: &Event) -> String {
    let instance = event.instance.as_ref().map(ToString::to_string);
    let app = event.app.as_ref().map(|app| {
        let release = event.release.map(|release| format!("@{release}")).unwrap_or_default();
        let environment = event.environment.as_ref().map(|known| format!(" in {known}"));
        format!("{app}{release}{}", environment.unwrap_or_default())
    });
    let host = event.host.as_ref().map(ToString::to_string);
    dash(instance.or(app).or(host).unwrap_or_default())
}

fn table(events: &[Event], look: &Look) -> String {
    Table::of(&["AGE", "EVENT", "ABOUT", "MESSAGE"], events, |event| {
        let (at, kind) = (age(look.now, event.at), event.kind.clone());
        vec![at, kind, subject(event), event.message.clone()]
    })
    .render(look.width)
}

#[cfg(test)]
mod tests {
    use api::id::{EnvironmentName, InstanceId, ReleaseNumber};

    use super::*;

    #[test]
    fn events_for_people() {
        let event = Event {
            at: Timestamp(0),
            kind: "deployment.rolled_back".into(),
            app: Some(AppName::new("shop").unwrap()),
            environment: Some(EnvironmentName::new("staging").unwrap()),
            release: Some(ReleaseNumber(3)),
            instance: None,
            host: None,
            message: "shop@3 was not healthy within 1m".into(),
        };
        let died = Event {
            kind: "instance.died".into(),
            instance: Some(InstanceId::new("shop-staging-00000001").unwrap()),
            message: "out of memory".into(),
            ..event.clone()
        };
        let look = Look { width: None, now: earlier(Timestamp(70_000), Millis(10_000)) };
        insta::assert_snapshot!(table(&[event, died], &look), @r"
        AGE  EVENT                   ABOUT                  MESSAGE
        60s  deployment.rolled_back  shop@3 in staging      shop@3 was not healthy within 1m
        60s  instance.died           shop-staging-00000001  out of memory
        ");
    }
}
