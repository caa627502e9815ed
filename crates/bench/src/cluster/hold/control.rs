//! The control plane as an outside client has it: what it keeps, and writing to it all the time.

use std::collections::BTreeSet;
use std::time::Duration;

use ::client::{Client, ClientError, Config};
use anyhow::{Context, Result};
use api::id::AppName;
use api::operation::TeamRequest;
use net::namespace::Namespace;

use super::watch::Watch;
use crate::cluster::client::{Sample, now};
use crate::cluster::lab::Lab;
use crate::cluster::platform::APP;

/// Between two writes.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks the lab's servers something.
pub(super) fn ask<T: Send>(
    lab: &Lab,
    question: impl AsyncFnOnce(Client) -> Result<T, ClientError> + Send,
) -> Result<T> {
    let config = lab.client()?;
    let asking = || in_runtime(&config, question);
    let answer = lab.outside()?.run(asking).context("enter the lab's network")??;
    answer.context("ask the servers")
}

fn in_runtime<T>(config: &Config, task: impl AsyncFnOnce(Client) -> T) -> Result<T> {
    let client = Client::new(config).context("make a client")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.context("start a client")?.block_on(task(client)))
}

/// What must not get lost, as text: releases and deployments.
pub(super) fn documents(lab: &Lab) -> Result<BTreeSet<String>> {
    let app = AppName::new(APP).context("name the app")?;
    let (releases, deployments) = ask(lab, async move |client: Client| {
        Ok((client.releases(&app).await?, client.deployments().await?))
    })?;
    let releases = releases.iter().map(serde_json::to_string);
    let deployments = deployments.iter().map(serde_json::to_string);
    releases.chain(deployments).collect::<Result<_, _>>().context("write documents")
}

/// Names of all teams.
pub(super) fn teams(lab: &Lab) -> Result<BTreeSet<String>> {
    let teams = ask(lab, async |client: Client| client.teams().await)?;
    Ok(teams.into_iter().map(|team| team.name.to_string()).collect())
}

/// Makes teams one after the other; each acknowledged one is a good sample with its name. A failed
/// write is not repeated.
pub(super) fn write(lab: &Lab, prefix: String) -> Result<Watch<Sample>> {
    let (config, outside): (Config, Namespace) = (lab.client()?, lab.outside()?);
    Ok(Watch::start(move |seen| {
        let writing = async |client: Client| {
            let mut number = 0_usize;
            while seen.goes_on() {
                number += 1;
                let name = format!("{prefix}-{number}");
                let sent = now();
                let outcome = create(&client, &name).await.map(|()| name);
                seen.push(Sample { sent, ended: now(), outcome });
                tokio::time::sleep(PAUSE).await;
            }
        };
        outside.run(|| in_runtime(&config, writing)).context("enter the lab's network")?
    }))
}

async fn create(client: &Client, name: &str) -> Result<(), String> {
    let name = name.parse().map_err(|error| format!("{error}"))?;
    let request = TeamRequest { name, description: String::new() };
    client.create_team(&request).await.map(drop).map_err(|error| error.to_string())
}

/// Acknowledged writes that are not there.
pub(super) fn lost(samples: &[Sample], there: &BTreeSet<String>) -> Vec<String> {
    let good = samples.iter().filter_map(|sample| sample.outcome.as_ref().ok());
    good.filter(|name| !there.contains(*name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_acknowledged_writes_can_be_lost() {
        let sample = |outcome: Result<&str, &str>| Sample {
            sent: 1,
            ended: 2,
            outcome: outcome.map(str::to_owned).map_err(str::to_owned),
        };
        let samples = [sample(Ok("a")), sample(Err("b")), sample(Ok("c"))];
        assert_eq!(lost(&samples, &["c".to_owned()].into()), ["a"]);
    }
}
