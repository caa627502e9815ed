//! TCP routes: ports, server names, the PROXY protocol.

use std::net::{IpAddr, SocketAddr};

use api::ingress::{Certificate, TcpListen};
use proxy::control::ListenerRole;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::app::App;
use crate::load::{text, tool};
use crate::world::{World, backend, certificate, nobody, route, tcp_route};

/// An instance that says everything it got, once the client has closed its side.
async fn parrot() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await.unwrap();
                stream.write_all(&all).await.unwrap();
            });
        }
    });
    address
}

async fn said(address: SocketAddr, bytes: &[u8]) -> (SocketAddr, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    // A connection without a route is reset when bytes were not read.
    let _ = stream.read_to_end(&mut answer).await;
    (stream.local_addr().unwrap(), answer)
}

#[tokio::test]
async fn a_port_is_passed_on_with_the_clients_address_where_asked() {
    let mut world = World::with_tcp(&[5432, 5433, 5434]).await;
    let instance = parrot().await;
    world.table.backends.push(backend("plain", &[nobody(), nobody(), instance]));
    world.table.backends.push(backend("told", &[instance]));
    world.table.tcp.push(tcp_route("plain", TcpListen::Port(5432), &[]));
    let mut told = tcp_route("told", TcpListen::Port(5433), &[]);
    told.proxy_protocol = true;
    world.table.tcp.push(told);
    world.push().await;
    let big = vec![7; 300_000];
    let (_, answer) = said(world.address(ListenerRole::Tcp(5432)), &big).await;
    assert!(answer == big, "{} bytes", answer.len());
    let at = world.address(ListenerRole::Tcp(5433));
    let (from, answer) = said(at, b"hello").await;
    let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01".to_vec();
    expected.extend_from_slice(&from.port().to_be_bytes());
    expected.extend_from_slice(&at.port().to_be_bytes());
    expected.extend_from_slice(b"hello");
    assert_eq!(answer, expected);
    let (_, answer) = said(world.address(ListenerRole::Tcp(5434)), b"nobody").await;
    assert_eq!(answer, b"");
    let log = world.log(2).await;
    let plain = log.iter().find(|line| line["route"] == "plain").unwrap();
    assert_eq!((&plain["bytes_in"], &plain["bytes_out"]), (&300_000.into(), &300_000.into()));
    assert_eq!(plain["scheme"], "tcp");
    let snapshot = world.client.metrics().await.unwrap();
    let told = snapshot.routes.iter().find(|route| route.route == "told").unwrap();
    assert_eq!(told.counters.by_class, [0, 1, 0, 0, 0]);
}

/// An instance that terminates TLS by itself.
async fn tls_instance(certificate: &Certificate) -> SocketAddr {
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    let chain =
        vec![CertificateDer::from_pem_slice(certificate.cert_chain_pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut buffer = [0; 4096];
                if stream.read(&mut buffer).await.is_ok() {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\npassed\n";
                    let _ = stream.write_all(answer).await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn server_names_are_passed_through_beside_terminated_ones() {
    let mut world = World::with_tcp(&[8443]).await;
    let app = App::start("app");
    let instance = tls_instance(&certificate(&["pass.test"])).await;
    world.table.certificates = vec![certificate(&["a.test"])];
    world.table.backends.push(backend("pass", &[instance]));
    let names = ["pass.test", "*.pass.test"];
    world.table.tcp.push(tcp_route("pass", TcpListen::Https, &names));
    world.table.backends.push(backend("port", &[instance]));
    world.table.tcp.push(tcp_route("port", TcpListen::Port(8443), &["x.pass.test"]));
    world.route(route("r", "a.test"), &[app.address]).await;
    let ports = [world.https().port(), world.address(ListenerRole::Tcp(8443)).port()];
    for (host, port, expected) in [
        ("pass.test", ports[0], "passed\n"),
        ("X.Y.pass.test", ports[0], "passed\n"),
        ("a.test", ports[0], "app\n"),
        ("x.pass.test", ports[1], "passed\n"),
        ("other.test", ports[1], ""),
    ] {
        let resolve = format!("{host}:{port}:127.0.0.1");
        let url = format!("https://{host}:{port}/");
        let arguments = ["-sk", "--http1.1", "--max-time", "20", "--resolve", &resolve, &url];
        let Some(output) = tool("curl", &arguments).await else { return };
        assert_eq!(text(&output.stdout), expected, "{host}:{port}");
    }
    let loopback: IpAddr = "127.0.0.1".parse().unwrap();
    assert_eq!(world.https().ip(), loopback);
}
