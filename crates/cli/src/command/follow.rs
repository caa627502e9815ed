//! Following a deployment to its end. What is said and when it has ended is decided by
//! [`Follower`], purely; the rest asks the server whenever something changed.

use std::time::Duration;

use api::deployment::{Deployment, Phase};
use api::id::InstanceId;
use api::operation::{AppStatus, DeployAnswer, LogQuery};
use client::{Client, ClientError};

use super::status::phase;
use crate::connect::{Session, run_async};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Progress;

/// The status is asked for this often even if no change is heard of.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Log lines of the failing instance, when the deployment does not carry them.
const LOG_LINES: u32 = 20;

/// Characters of a reason in a line of progress.
const WHY_CHARS: usize = 100;

/// How long log lines are waited for.
const LOGS_WITHIN: Duration = Duration::from_secs(5);

/// How a deployment ended for who waited.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Complete,
    RolledBack(Box<Deployment>),
    Failed(Box<Deployment>),
    /// Another took its place.
    Superseded(u32),
    /// The app runs here no more.
    Removed,
}

/// What was said so far.
#[derive(Debug, Default)]
struct Follower {
    number: u32,
    said: String,
}

impl Follower {
    /// Looks at the present state: a line to say, if there is news, and the end, if it is there.
    fn step(&mut self, status: Option<&AppStatus>) -> (Option<String>, Option<End>) {
        let Some(status) = status else { return (None, Some(End::Removed)) };
        let deployment = &status.deployment;
        if deployment.number < self.number {
            // A view that has not caught up.
            return (None, None);
        }
        if deployment.number > self.number {
            return (None, Some(End::Superseded(deployment.number)));
        }
        let end = match deployment.phase {
            Phase::Rolling | Phase::RollingBack => None,
            Phase::Complete => Some(End::Complete),
            Phase::RolledBack => Some(End::RolledBack(Box::new(deployment.clone()))),
            Phase::Failed => Some(End::Failed(Box::new(deployment.clone()))),
            Phase::Removing => Some(End::Removed),
        };
        let line = line(status);
        if line == self.said {
            return (None, end);
        }
        self.said.clone_from(&line);
        (Some(line), end)
    }
}

/// One line about a deployment.
fn line(status: &AppStatus) -> String {
    let deployment = &status.deployment;
    let (app, environment) = (&status.app, &status.environment);
    let mut text = format!("{app}@{} in {environment}: ", deployment.release);
    text.push_str(phase(deployment.phase));
    if matches!(deployment.phase, Phase::Rolling | Phase::Complete) {
        // Old instances serve too while it rolls: what counts is the new release.
        let new = status.instances.iter().filter(|known| known.release == deployment.release);
        let healthy = new.clone().filter(|known| known.state == "healthy").count();
        text.push_str(&format!(", {healthy} of {} new instances healthy", status.wanted));
        let mut states: Vec<&str> =
            new.filter(|known| known.state != "healthy").map(|known| &*known.state).collect();
        states.sort_unstable();
        for group in states.chunk_by(|one, other| one == other) {
            text.push_str(&format!(", {} {}", group.len(), group[0]));
        }
    }
    if deployment.phase == Phase::Rolling
        && let Some(why) = status.why.first()
    {
        text.push_str(&format!("; {}", shortened(why)));
        if status.why.len() > 1 {
            text.push_str(&format!(" (and {} more)", status.why.len() - 1));
        }
    }
    text
}

/// A reason that leaves room on its line; all of it is in the status.
fn shortened(why: &str) -> String {
    if why.chars().count() <= WHY_CHARS {
        return why.to_owned();
    }
    why.chars().take(WHY_CHARS).chain(['…']).collect()
}

/// Follows to the end. Success is no exit code; what did not go well is told and has one.
pub(super) fn deployment(
    session: &Session,
    answer: &DeployAnswer,
    timeout: Duration,
) -> Result<Option<Exit>, Failure> {
    let client = session.client()?;
    let progress = Progress::new(session.terminal.lively);
    run_async(async {
        let end = tokio::select! {
            // Nothing is lost by leaving: the deployment is the servers' work.
            end = until_end(&client, answer, &progress) => end?,
            () = tokio::time::sleep(timeout) => {
                let why = format!("not complete within {} s", timeout.as_secs());
                return Err(going_on(answer, Exit::StillGoing, &why));
            }
            _ = tokio::signal::ctrl_c() => {
                return Err(going_on(answer, Exit::Interrupted, "interrupted"));
            }
        };
        conclude(&client, answer, end).await
    })
}

fn going_on(answer: &DeployAnswer, exit: Exit, why: &str) -> Failure {
    let DeployAnswer { app, environment, deployment, .. } = answer;
    let message = format!("wait for deployment {deployment} of {app} in {environment}: {why}");
    Failure::new(exit, message)
        .because("the deployment itself goes on")
        .hint(format!("freehold status {app} --why"))
}

async fn until_end(
    client: &Client,
    answer: &DeployAnswer,
    progress: &Progress,
) -> Result<End, Failure> {
    let mut follower = Follower { number: answer.deployment, said: String::new() };
    let bar = progress.state("deployment");
    let mut watch = client.watch(&["deployment", "instance"], None);
    let mut healthy_watch = true;
    loop {
        let status = match client.status(&answer.app).await {
            Ok(list) => Ok(list.into_iter().find(|one| one.environment == answer.environment)),
            Err(error) if error.code() == api::error::ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        match status {
            Ok(status) => {
                let (line, end) = follower.step(status.as_ref());
                if let Some(line) = line {
                    bar.say(&line);
                }
                if let Some(end) = end {
                    bar.clear();
                    return Ok(end);
                }
            }
            // A server that is away for a moment ends no waiting.
            Err(error) if error.code().retryable() => bar.say(&error.to_string()),
            Err(error) => return Err(error.into()),
        }
        let pause = tokio::time::sleep(LOOK_EVERY);
        if healthy_watch {
            tokio::select! {
                // Changes are only a reason to look; one that is missed is seen in the status.
                change = watch.next() => healthy_watch = change.is_ok(),
                () = pause => {}
            }
        } else {
            pause.await;
        }
    }
}

/// Says how it ended.
async fn conclude(
    client: &Client,
    answer: &DeployAnswer,
    end: End,
) -> Result<Option<Exit>, Failure> {
    let DeployAnswer { app, environment, release, .. } = answer;
    match end {
        End::Complete => {
            eprintln!("{app}@{release} is complete in {environment}");
            Ok(None)
        }
        End::RolledBack(deployment) => {
            let lines = log_lines(client, &deployment).await;
            Err(failed(&deployment, &lines))
        }
        End::Failed(deployment) => {
            let lines = log_lines(client, &deployment).await;
            Err(failed(&deployment, &lines))
        }
        End::Superseded(number) => {
            let message = format!("wait for {app}@{release} in {environment}");
            Err(Failure::new(Exit::Conflict, message)
                .because(format!("deployment {number} has taken its place"))
                .hint(format!("freehold status {app}")))
        }
        End::Removed => {
            let message = format!("wait for {app}@{release} in {environment}: it was removed");
            Err(Failure::new(Exit::NotFound, message))
        }
    }
}

/// The end of a deployment that did not become healthy.
fn failed(deployment: &Deployment, lines: &[String]) -> Failure {
    let Deployment { app, environment, release, last_good, .. } = deployment;
    let message = format!("deploy {app}@{release} in {environment}");
    let mut failure = match deployment.phase {
        Phase::RolledBack => {
            let good =
                last_good.map_or_else(String::new, |good| format!("{app}@{good} runs again"));
            Failure::new(Exit::RolledBack, message).because(&*deployment.reason).because(good)
        }
        _ => Failure::new(Exit::DeploymentFailed, message)
            .because(&*deployment.reason)
            .because("there is no earlier release to go back to"),
    };
    failure.causes.retain(|cause| !cause.is_empty());
    if let Some(instance) = &deployment.failed_instance {
        failure.detail.push(format!("last lines of {instance}:"));
        if lines.is_empty() {
            failure.detail.push("  (it wrote none)".to_owned());
        }
        failure.detail.extend(lines.iter().map(|line| format!("  | {line}")));
    }
    failure.hint(format!("freehold status {app} --why; freehold event list {app}"))
}

/// The last lines of the instance that made it fail: the deployment's own, else asked for.
async fn log_lines(client: &Client, deployment: &Deployment) -> Vec<String> {
    match &deployment.failed_instance {
        Some(instance) if deployment.last_log_lines.is_empty() => {
            let asked = ask_lines(client, deployment, instance);
            let lines = tokio::time::timeout(LOGS_WITHIN, asked).await;
            lines.ok().and_then(Result::ok).unwrap_or_default()
        }
        _ => deployment.last_log_lines.clone(),
    }
}

async fn ask_lines(
    client: &Client,
    deployment: &Deployment,
    instance: &InstanceId,
) -> Result<Vec<String>, ClientError> {
    let query = LogQuery {
        environment: Some(deployment.environment.clone()),
        instance: Some(instance.clone()),
        tail: Some(LOG_LINES),
        follow: false,
    };
    let mut stream = client.logs(&deployment.app, &query).await?;
    let mut lines = Vec::new();
    while let Some(line) = stream.next().await? {
        lines.push(line.text);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::super::rollout::tests::answer;
    use super::super::status::tests::status;
    use super::*;

    fn follower() -> Follower {
        Follower { number: 4, said: String::new() }
    }

    #[test]
    fn news_are_said_once() {
        let mut follower = follower();
        let rolling = status(4, Phase::Rolling, 1);
        let (line, end) = follower.step(Some(&rolling));
        assert_eq!(
            line.unwrap(),
            "shop@3 in staging: rolling, 1 of 3 new instances healthy, 1 starting; \
             1 of 1 hosts lacked 2GiB of memory"
        );
        assert_eq!(end, None);
        assert_eq!(follower.step(Some(&rolling)), (None, None));
        let (line, end) = follower.step(Some(&status(4, Phase::Complete, 3)));
        assert!(line.unwrap().contains("complete"));
        assert_eq!(end, Some(End::Complete));
    }

    #[test]
    fn only_its_own_deployment_counts() {
        assert_eq!(follower().step(Some(&status(3, Phase::Complete, 3))), (None, None));
        let (_, end) = follower().step(Some(&status(5, Phase::Rolling, 0)));
        assert_eq!(end, Some(End::Superseded(5)));
        assert_eq!(follower().step(None).1, Some(End::Removed));
        assert_eq!(follower().step(Some(&status(4, Phase::RollingBack, 0))).1, None);
    }

    #[test]
    fn failures_show_reason_instance_and_last_lines() {
        let mut deployment = status(4, Phase::RolledBack, 3).deployment;
        deployment.reason = "shop@3 was not healthy within 1m".into();
        deployment.failed_instance = Some(InstanceId::new("shop-staging-00000002").unwrap());
        let rolled_back = failed(&deployment, &["cannot open /data".into()]);
        assert_eq!(rolled_back.exit, Exit::RolledBack);
        insta::assert_snapshot!("rolled back", rolled_back.render());
        deployment.phase = Phase::Failed;
        let failure = failed(&deployment, &[]);
        assert_eq!(failure.exit, Exit::DeploymentFailed);
        insta::assert_snapshot!("failed", failure.render());
    }

    #[test]
    fn who_leaves_is_told_that_it_goes_on() {
        let failure = going_on(&answer(4), Exit::Interrupted, "interrupted");
        assert!(failure.render().contains("because: the deployment itself goes on"));
    }
}
