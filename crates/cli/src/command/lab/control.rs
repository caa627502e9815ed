//! What a lab's control plane says of itself: who leads, and who is there.

use std::net::SocketAddr;
use std::time::Duration;

use ::lab::{Door, EtcdAccess, Lab};
use api::protocol::SecretValue;
use api::server::ServerView;
use client::{Client, Config};
use net::namespace::Namespace;
use store::etcd::EtcdAdmin;
use store::{EtcdOptions, EtcdTls};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::connect::run_async;
use crate::exit::Exit;
use crate::failure::Failure;

/// How long etcd may take for an answer.
const WITHIN: Duration = Duration::from_secs(1);

/// How long servers may: they ask every member of etcd themselves.
const SERVERS_WITHIN: Duration = Duration::from_secs(3);

/// A client of the lab's cluster from this machine.
pub(super) fn client(lab: &Lab, door: &Door) -> Result<Client, Failure> {
    client_of(lab, &door.addresses)
}

fn client_of(lab: &Lab, addresses: &[SocketAddr]) -> Result<Client, Failure> {
    let read = |path: std::path::PathBuf| {
        std::fs::read_to_string(&path)
            .map_err(|error| Failure::io(format!("read {}", path.display()), &error))
    };
    let config = Config {
        addresses: addresses.iter().map(ToString::to_string).collect(),
        token: Some(SecretValue(read(lab.admin_token())?.trim().to_owned())),
        ca_pem: Some(read(lab.authorities())?),
    };
    Ok(Client::new(&config)?)
}

/// The servers as the first that answers sees them; nothing when none does in time. All are asked
/// at once: some may be dead or frozen.
pub(super) fn servers(lab: &Lab, door: &Door) -> Vec<ServerView> {
    let clients = door.addresses.chunks(1).filter_map(|one| client_of(lab, one).ok());
    let clients: Vec<Client> = clients.collect();
    let asked = run_async(async {
        let mut asking = JoinSet::new();
        for client in clients {
            asking.spawn(async move { timeout(SERVERS_WITHIN, client.servers()).await });
        }
        while let Some(answer) = asking.join_next().await {
            if let Ok(Ok(Ok(servers))) = answer {
                return Ok(servers);
            }
        }
        Ok(Vec::new())
    });
    asked.unwrap_or_default()
}

/// A member of the servers' etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EtcdMember {
    /// Its server's name.
    pub(super) server: String,
    pub(super) votes: bool,
    pub(super) leads: bool,
}

/// The members of the servers' etcd; nothing when they have no leader.
pub(super) fn etcd(lab: &Lab, access: &EtcdAccess) -> Vec<EtcdMember> {
    let Ok(namespace) = Namespace::open(&lab.namespace()) else { return Vec::new() };
    let asked = namespace.run(|| {
        run_async(async {
            let answer = timeout(WITHIN, ask(access)).await;
            Ok(answer.ok().and_then(Result::ok).unwrap_or_default())
        })
    });
    asked.ok().and_then(Result::ok).unwrap_or_default()
}

async fn ask(access: &EtcdAccess) -> Result<Vec<EtcdMember>, Failure> {
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|error| Failure::io(format!("read {}", path.display()), &error))
    };
    let tls = EtcdTls {
        authorities: read(&access.authorities)?,
        certificate: read(&access.certificate)?,
        key: pki::read_private(&access.key)?,
    };
    let options = EtcdOptions::new(access.endpoints.clone()).with_tls(tls);
    let failed = |error: store::StoreError| Failure::of(Exit::Unavailable, &error);
    let admin = EtcdAdmin::new(options).await.map_err(failed)?;
    let members = admin.members().await.map_err(failed)?;
    let mut leader = 0;
    for url in members.iter().filter(|it| !it.learner).flat_map(|it| &it.client_urls) {
        let asked = timeout(WITHIN / 4, admin.status(url)).await;
        if let Ok(Ok(status)) = asked {
            leader = status.leader;
            break;
        }
    }
    let member = |member: store::etcd::Member| EtcdMember {
        votes: !member.learner && !member.name.is_empty(),
        leads: member.id == leader,
        server: member.name,
    };
    Ok(members.into_iter().map(member).collect())
}
