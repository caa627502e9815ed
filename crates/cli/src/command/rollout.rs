//! What deploy, promote and rollback have in common: their options and their answer.

use std::process::ExitCode;

use api::operation::DeployAnswer;
use api::unit::Millis;

use super::follow;
use crate::connect::Session;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Look;

/// How a roll-out is made and followed.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Only say what would happen
    #[arg(long)]
    pub dry_run: bool,
    /// Wait until it is complete, or has failed and is rolled back
    #[arg(long, conflicts_with = "dry_run")]
    pub wait: bool,
    /// How long to wait; the deployment goes on after that
    #[arg(long, value_name = "DURATION", default_value = "10m", requires = "wait")]
    pub timeout: Millis,
}

/// Shows the answer, and follows the deployment where that was asked for.
pub(super) fn conclude(
    session: &Session,
    answer: &DeployAnswer,
    options: &Options,
) -> Result<ExitCode, Failure> {
    for warning in &answer.warnings {
        eprintln!("warning: {warning}");
    }
    let dry_run = options.dry_run;
    session.show(answer, |answer, look| text(answer, dry_run, look))?;
    if !options.wait {
        return Ok(ExitCode::SUCCESS);
    }
    let exit = follow::deployment(session, answer, options.timeout.duration())?;
    Ok(ExitCode::from(exit.map_or(Exit::Success.code(), Exit::code)))
}

/// The answer for people.
fn text(answer: &DeployAnswer, dry_run: bool, _: &Look) -> String {
    let DeployAnswer { app, environment, release, deployment, .. } = answer;
    let mut text = String::new();
    for line in &answer.changes {
        text.push_str(&format!("{line}\n"));
    }
    for step in &answer.plan {
        text.push_str(&format!("plan: {step}\n"));
    }
    let new = if answer.new_release { "new release" } else { "release" };
    let image = answer.digest.short();
    text.push_str(&match (dry_run, answer.unchanged) {
        (_, true) => format!("{app}@{release} is deployed in {environment} already ({image})\n"),
        (true, false) => format!(
            "would deploy {new} {app}@{release} ({image}) in {environment} as deployment \
             {deployment}\n"
        ),
        (false, false) => format!(
            "{new} {app}@{release} ({image}) goes out in {environment} as deployment {deployment}\n"
        ),
    });
    text
}

#[cfg(test)]
pub(super) mod tests {
    use api::time::Timestamp;

    use super::*;

    pub(in crate::command) fn answer(deployment: u32) -> DeployAnswer {
        serde_json::from_value(serde_json::json!({
            "app": "shop",
            "environment": "staging",
            "release": 3,
            "digest": format!("sha256:{}", "ab".repeat(32)),
            "deployment": deployment,
            "new_release": true,
            "unchanged": false,
            "changes": ["-instances = 1", "+instances = 3"],
            "plan": ["start shop-staging-00000001 on web1"],
        }))
        .unwrap()
    }

    #[test]
    fn answers_for_people() {
        let look = Look { width: None, now: Timestamp(0) };
        let mut answer = answer(4);
        insta::assert_snapshot!("dry run", text(&answer, true, &look));
        (answer.changes, answer.plan) = (Vec::new(), Vec::new());
        insta::assert_snapshot!(
            text(&answer, false, &look),
            @"new release shop@3 (abababababab) goes out in staging as deployment 4"
        );
        answer.unchanged = true;
        insta::assert_snapshot!(
            text(&answer, false, &look),
            @"shop@3 is deployed in staging already (abababababab)"
        );
    }
}
