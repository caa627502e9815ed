//! Connections, several servers, and what clients do when one is away.

use api::error::ErrorCode;
use api::operation::{EnvironmentRequest, TeamRequest};
use api::protocol::SecretValue;
use client::{Client, ClientError, Config};
use pki::SwappableIdentity;

use crate::world::{Cluster, World, bearer, whole};

fn client(addresses: Vec<String>, world: &World) -> Client {
    let config = Config {
        addresses,
        token: Some(SecretValue(world.admin.clone())),
        ca_pem: Some(world.cluster.authority.bundle().to_pem()),
    };
    Client::new(&config).unwrap()
}

fn team(name: &str) -> TeamRequest {
    TeamRequest { name: name.parse().unwrap(), description: String::new() }
}

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn what_was_written_by_one_server_is_read_by_another() {
    let first = World::new().await;
    let second = World::of(first.cluster.clone()).await;
    let (one, two) = (first.client(), client(vec![second.address.to_string()], &first));
    for i in 0..200 {
        let name = format!("team-{i}");
        one.create_team(&team(&name)).await.unwrap();
        two.saw_revision(one.revision());
        two.team(&name.parse().unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn a_revision_that_is_not_there_yet_is_waited_for() {
    let world = World::new().await;
    let authorization = bearer(&world.admin);
    let next = (world.core.view().revision.0 + 1).to_string();
    let headers = [("authorization", authorization.as_str()), ("freehold-revision", next.as_str())];
    let (answer, made) = tokio::join!(world.raw("GET", "/v1/teams/late", &headers, ""), async {
        world.team("late").await;
    });
    assert_eq!(((), answer.status.as_u16()), (made, 200));
    assert_eq!(answer.revision().to_string(), next);
}

#[tokio::test]
async fn an_answer_shows_at_least_the_revision_it_names() {
    let world = World::new().await;
    let authorization = bearer(&world.admin);
    let admin = [("authorization", authorization.as_str())];
    let before = world.core.view().revision.0;
    let answer = world.raw("POST", "/v1/teams", &admin, "{\"name\":\"a\"}").await;
    assert_eq!(answer.revision(), before + 1, "a writer is told of what it wrote");
    let answer = world.raw("GET", "/v1/teams", &admin, "").await;
    assert_eq!(answer.revision(), before + 1);
}

#[tokio::test]
async fn a_client_goes_to_the_server_that_answers() {
    let world = World::new().await;
    let client = client(vec![nobody().await, world.address.to_string()], &world);
    client.create_team(&team("a")).await.unwrap();
    assert_eq!(client.teams().await.unwrap().len(), 1);
}

#[tokio::test]
async fn who_reaches_nobody_is_told_whom_and_why() {
    let world = World::new().await;
    let (a, b) = (nobody().await, nobody().await);
    let error = client(vec![a.clone(), b.clone()], &world).teams().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&a) && text.contains(&b) && text.contains("refused"), "{text}");
    assert!(error.hint().unwrap().contains("is the server running"));
    assert_eq!(error.code(), ErrorCode::Unavailable);

    let stranger = Cluster::new();
    let config = Config {
        addresses: vec![world.address.to_string()],
        token: None,
        ca_pem: Some(stranger.authority.bundle().to_pem()),
    };
    let error = Client::new(&config).unwrap().version().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable(_)), "{error:?}");
    assert!(error.hint().unwrap().contains("ca.pem"), "{error}");
}

#[tokio::test]
async fn a_thousand_requests_at_once_are_answered() {
    let world = World::new().await;
    let client = world.client();
    let mut requests = tokio::task::JoinSet::new();
    for i in 0..1_000_u32 {
        let client = client.clone();
        requests.spawn(async move {
            if i.is_multiple_of(10) {
                client.create_team(&team(&format!("team-{i}"))).await.map(|_| ())
            } else {
                client.environments().await.map(|all| assert_eq!(all.len(), 2))
            }
        });
    }
    while let Some(done) = requests.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(client.teams().await.unwrap().len(), 100);
}

#[tokio::test]
async fn writers_of_one_thing_do_not_overwrite_each_other_unseen() {
    let world = World::new().await;
    let client = world.client();
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let client = client.clone();
        requests.spawn(async move { client.create_team(&team("same")).await });
    }
    let mut made = 0;
    while let Some(done) = requests.join_next().await {
        match done.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error.code(), ErrorCode::Conflict, "{error}"),
        }
    }
    assert_eq!(made, 1);
}

#[tokio::test]
async fn stopping_ends_watches_and_lets_go_of_the_port() {
    let mut world = World::new().await;
    let client = world.client();
    let mut watch = client.watch(&["team"], None);
    watch.next().await.unwrap();
    client.teams().await.unwrap();
    world.stop.cancel();
    world.served.take().unwrap().await.unwrap();
    tokio::net::TcpListener::bind(world.address).await.unwrap();
    let request = EnvironmentRequest { order: 7, host_labels: Default::default() };
    let refused = client.put_environment(&"x".parse().unwrap(), &request).await;
    assert!(matches!(refused, Err(ClientError::Unreachable(_))), "{refused:?}");
}

#[tokio::test]
async fn a_host_is_known_by_its_certificate() {
    let world = World::new().await;
    let ask = async |identity: Option<pki::Identity>, path: &str| {
        let identity = identity.map(|identity| SwappableIdentity::new(&identity).unwrap());
        let request = world.request("GET", path, &[], "".into());
        let mut connection = world.connection(identity).await;
        whole(connection.send_request(request).await.unwrap()).await.status.as_u16()
    };
    let now = jiff::Timestamp::now();
    assert_eq!(ask(None, "/v2/").await, 401);
    let host = || world.cluster.authority.issue_host("h1", now).unwrap();
    assert_eq!(ask(Some(host()), "/v2/").await, 200);
    assert_eq!(ask(Some(host()), "/v1/teams").await, 401, "a host is no user");
    let server = world.cluster.authority.issue_server("s1", &Default::default(), now).unwrap();
    assert_eq!(ask(Some(server), "/v2/").await, 401, "a server is no host");
    // The agents' requests are for hosts only.
    let request = world.request("POST", "/agent/v1/stream", &[], "".into());
    let answer = world.connection(None).await.send_request(request).await.unwrap();
    assert_eq!(whole(answer).await.status.as_u16(), 403);
}

#[tokio::test]
async fn a_silent_or_strange_connection_disturbs_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::new().await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(tokio::net::TcpStream::connect(world.address).await.unwrap());
    }
    let mut plain = tokio::net::TcpStream::connect(world.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // A TLS alert at most, then the end: no HTTP is spoken in the clear.
    let read = plain.read_to_end(&mut answer).await;
    assert!(read.is_err() || !answer.starts_with(b"HTTP"), "{answer:?}");
    world.client().teams().await.unwrap();
    let many = "x".repeat(200 << 10);
    let request = world.request("GET", "/healthz", &[("x-long", &many)], "".into());
    let answered = world.connection(None).await.send_request(request).await;
    assert!(answered.is_err() || answered.unwrap().status().as_u16() >= 400);
}
