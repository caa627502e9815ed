//! `freehold ps`: instances.

use std::process::ExitCode;

use api::id::{AppName, EnvironmentName};
use api::instance::Instance;

use crate::connect::Session;
use crate::failure::Failure;
use crate::output::{Look, Table, age, opt};

/// List instances
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only of this app
    pub app: Option<AppName>,
    /// Only in this environment
    #[arg(long, value_name = "NAME")]
    pub env: Option<EnvironmentName>,
}

pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (app, environment) = (arguments.app.as_ref(), arguments.env.as_ref());
    let list = session.ask(async |client| client.instances(app, environment).await)?;
    session.show(&list, |list, look| instances(list, look))
}

/// Instances as a table.
pub(super) fn instances(list: &[Instance], look: &Look) -> String {
    let headings = [
        "APP",
        "ENVIRONMENT",
        "RELEASE",
        "INSTANCE",
        "HOST",
        "STATE",
        "SINCE",
        "ADDRESS",
        "RESTARTS",
        "LAST EXIT",
    ];
    Table::of(&headings, list, |instance| {
        vec![
            instance.app.to_string(),
            instance.environment.to_string(),
            instance.release.to_string(),
            instance.instance.to_string(),
            instance.host.to_string(),
            instance.state.clone(),
            opt(instance.since.map(|since| age(look.now, since))),
            instance.address.to_string(),
            instance.restarts.to_string(),
            opt(instance.exit_cause.as_ref()),
        ]
    })
    .spare(&["ADDRESS", "SINCE", "HOST", "LAST EXIT", "RESTARTS"])
    .render(look.width)
}

#[cfg(test)]
pub(super) mod tests {
    use api::id::{HostId, InstanceId, ReleaseNumber};
    use api::time::Timestamp;

    use super::*;

    pub(in crate::command) fn instance(number: u64, state: &str) -> Instance {
        let app = AppName::new("shop").unwrap();
        let environment = EnvironmentName::new("staging").unwrap();
        serde_json::from_value(serde_json::json!({
            "app": app,
            "environment": environment,
            "release": ReleaseNumber(3),
            "instance": InstanceId::compose(&app, &environment, number),
            "host": HostId::new("web1").unwrap(),
            "domain": "",
            "state": state,
            "address": "10.128.0.2",
            "restarts": 2,
            "pid": 4711,
            "exit_cause": "out of memory",
            "since": Timestamp(0),
            "message": "waits 4s for its next start",
        }))
        .unwrap()
    }

    #[test]
    fn instances_for_people() {
        let list = [instance(1, "healthy"), instance(2, "waiting")];
        let look = Look { width: None, now: Timestamp(61_000) };
        insta::assert_snapshot!("wide", instances(&list, &look));
        insta::assert_snapshot!("narrow", instances(&list, &Look { width: Some(80), ..look }));
    }

    #[test]
    fn a_row_for_programs_has_the_promised_fields() {
        let row = serde_json::to_value(instance(1, "healthy")).unwrap();
        for field in [
            "app",
            "environment",
            "release",
            "instance",
            "host",
            "domain",
            "state",
            "address",
            "restarts",
            "pid",
            "exit_cause",
        ] {
            assert!(row.get(field).is_some(), "{field}");
        }
    }
}
