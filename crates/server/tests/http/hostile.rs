//! Peers that lie, stammer or shout: what they send is refused, told, and changes nothing.

use std::sync::Arc;

use api::about::{About, Settings};
use api::authority::Trusts;
use api::frame::encode;
use api::host::Capacity;
use api::id::{Generation, HostId};
use api::protocol::{Hello, MAX_FRAME_BYTES, Place, Up, VERSION};
use api::status::HostStatus;
use api::time::Timestamp;
use http::StatusCode;
use jiff::SignedDuration;
use pki::{Identity, ServerNames, SwappableIdentity};
use server::core::{PEER_VERSION, Word};

use crate::world::{Answer, World, whole};

impl World {
    fn host_identity(&self, name: &str) -> Identity {
        self.cluster.authority.issue_host(name, self.cluster.clock.now()).unwrap()
    }

    fn server_identity(&self, name: &str) -> Identity {
        let names = ServerNames::default();
        self.cluster.authority.issue_server(name, &names, self.cluster.clock.now()).unwrap()
    }

    /// Says all of it at once, then nothing more; gives the whole answer.
    async fn says(&self, path: &str, who: Option<&Identity>, bytes: Vec<u8>) -> Answer {
        let who = who.map(|identity| SwappableIdentity::new(identity).unwrap());
        let request = self.request("POST", path, &[], bytes.into());
        let response = self.connection(who).await.send_request(request).await.unwrap();
        whole(response).await
    }

    async fn agent_says(&self, who: &Identity, frames: &[Vec<u8>]) -> Answer {
        self.says("/agent/v1/stream", Some(who), frames.concat()).await
    }

    fn known(&self, host: &str) -> bool {
        self.core.view().hosts.contains_key(host)
    }

    /// Waits until something was told that has this in it.
    async fn tells(&self, kind: &str, part: &str) {
        let mut all = Vec::new();
        for _ in 0..2000 {
            all.extend(self.told());
            if all.iter().any(|event| event.kind == kind && event.message.contains(part)) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("nobody told {kind} {part:?}: {all:?}");
    }
}

fn hello(host: &str, version: u32) -> Vec<u8> {
    let hello = Hello {
        version,
        host: host.parse().unwrap(),
        binary: "test".into(),
        capacity: Capacity::default(),
        place: Place::default(),
    };
    encode(&Up::Hello(hello)).unwrap()
}

fn about(at: jiff::Timestamp, domain: &str, settings: Option<Settings>) -> Vec<u8> {
    let place = Place { domain: Some(domain.parse().unwrap()), ..Place::default() };
    encode(&Up::About(Box::new(About {
        place,
        domain_problem: String::new(),
        trusts: Trusts::default(),
        settings,
        time: Timestamp(at.as_millisecond()),
    })))
    .unwrap()
}

/// A frame of this length that never comes whole, one that is no JSON, and one that would be far
/// too large once unpacked.
fn hostile_frames() -> Vec<(&'static str, Vec<u8>)> {
    let longest = u32::try_from(MAX_FRAME_BYTES).unwrap();
    let framed = |length: u32, body: &[u8]| [&length.to_be_bytes(), body].concat();
    let bomb = zstd::bulk::compress(&vec![b' '; 64 << 20], 19).unwrap();
    let packed = |body: &[u8]| framed(u32::try_from(body.len()).unwrap() | 1 << 31, body);
    vec![
        ("too long", framed(longest + 1, b"")),
        ("far too long", framed(u32::MAX, b"x")),
        ("no JSON", framed(3, b"{,}")),
        ("of no kind", framed(14, br#"{"type":"what"}"#)),
        ("no zstd", packed(b"nothing of the kind")),
        ("a bomb", packed(&bomb)),
    ]
}

#[tokio::test]
async fn an_agent_speaks_for_its_own_host_alone() {
    let world = World::new().await;
    let (h1, s2) = (world.host_identity("h1"), world.server_identity("s2"));
    let nobody = world.says("/agent/v1/stream", None, hello("h1", VERSION)).await;
    assert_eq!(nobody.status, StatusCode::FORBIDDEN);
    let server = world.agent_says(&s2, &[hello("s2", VERSION)]).await;
    assert_eq!(server.status, StatusCode::FORBIDDEN, "{:?}", server.error());

    // Another host's assignment and secrets are asked for by another host's name.
    let other = world.agent_says(&h1, &[hello("h2", VERSION)]).await;
    assert_eq!(other.status, StatusCode::FORBIDDEN);
    assert!(other.error().message.contains("is of host h1, the agent says h2"));
    world.tells("host.refused", "the agent says h2").await;
    let newer = world.agent_says(&h1, &[hello("h1", VERSION + 1)]).await;
    assert_eq!(newer.status, StatusCode::FORBIDDEN);
    assert!(newer.error().message.contains("version"), "{:?}", newer.error());
    assert!(!world.known("h1") && !world.known("h2"));

    let report = HostStatus {
        host: "h2".parse().unwrap(),
        generation: Generation(7),
        capacity: Capacity::default(),
        version: "test".into(),
        instances: Vec::new(),
        images: Vec::new(),
    };
    let frames = [hello("h1", VERSION), encode(&Up::Status(report)).unwrap()];
    let own = world.agent_says(&h1, &frames).await;
    assert_eq!(own.status, StatusCode::OK);
    let h2 = HostId::new("h2").unwrap();
    assert!(!world.core.agents.gathered.statuses().contains_key(&h2));
    assert!(world.known("h1") && !world.known("h2"));
}

#[tokio::test]
async fn hostile_frames_end_a_stream_and_nothing_else() {
    let world = World::new().await;
    let (h1, s2) = (world.host_identity("h1"), world.server_identity("s2"));
    let good = [hello("h1", VERSION), about(world.cluster.clock.now(), "rack-1", None)];
    for (what, frame) in hostile_frames() {
        let first = world.agent_says(&h1, std::slice::from_ref(&frame)).await;
        assert_eq!(first.status, StatusCode::BAD_REQUEST, "{what}");
        let later = world.agent_says(&h1, &[good[0].clone(), frame.clone()]).await;
        assert_eq!(later.status, StatusCode::OK, "{what}: the greeting was good");
        let peer = world.says("/peer/v1/stream", Some(&s2), frame.clone()).await;
        assert!(peer.status.is_client_error(), "{what}: {}", peer.status);
        let word = Word::Hello { version: PEER_VERSION, server: "s2".parse().unwrap() };
        let bytes = [encode(&word).unwrap(), frame].concat();
        let peer = world.says("/peer/v1/stream", Some(&s2), bytes).await;
        assert_eq!(peer.status, StatusCode::OK, "{what}");
        assert_eq!(world.core.agents.gathered.peers(), [], "{what}: it is gone again");
    }
    world.tells("host.refused", "what is no frame").await;
    // A frame that was cut off is no frame.
    let cut = &good.concat()[..good[0].len() + 5];
    let answer = world.says("/agent/v1/stream", Some(&h1), cut.to_vec()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(world.agent_says(&h1, &good).await.status, StatusCode::OK, "it may come again");
    assert_eq!(world.client().hosts().await.unwrap().len(), 1);
}

#[tokio::test]
async fn only_servers_of_this_cluster_speak_as_servers() {
    let (world, stranger) = (World::new().await, World::new().await);
    let (h1, s2) = (world.host_identity("h1"), world.server_identity("s2"));
    let word = |version, server: &str| {
        let server = server.parse().unwrap();
        encode(&Word::Hello { version, server }).unwrap()
    };
    for (who, greeting) in [
        (None, word(PEER_VERSION, "s2")),
        (Some(&h1), word(PEER_VERSION, "s2")),
        (Some(&s2), word(PEER_VERSION, "s3")),
        (Some(&s2), word(PEER_VERSION + 1, "s2")),
    ] {
        let answer = world.says("/peer/v1/stream", who, greeting.clone()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        let asked = br#"{"host":"h1","instance":"a-b-00000001","tail":1,"follow":false}"#;
        if who.is_none() || who.is_some_and(|who| std::ptr::eq(who, &h1)) {
            let json = &[("content-type", "application/json")];
            let request = world.request("POST", "/peer/v1/logs", json, asked.to_vec().into());
            let who = who.map(|who| SwappableIdentity::new(who).unwrap());
            let answer = world.connection(who).await.send_request(request).await.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "nor asks for lines");
        }
    }
    // Another cluster's authority may have the same name: its members are strangers.
    let foreign = stranger.server_identity("s2");
    let tls = pki::client_tls(&pki::ClientTls {
        authorities: world.cluster.authority.bundle(),
        identity: Some(SwappableIdentity::new(&foreign).unwrap()),
        alpn: &[b"http/1.1"],
        time: None,
    });
    let tcp = tokio::net::TcpStream::connect(world.address).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls.unwrap()));
    let refused = async {
        let mut stream = connector.connect(name, tcp).await?;
        tokio::io::AsyncReadExt::read_u8(&mut stream).await
    };
    assert!(refused.await.is_err());
    assert_eq!(world.core.agents.gathered.peers(), []);
}

#[tokio::test]
async fn what_a_host_says_of_itself_is_taken_over_and_compared() {
    let world = World::new().await;
    let now = world.cluster.clock.now();
    let settings = |overlay: &str| {
        Some(Settings {
            overlay: overlay.into(),
            overlay_port: 4789,
            vip_port: 7445,
            probe_port: Some(7444),
            instance_range: world.core.instance_range,
            service_range: world.core.service_range,
        })
    };
    let say = async |host: &str, frame: Vec<u8>| {
        let identity = world.host_identity(host);
        world.agent_says(&identity, &[hello(host, VERSION), frame]).await;
    };
    for host in ["h1", "h2"] {
        say(host, about(now, "rack-1", settings("auto"))).await;
        world.tells("host.moved", &format!("host {host} moved")).await;
    }
    // A virtual machine was moved; its clock is an hour off; it was set otherwise.
    let wrong = now - SignedDuration::from_hours(1);
    say("h3", about(now, "rack-1", settings("auto"))).await;
    world.tells("host.moved", "host h3 moved from failure domain nowhere to rack-1").await;
    say("h3", about(wrong, "rack-2", settings("vxlan"))).await;
    world.tells("host.moved", "from failure domain rack-1 to rack-2").await;
    let h3 = "h3".parse().unwrap();
    let mut shown = world.client().host(&h3).await.unwrap();
    for _ in 0..2000 {
        if shown.problems.len() == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        shown = world.client().host(&h3).await.unwrap();
    }
    assert_eq!(shown.host.domain.to_string(), "rack-2");
    assert!(shown.problems[0].contains("--overlay is vxlan here and auto on 2"), "{shown:?}");
    assert!(shown.problems[1].contains("its clock is off by 1h"), "{shown:?}");
    let h1 = world.client().host(&"h1".parse().unwrap()).await.unwrap();
    assert_eq!(h1.problems, [""; 0]);
}
