//! A host that the others suspect: the agent is sent tables without it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use api::assignment::Entry;
use api::id::Generation;
use api::protocol::Down;
use rustix::process::Signal;

use super::world::{PORT, World, ingress_table, network_table, possible};

/// Instances of another host, as far as anybody here can tell.
const AWAY: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 201, 9, 2), Ipv4Addr::new(10, 201, 9, 3)];

/// Listens where an instance would.
fn listen(world: &World, at: Ipv4Addr) -> TcpListener {
    let add = ["addr", "add", &format!("{at}/32"), "dev", "lo"];
    assert!(world.command("ip").args(add).status().unwrap().success());
    world.namespace.run(|| TcpListener::bind((at, PORT)).unwrap()).unwrap()
}

/// The answer of the second comes although the first never says anything: its connection is cut
/// and the request made again, long before it would be given up.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_connection_to_it_is_cut_and_the_request_goes_elsewhere() {
    if !possible() {
        return;
    }
    let mut world = World::new("suspect");
    world.ephemeral();
    let (dead, living) = (listen(&world, AWAY[0]), listen(&world, AWAY[1]));
    let (asked, was_asked) = mpsc::sync_channel(4);
    std::thread::spawn(move || {
        let (mut stream, _) = dead.accept().unwrap();
        let mut head = [0; 1024];
        let length = stream.read(&mut head).unwrap();
        asked.send(String::from_utf8_lossy(&head[..length]).into_owned()).unwrap();
        // Silent, until the other side goes.
        let _ = stream.read(&mut head);
        let _ = asked.send("cut".to_owned());
    });
    std::thread::spawn(move || {
        for stream in living.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nother\n";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let entry = |world: &World, number: usize| {
        let mut entry = world.entry(&format!("web-production-{number}"), "web", "production", 2);
        entry.address = AWAY[number - 1];
        entry
    };
    let tables = |world: &World, generation: u64, numbers: &[usize]| {
        let generation = Generation(generation);
        let entries: Vec<Entry> = numbers.iter().map(|number| entry(world, *number)).collect();
        world.server.say(&Down::Ingress(ingress_table(generation, &entries)));
        world.server.say(&Down::Network(network_table(generation, &entries)));
    };
    tables(&world, 1, &[1, 2]);
    world.start_agent();
    let mut known = world.server.acknowledged.clone();
    known.wait_for(|known| known.ingress == Some(Generation(1))).await.unwrap();

    let (curl, request) = hanging(&world, &was_asked);
    assert!(request.starts_with("GET / "), "{request}");
    tables(&world, 2, &[2]);
    let output = tokio::task::spawn_blocking(move || curl.wait_with_output().unwrap()).await;
    assert_eq!(String::from_utf8_lossy(&output.unwrap().stdout), "other\n");
    let patience = Duration::from_secs(60);
    assert_eq!(was_asked.recv_timeout(patience).unwrap(), "cut");
    // From now on nobody is sent there.
    for _ in 0..8 {
        let output = curl_of(&world).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "other\n");
    }
    world.end_agent(Signal::TERM).await;
}

fn curl_of(world: &World) -> Command {
    let mut command = world.command("curl");
    command.args(["-sS", "--max-time", "30", "-H", "Host: web-production.example"]);
    command.arg("http://127.0.0.1:7080/").stdout(Stdio::piped());
    command
}

/// Makes requests until one hangs at the instance that says nothing; gives what that one heard.
fn hanging(world: &World, was_asked: &mpsc::Receiver<String>) -> (Child, String) {
    for _ in 0..100 {
        let mut curl = curl_of(world).spawn().unwrap();
        while curl.try_wait().unwrap().is_none() {
            if let Ok(request) = was_asked.recv_timeout(Duration::from_millis(10)) {
                return (curl, request);
            }
        }
    }
    panic!("the silent instance was never asked\n{}", world.agent_log());
}
