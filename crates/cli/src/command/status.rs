//! `freehold status`: how apps are, and why.

use std::process::ExitCode;

use api::deployment::Phase;
use api::id::{AppName, HostId};
use api::operation::{AppStatus, ControllerView};

use super::ps::instances;
use crate::connect::Session;
use crate::failure::Failure;
use crate::output::{Look, Table, age, dash, fields, opt};

/// Show how apps are
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only this app, with its instances
    pub app: Option<AppName>,
    /// Say what keeps an app from its goal
    #[arg(long)]
    pub why: bool,
    /// Show the servers' controllers instead
    #[arg(long, conflicts_with_all = ["app", "why"])]
    pub controllers: bool,
}

pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.controllers {
        let list = session.ask(async |client| client.controllers().await)?;
        return session.show(&list, |list, look| controllers(list, look));
    }
    let (all, mode) = session.ask(async |client| {
        let mode = client.safe_mode().await?;
        let apps = match &arguments.app {
            Some(app) => vec![app.clone()],
            None => client.apps().await?.into_iter().map(|app| app.name).collect(),
        };
        let mut all = Vec::new();
        for app in apps {
            match client.status(&app).await {
                Ok(status) => all.extend(status),
                // Deleted since it was listed.
                Err(error) if arguments.app.is_none() && is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok::<_, client::ClientError>((all, mode))
    })?;
    if let Some(notice) = super::safe_mode::notice(&mode) {
        eprint!("{notice}");
    }
    session.show(&all, |all, look| match arguments.app {
        Some(_) => all.iter().map(|status| one(status, look)).collect::<Vec<_>>().join("\n"),
        None => table(all, look, arguments.why),
    })
}

fn is_gone(error: &client::ClientError) -> bool {
    error.code() == api::error::ErrorCode::NotFound
}

/// A phase in words.
pub(super) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Rolling => "rolling",
        Phase::Complete => "complete",
        Phase::RollingBack => "rolling back",
        Phase::RolledBack => "rolled back",
        Phase::Failed => "failed",
        Phase::Removing => "removing",
    }
}

fn table(all: &[AppStatus], look: &Look, why: bool) -> String {
    let mut headings = vec!["APP", "ENVIRONMENT", "RELEASE", "DEPLOYMENT", "IN SERVICE", "ROUTES"];
    if why {
        headings.push("WHY");
    }
    Table::of(&headings, all, |status| {
        let mut row = vec![
            status.app.to_string(),
            status.environment.to_string(),
            opt(status.release),
            phase(status.deployment.phase).to_owned(),
            format!("{}/{}", status.in_service, status.wanted),
            dash(status.routes.join(",")),
        ];
        if why {
            let mut why = status.why.clone();
            why.extend(warm(status).map(|hosts| format!("warm on: {hosts}")));
            row.push(dash(why.join("; ")));
        }
        row
    })
    .render(look.width)
}

fn one(status: &AppStatus, look: &Look) -> String {
    let deployment = &status.deployment;
    let mut lines = vec![
        ("app", format!("{} of team {}", status.app, status.team)),
        ("environment", status.environment.to_string()),
        ("release", opt(status.release)),
        (
            "deployment",
            format!(
                "{} of release {}: {}, {} ago",
                deployment.number,
                deployment.release,
                phase(deployment.phase),
                age(look.now, deployment.started)
            ),
        ),
        ("in service", format!("{} of {}", status.in_service, status.wanted)),
        ("routes", status.routes.join("\n")),
        ("address", opt(status.service_address.as_ref())),
    ];
    if !deployment.reason.is_empty() {
        lines.push(("reason", deployment.reason.clone()));
    }
    if !status.why.is_empty() {
        lines.push(("why", status.why.join("\n")));
    }
    if let Some(hosts) = warm(status) {
        lines.push(("warm on", hosts));
    }
    let mut text = fields(&lines);
    let details: Vec<_> =
        status.instances.iter().filter(|instance| !instance.message.is_empty()).collect();
    if !status.instances.is_empty() {
        text.push('\n');
        text.push_str(&instances(&status.instances, look));
    }
    for instance in details {
        text.push_str(&format!("{}: {}\n", instance.instance, instance.message));
    }
    text
}

/// The hosts to which an instance could move without a fetch.
fn warm(status: &AppStatus) -> Option<String> {
    let names = |hosts: &[HostId]| hosts.iter().map(HostId::as_str).collect::<Vec<_>>().join(",");
    match (status.warm.as_slice(), status.warming.as_slice()) {
        ([], []) => None,
        (warm, []) => Some(names(warm)),
        ([], warming) => Some(format!("none yet, {} fetching", names(warming))),
        (warm, warming) => Some(format!("{}; {} fetching", names(warm), names(warming))),
    }
}

fn controllers(list: &[ControllerView], look: &Look) -> String {
    let headings = ["CONTROLLER", "RUNS", "FAILURES", "LAST RUN", "TOOK", "RESULT"];
    Table::of(&headings, list, |controller| {
        vec![
            controller.name.clone(),
            controller.runs.to_string(),
            controller.failures.to_string(),
            opt(controller.last_run.map(|at| format!("{} ago", age(look.now, at)))),
            format!("{} ms", controller.last_took_ms),
            dash(&*controller.last_result),
        ]
    })
    .render(look.width)
}

#[cfg(test)]
pub(super) mod tests {
    use api::time::Timestamp;

    use super::super::ps::tests::instance;
    use super::*;

    pub(in crate::command) fn status(number: u32, phase: Phase, in_service: u32) -> AppStatus {
        serde_json::from_value(serde_json::json!({
            "app": "shop",
            "team": "retail",
            "environment": "staging",
            "deployment": {
                "app": "shop",
                "environment": "staging",
                "number": number,
                "release": 3,
                "last_good": 2,
                "phase": phase,
                "started": Timestamp(0),
                "progressed": Timestamp(0),
                "started_by": "ci",
            },
            "release": 3,
            "wanted": 3,
            "in_service": in_service,
            "routes": ["shop.staging.example.com/", "tcp/5432"],
            "service_address": "10.128.192.7",
            "why": ["1 of 1 hosts lacked 2GiB of memory"],
            "instances": [instance(1, "healthy"), instance(2, "starting")],
        }))
        .unwrap()
    }

    #[test]
    fn statuses_for_people() {
        let look = Look { width: None, now: Timestamp(30_000) };
        let mut rolled_back = status(4, Phase::RolledBack, 3);
        rolled_back.deployment.reason = "shop@3 was not healthy within 1m".into();
        let all = [status(5, Phase::Rolling, 1), rolled_back];
        insta::assert_snapshot!("table", table(&all, &look, false));
        insta::assert_snapshot!("why", table(&all, &look, true));
        insta::assert_snapshot!("one", one(&all[1], &look));
    }

    #[test]
    fn controllers_for_people() {
        let controller = ControllerView {
            name: "planner".into(),
            period_ms: 60_000,
            runs: 12,
            failures: 0,
            last_run: Some(Timestamp(0)),
            last_took_ms: 3,
            last_result: String::new(),
        };
        let look = Look { width: None, now: Timestamp(5_000) };
        insta::assert_snapshot!(controllers(&[controller], &look), @r"
        CONTROLLER  RUNS  FAILURES  LAST RUN  TOOK  RESULT
        planner     12    0         5s ago    3 ms  -
        ");
    }
}
