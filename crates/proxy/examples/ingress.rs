//! A proxy with one route, for measuring: `ingress HTTP_ADDRESS BACKEND_ADDRESS... [log=PATH]
//! [workers=N]`. Binds the address, gives the socket and a table to the proxy over its control
//! socket as an agent would, and serves until it is killed.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::PathBuf;

use api::id::{Generation, ReleaseNumber};
use api::ingress::{Backend, BackendRef, Endpoint, IngressTable, Protocol, Route};
use proxy::control::{Client, ListenerRole};
use proxy::{AccessLog, Options};

fn main() {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    let control = std::env::temp_dir().join(format!("ingress-{}.sock", std::process::id()));
    let mut options = Options::new(control.clone());
    for argument in std::env::args().skip(1) {
        if let Some(path) = argument.strip_prefix("log=") {
            let path = PathBuf::from(path);
            options.access_log = Some(AccessLog { path, max_bytes: 64 << 20, keep: 1 });
        } else if let Some(workers) = argument.strip_prefix("workers=") {
            options.workers = workers.parse().ok();
        } else {
            addresses.push(argument.parse().expect("an address"));
        }
    }
    let (http, backends) = addresses.split_first().expect("an address to listen on");
    let listener = TcpListener::bind(http).expect("a free address");
    let table = table(backends);
    let steering = std::thread::spawn(move || steer(&control, &listener, table));
    proxy::run(&options).expect("the proxy runs");
    steering.join().expect("steering does not panic");
}

fn table(backends: &[SocketAddr]) -> IngressTable {
    let endpoint = |(index, address): (usize, &SocketAddr)| Endpoint {
        instance: format!("app-bench-{index}").parse().expect("a name"),
        release: ReleaseNumber(1),
        address: *address,
        weight: 1,
    };
    IngressTable {
        generation: Generation(1),
        routes: vec![Route {
            name: "bench".into(),
            host: "*".into(),
            path: "/".into(),
            app: "app".parse().expect("a name"),
            environment: "bench".parse().expect("a name"),
            backends: vec![BackendRef { backend: "all".into(), weight: 1 }],
            protocol: Protocol::Http1,
            redirect_to_https: false,
            response_timeout_ms: 60_000,
            idle_timeout_ms: 60_000,
            max_body_bytes: Some(1 << 30),
        }],
        backends: vec![Backend {
            name: "all".into(),
            endpoints: backends.iter().enumerate().map(endpoint).collect(),
        }],
        ..IngressTable::default()
    }
}

fn steer(control: &std::path::Path, listener: &TcpListener, table: IngressTable) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut client = loop {
            match Client::connect(control).await {
                Ok((client, _)) => break client,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        };
        client.table(table).await.expect("the table is taken");
        let sockets = [(ListenerRole::Http, listener.as_fd())];
        let listening = client.listen(&sockets).await.expect("the socket is taken");
        eprintln!("serving on {}", listening[0].address);
    });
}
