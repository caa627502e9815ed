//! Waiting until a lab's cluster is whole.

use std::time::{Duration, Instant};

use ::lab::{Door, Lab, Plan, Role};
use api::protocol::SecretValue;
use client::{Client, Config};

use crate::connect::run_async;
use crate::exit::Exit;
use crate::failure::Failure;

/// How long servers and agents may take: a debug build with two hundred machines on two cores.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits until every host of the plan is connected.
pub(super) fn wait(lab: &Lab, plan: &Plan, door: &Door) -> Result<(), Failure> {
    let begin = Instant::now();
    run_async(async {
        loop {
            let seen = match look(lab, plan, door).await {
                Ok(0) => return Ok(()),
                Ok(missing) => format!("{missing} hosts are not connected"),
                Err(failure) => failure.render(),
            };
            if begin.elapsed() > READY_WITHIN {
                let message = "wait for the lab's cluster to be whole";
                return Err(Failure::new(Exit::Unavailable, message).because(seen));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
}

/// How many hosts are missing.
async fn look(lab: &Lab, plan: &Plan, door: &Door) -> Result<usize, Failure> {
    let read = |path: std::path::PathBuf| {
        std::fs::read_to_string(&path)
            .map_err(|error| Failure::io(format!("read {}", path.display()), &error))
    };
    let token = read(lab.admin_token())?.trim().to_owned();
    let config = Config {
        addresses: door.addresses.iter().map(ToString::to_string).collect(),
        token: Some(SecretValue(token)),
        ca_pem: Some(read(lab.authorities())?),
    };
    let hosts = Client::new(&config)?.hosts().await?;
    let connected =
        |name: &str| hosts.iter().any(|view| view.connected && view.host.name.as_str() == name);
    Ok(plan.with_role(Role::Agent).filter(|machine| !connected(&machine.name)).count())
}
