//! When all of an installation serves: the API answers to the admin's token and the host's agent is
//! connected.

use std::time::Duration;

use api::protocol::SecretValue;
use client::{Client, Config};

use super::installation::Installation;

/// Between two looks. Each is one request to this machine.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits; `seen` hears what is still missing.
pub(super) async fn wait(it: &Installation, seen: &mut String) {
    loop {
        *seen = match look(it).await {
            Ok(()) => return,
            Err(missing) => missing,
        };
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(it: &Installation) -> Result<(), String> {
    let read = |path: std::path::PathBuf| {
        std::fs::read_to_string(&path).map_err(|_| format!("there is no {} yet", path.display()))
    };
    let token = read(it.admin_token())?.trim().to_owned();
    let config = Config {
        addresses: vec![it.api_address()],
        token: Some(SecretValue(token)),
        ca_pem: Some(read(it.authorities())?),
    };
    let client = Client::new(&config).map_err(|error| error.to_string())?;
    match client.host(&it.host).await {
        Ok(host) if host.connected => Ok(()),
        Ok(_) => Err("the agent is not connected to the server".to_owned()),
        // The token file may be of another store: then the server itself is all there is to ask.
        Err(error) if error.code() == api::error::ErrorCode::Unauthenticated => {
            let path = it.admin_token();
            client.health().await.map_err(|error| error.to_string())?;
            eprintln!("warning: {} holds no token of this cluster", path.display());
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}
