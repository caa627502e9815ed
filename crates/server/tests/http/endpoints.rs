//! Every endpoint, by the client that everybody uses.

use std::collections::BTreeMap;
use std::io::Cursor;

use api::deployment::Phase;
use api::error::ErrorCode;
use api::host::HostState;
use api::id::{HostId, InstanceId, ReleaseNumber};
use api::operation::{
    CertificateRequest, DeployRequest, EnvironmentRequest, LogQuery, PromoteRequest,
    RollbackRequest, SecretRequest, TeamRequest, TokenRequest,
};
use api::protocol::{Down, LogLine, SecretValue};
use api::registry::Registry;
use api::token::Role;
use bytes::Bytes;
use client::{Client, ClientError, EventQuery};
use pki::ServerNames;
use serde_json::json;
use server::core::{Agents, Change, StoredEvent};

use crate::world::{World, manifest, sha256};

fn code<T: std::fmt::Debug>(result: Result<T, ClientError>) -> ErrorCode {
    match result {
        Err(ClientError::Api(error)) => error.code,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn deploy_request() -> DeployRequest {
    DeployRequest { manifest: manifest(), image: None, environment: None, dry_run: false }
}

#[tokio::test]
async fn the_cluster_says_who_it_is() {
    let world = World::new().await;
    let open = world.client_with(None);
    assert_eq!(open.version().await.unwrap().cluster, "test");
    open.health().await.unwrap();
    assert_eq!(open.openapi().await.unwrap()["openapi"], "3.1.0");
    let client = world.client();
    let me = client.whoami().await.unwrap();
    assert_eq!((me.name.as_str(), me.role, me.team), ("admin", Role::Admin, None));
    let controllers = client.controllers().await.unwrap();
    let names: Vec<&str> = controllers.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["events"], "no controller runs here");
    assert!(client.revision() > 1, "the answers carry revisions");
}

#[tokio::test]
async fn teams_tokens_and_secrets() {
    let world = World::new().await;
    let client = world.client();
    let retail = "retail".parse().unwrap();
    let request = TeamRequest { name: "retail".parse().unwrap(), description: "sells".into() };
    let team = client.create_team(&request).await.unwrap();
    assert_eq!(client.teams().await.unwrap(), std::slice::from_ref(&team));
    assert_eq!(client.team(&retail).await.unwrap(), team);
    assert_eq!(code(client.create_team(&request).await), ErrorCode::Conflict);

    let request = TokenRequest {
        name: "ci".into(),
        role: Role::Developer,
        team: Some(retail.clone()),
        expires_in: None,
    };
    let made = client.create_token(&request).await.unwrap();
    assert_eq!(client.tokens().await.unwrap().len(), 2);
    let developer = world.client_with(Some(&made.secret.0));
    assert_eq!(developer.whoami().await.unwrap().team, Some(retail.clone()));

    let (staging, name) = ("staging".parse().unwrap(), "db".parse().unwrap());
    let value = SecretRequest { value: SecretValue("hunter2".into()) };
    let secret = developer.put_secret(&retail, &staging, &name, &value).await.unwrap();
    assert_eq!(secret.version, 1);
    let secret = developer.put_secret(&retail, &staging, &name, &value).await.unwrap();
    assert_eq!(secret.version, 2);
    assert_eq!(developer.secrets().await.unwrap(), [secret]);
    world.team("bank").await;
    let bank = "bank".parse().unwrap();
    client.put_secret(&bank, &staging, &name, &value).await.unwrap();
    assert_eq!(client.secrets().await.unwrap().len(), 2);
    assert_eq!(developer.secrets().await.unwrap().len(), 1, "only the own team's");
    let others = developer.put_secret(&bank, &staging, &name, &value).await;
    assert_eq!(code(others), ErrorCode::Forbidden);
    assert_eq!(code(developer.delete_secret(&bank, &staging, &name).await), ErrorCode::Forbidden);
    developer.delete_secret(&retail, &staging, &name).await.unwrap();
    assert_eq!(code(developer.delete_secret(&retail, &staging, &name).await), ErrorCode::NotFound);

    client.revoke_token(&made.token.id).await.unwrap();
    assert_eq!(code(developer.whoami().await), ErrorCode::Unauthenticated);
    client.delete_team(&retail).await.unwrap();
    assert_eq!(code(client.team(&retail).await), ErrorCode::NotFound);
}

#[tokio::test]
async fn an_app_from_deployment_to_removal() {
    let world = World::new().await;
    let client = world.client();
    let shop = "shop".parse().unwrap();
    let dry = DeployRequest { dry_run: true, ..deploy_request() };
    assert!(client.deploy(&dry).await.unwrap().new_release);
    assert!(client.apps().await.unwrap().is_empty(), "a dry run changes nothing");
    let answer = client.deploy(&deploy_request()).await.unwrap();
    assert_eq!((answer.release, answer.deployment), (ReleaseNumber(1), 1));
    assert!(client.deploy(&deploy_request()).await.unwrap().unchanged);
    assert_eq!(client.apps().await.unwrap()[0], client.app(&shop).await.unwrap());
    let releases = client.releases(&shop).await.unwrap();
    assert_eq!(releases, [client.release(&shop, ReleaseNumber(1)).await.unwrap()]);
    assert_eq!(code(client.release(&shop, ReleaseNumber(9)).await), ErrorCode::NotFound);
    let status = client.status(&shop).await.unwrap();
    assert_eq!((status.len(), status[0].wanted, status[0].in_service), (1, 1, 0));
    assert_eq!(client.deployments().await.unwrap(), [status[0].deployment.clone()]);
    assert_eq!(client.routes().await.unwrap()[0].route, "shop.staging.example.com");
    assert!(client.instances(Some(&shop), None).await.unwrap().is_empty());
    let promoted = client.promote(&shop, &PromoteRequest::default()).await;
    assert_eq!(code(promoted), ErrorCode::Blocked);

    // As the controllers would: it runs completely.
    let view = world.core.view();
    let row = view.deployments.values().next().unwrap();
    let mut deployment = row.document.body.clone();
    deployment.phase = Phase::Complete;
    deployment.last_good = Some(ReleaseNumber(1));
    world.core.commit(Change::new().update(row, deployment)).await.unwrap();
    let answer = client.promote(&shop, &PromoteRequest::default()).await.unwrap();
    assert_eq!(answer.environment.as_str(), "production");
    let back = RollbackRequest { release: Some(ReleaseNumber(1)), ..RollbackRequest::default() };
    assert!(client.rollback(&shop, &back).await.unwrap().unchanged);
    assert_eq!(
        code(client.rollback(&shop, &RollbackRequest::default()).await),
        ErrorCode::NotFound
    );

    client.delete_app(&shop).await.unwrap();
    let phases: Vec<Phase> = client.deployments().await.unwrap().iter().map(|d| d.phase).collect();
    assert_eq!(phases, [Phase::Removing, Phase::Removing]);
    let error = client.app(&"shpo".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.hint().unwrap(), "did you mean shop?");
}

#[tokio::test]
async fn a_manifest_that_is_wrong_is_answered_with_all_its_problems() {
    let world = World::new().await;
    let mut request = deploy_request();
    request.manifest.insert("porcess".into(), json!({}));
    request.manifest.insert("scale".into(), json!({ "instances": "many" }));
    let error = world.client().deploy(&request).await.unwrap_err();
    let problems = &error.api().unwrap().problems;
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert!(paths.contains(&"porcess") && paths.contains(&"scale.instances"), "{problems:?}");
    assert_eq!(code(world.client().deploy(&request).await), ErrorCode::Invalid);
}

#[tokio::test]
async fn developers_keep_to_their_team() {
    let world = World::new().await;
    world.team("bank").await;
    world.client().deploy(&deploy_request()).await.unwrap();
    let bank = world.client_with(Some(&world.token(Role::Developer, Some("bank")).await));
    let shop = "shop".parse().unwrap();
    assert_eq!(code(bank.deploy(&deploy_request()).await), ErrorCode::Forbidden);
    assert_eq!(code(bank.promote(&shop, &PromoteRequest::default()).await), ErrorCode::Forbidden);
    assert_eq!(code(bank.rollback(&shop, &RollbackRequest::default()).await), ErrorCode::Forbidden);
    assert_eq!(code(bank.delete_app(&shop).await), ErrorCode::Forbidden);
    assert_eq!(bank.app(&shop).await.unwrap().team.as_str(), "retail");
    let retail = world.client_with(Some(&world.token(Role::Developer, Some("retail")).await));
    assert!(retail.deploy(&deploy_request()).await.unwrap().unchanged);
}

#[tokio::test]
async fn environments_hosts_certificates_and_registries() {
    let world = World::new().await;
    let client = world.client();
    let canary = "canary".parse().unwrap();
    let request = EnvironmentRequest { order: 3, host_labels: BTreeMap::new() };
    let made = client.put_environment(&canary, &request).await.unwrap();
    assert_eq!(client.environment(&canary).await.unwrap(), made);
    let names = client.environments().await.unwrap().into_iter().map(|e| e.name.to_string());
    assert_eq!(names.collect::<Vec<_>>(), ["staging", "production", "canary"]);
    client.delete_environment(&canary).await.unwrap();
    assert_eq!(code(client.environment(&canary).await), ErrorCode::NotFound);

    let host: HostId = "h1".parse().unwrap();
    world.core.welcome(&host, &Default::default()).await.unwrap();
    assert_eq!(client.hosts().await.unwrap()[0], client.host(&host).await.unwrap());
    assert_eq!(client.drain_host(&host).await.unwrap().state, HostState::Draining);
    assert_eq!(client.undrain_host(&host).await.unwrap().state, HostState::Ready);
    let labels = BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]);
    assert_eq!(client.put_host_labels(&host, &labels).await.unwrap().labels, labels);
    let bad = BTreeMap::from([("a b".to_owned(), String::new())]);
    assert_eq!(code(client.put_host_labels(&host, &bad).await), ErrorCode::Invalid);
    assert_eq!(code(client.drain_host(&"h2".parse().unwrap()).await), ErrorCode::NotFound);

    let names = ServerNames { dns: vec!["shop.example.com".into()], addresses: vec![] };
    let now = jiff::Timestamp::now();
    let identity = world.cluster.authority.issue_server("x", &names, now).unwrap();
    let request = CertificateRequest {
        hosts: vec![],
        chain_pem: identity.certificate_pem(),
        key_pem: SecretValue(identity.key_pem().to_string()),
    };
    let certificate = client.put_certificate("shop", &request).await.unwrap();
    assert_eq!(certificate.hosts, ["shop.example.com"]);
    assert_eq!(client.certificates().await.unwrap(), [certificate]);
    client.delete_certificate("shop").await.unwrap();
    assert_eq!(code(client.delete_certificate("a/b ?").await), ErrorCode::NotFound);

    let registry = Registry {
        host: "registry.example:5000".into(),
        username: Some("me".into()),
        password: Some(SecretValue("hunter2".into())),
        ca_pem: None,
        proxy: None,
        plain_http: false,
    };
    client.put_registry(&registry).await.unwrap();
    let listed = client.registries().await.unwrap();
    assert_eq!((listed[0].host.as_str(), &listed[0].password), ("registry.example:5000", &None));
    client.delete_registry("registry.example:5000").await.unwrap();
    assert!(client.registries().await.unwrap().is_empty());
}

/// Pushes an image of one layer; gives its manifest's digest.
async fn push(client: &Client, repository: &str, tag: &str) -> api::digest::Digest {
    let registry = client.registry(repository);
    let layer = vec![7_u8; 9 << 20];
    let config =
        br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    for blob in [&layer[..], &config[..]] {
        let size = blob.len() as u64;
        let mut told = Vec::new();
        let mut source = Cursor::new(blob.to_vec());
        registry.push_blob(&sha256(blob), size, &mut source, |n| told.push(n)).await.unwrap();
        assert!(told.is_sorted() && told.last() == Some(&size), "{told:?}");
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": sha256(config), "size": config.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": sha256(&layer), "size": layer.len(),
        }],
    });
    let bytes = Bytes::from(serde_json::to_vec(&manifest).unwrap());
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let (digest, _) = registry.push_manifest(tag, media_type, bytes.clone()).await.unwrap();
    assert_eq!(digest, sha256(&bytes));
    let pulled = registry.manifest(tag).await.unwrap().unwrap();
    assert_eq!(
        (pulled.bytes, &pulled.digest, pulled.media_type.as_str()),
        (bytes, &digest, media_type)
    );
    let mut sink = Vec::new();
    let size = registry.pull_blob(&sha256(&layer), &mut sink, |_| {}).await.unwrap();
    assert!(size == layer.len() as u64 && sink == layer);
    digest
}

#[tokio::test]
async fn images_go_in_and_out_and_stay_while_they_are_used() {
    let world = World::new().await;
    world.team("retail").await;
    let token = world.token(Role::Developer, Some("retail")).await;
    let client = world.client_with(Some(&token));
    let digest = push(&client, "retail/shop", "1").await;
    let elsewhere = client.registry("bank/shop");
    let refused = elsewhere.push_blob(&sha256(b"x"), 1, &mut Cursor::new(b"x"), |_| {}).await;
    assert_eq!(code(refused), ErrorCode::Forbidden);
    assert!(client.registry("retail/shop").manifest("2").await.unwrap().is_none());
    let layer = sha256(&vec![7_u8; 9 << 20]);
    let other = client.registry("retail/other");
    assert!(other.blob_size(&layer).await.unwrap().is_none());
    assert!(other.mount_blob(&layer, "retail/shop").await.unwrap());
    assert_eq!(other.blob_size(&layer).await.unwrap(), Some(9 << 20));
    assert!(!other.mount_blob(&sha256(b"y"), "retail/shop").await.unwrap());

    let image = format!("retail/shop@{digest}");
    let request = DeployRequest { image: Some(image), ..deploy_request() };
    client.deploy(&request).await.unwrap();
    let images = client.images().await.unwrap();
    assert_eq!((images.len(), &images[0].digest), (1, &digest));
    assert_eq!(images[0].used_by, ["shop@1"]);
    let used = world.client().delete_image("retail/shop", digest.as_str()).await;
    assert_eq!(code(used), ErrorCode::Conflict);
    let push_other = push(&client, "retail/other", "1").await;
    assert_eq!(push_other, digest);
    assert_eq!(code(client.delete_image("retail/other", "1").await), ErrorCode::Forbidden);
    let operator = world.client_with(Some(&world.token(Role::Operator, None).await));
    operator.delete_image("retail/other", "1").await.unwrap();
    assert_eq!(code(operator.delete_image("retail/other", "1").await), ErrorCode::NotFound);
    world.client().collect_garbage().await.unwrap();
    assert!(client.registry("retail/shop").manifest("1").await.unwrap().is_some());
}

/// A way to the server whose first connection breaks after so many bytes to it, or from it.
async fn breaking(world: &World, up: usize, down: usize) -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, server) = (listener.local_addr().unwrap(), world.address);
    tokio::spawn(async move {
        let mut limits = Some((up, down));
        while let Ok((near, _)) = listener.accept().await {
            let far = tokio::net::TcpStream::connect(server).await.unwrap();
            let (up, down) = limits.take().unwrap_or((usize::MAX, usize::MAX));
            tokio::spawn(async move {
                let (mut near_in, mut near_out) = near.into_split();
                let (mut far_in, mut far_out) = far.into_split();
                // Whichever ends first takes the other with it.
                tokio::select! {
                    () = forward(&mut near_in, &mut far_out, up) => {}
                    () = forward(&mut far_in, &mut near_out, down) => {}
                }
            });
        }
    });
    Client::new(&client::Config {
        addresses: vec![address.to_string()],
        token: Some(SecretValue(world.admin.clone())),
        ca_pem: Some(world.cluster.authority.bundle().to_pem()),
    })
    .unwrap()
}

async fn forward<R, W>(from: &mut R, to: &mut W, most: usize)
where
    R: tokio::io::AsyncRead + Unpin,
    W: tokio::io::AsyncWrite + Unpin,
{
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut buffer, mut done) = (vec![0; 16 << 10], 0);
    while done < most {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(n) => {
                done += n;
                if to.write_all(&buffer[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test]
async fn blobs_go_on_where_a_connection_broke_off() {
    let world = World::new().await;
    let blob: Vec<u8> = (0..13_u32 << 20).map(|i| (i % 251) as u8).collect();
    let digest = sha256(&blob);
    let client = breaking(&world, 10 << 20, usize::MAX).await;
    let mut told = Vec::new();
    let registry = client.registry("a/b");
    let mut source = Cursor::new(blob.clone());
    registry.push_blob(&digest, 13 << 20, &mut source, |n| told.push(n)).await.unwrap();
    assert!(told.is_sorted(), "what the server has is not sent again: {told:?}");
    assert_eq!(told.last(), Some(&(13 << 20)));

    let client = breaking(&world, usize::MAX, 5 << 20).await;
    let (mut sink, mut told) = (Vec::new(), Vec::new());
    let registry = client.registry("a/b");
    registry.pull_blob(&digest, &mut sink, |n| told.push(n)).await.unwrap();
    assert!(sink == blob && told.is_sorted());

    let refused = registry.push_blob(&sha256(b"x"), 5, &mut Cursor::new(b"hello"), |_| {}).await;
    assert_eq!(code(refused), ErrorCode::Invalid);
    let short = registry.push_blob(&sha256(b"y"), 9, &mut Cursor::new(b"y"), |_| {}).await;
    assert!(matches!(short, Err(ClientError::Io { .. })), "{short:?}");
}

#[tokio::test]
async fn events_are_filtered_and_the_newest_are_kept() {
    let world = World::new().await;
    for i in 0..150_u32 {
        let event = api::event::Event {
            at: api::time::Timestamp(1_000_000 + i64::from(i)),
            kind: "test".into(),
            app: i.is_multiple_of(2).then(|| "shop".parse().unwrap()),
            environment: None,
            release: None,
            instance: None,
            host: None,
            message: i.to_string(),
        };
        let stored = StoredEvent { event, number: i, server: String::new() };
        world.core.commit(Change::new().create(&stored)).await.unwrap();
    }
    let client = world.client();
    let numbers = async |query: EventQuery| -> Vec<u32> {
        let events = client.events(&query).await.unwrap();
        events.iter().map(|event| event.message.parse().unwrap()).collect()
    };
    assert_eq!(numbers(EventQuery::default()).await, (50..150).collect::<Vec<_>>());
    let app = Some("shop".parse().unwrap());
    let query = EventQuery { app, limit: Some(3), since: None };
    assert_eq!(numbers(query).await, [144, 146, 148]);
    let since = Some(api::time::Timestamp(1_000_147));
    assert_eq!(numbers(EventQuery { since, ..EventQuery::default() }).await, [148, 149]);
}

#[tokio::test]
async fn logs_come_from_the_agents_line_by_line() {
    let world = World::new().await;
    let client = world.client();
    client.deploy(&deploy_request()).await.unwrap();
    let (shop, host): (_, HostId) = ("shop".parse().unwrap(), "h1".parse().unwrap());
    let instance: InstanceId = "shop-staging-00000001".parse().unwrap();
    let (_end, mut frames) = Agents::connect(&world.core, &host, true);
    let core = world.core.clone();
    let agent = tokio::spawn(async move {
        let mut decoder = api::frame::Decoder::new();
        loop {
            decoder.push(&frames.recv().await.unwrap());
            while let Some(down) = decoder.next::<Down>().unwrap() {
                let Down::Logs(request) = down else { continue };
                let sender = core.agents.take_logs(&request.id).unwrap();
                for sequence in 1..=u64::from(request.tail) {
                    let line = LogLine {
                        instance: request.instance.clone(),
                        at: api::time::Timestamp(i64::try_from(sequence).unwrap()),
                        sequence,
                        stderr: false,
                        text: format!("line {sequence}"),
                        partial: false,
                    };
                    sender.send(line).await.unwrap();
                }
            }
        }
    });
    for follow in [false, true] {
        let query =
            LogQuery { environment: None, instance: Some(instance.clone()), tail: Some(3), follow };
        let mut logs = client.logs(&shop, &query).await.unwrap();
        let mut texts = Vec::new();
        while let Some(line) = logs.next().await.unwrap() {
            texts.push(line.text);
        }
        assert_eq!(texts, ["line 1", "line 2", "line 3"], "follow: {follow}");
    }
    let unknown = client.logs(&"nothing".parse().unwrap(), &LogQuery::default()).await;
    assert_eq!(code(unknown), ErrorCode::NotFound);
    agent.abort();
}

#[tokio::test]
async fn a_backup_is_whole() {
    let world = World::new().await;
    let client = world.client();
    client.deploy(&deploy_request()).await.unwrap();
    let mut backup = Vec::new();
    let bytes = client.backup(&mut backup).await.unwrap();
    assert_eq!(bytes, backup.len() as u64);
    let summary = store::backup::verify(&backup[..]).await.unwrap();
    let status = world.core.store.status().await.unwrap();
    assert_eq!(summary.revision, status.revision);
    assert!(summary.keys >= 6, "{summary:?}");
}
