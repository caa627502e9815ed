//! The sockets: one for datagrams, one for streams, on the gateway's address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::answer::{Answer, answer, server_failure};
use super::forward::{Way, forward, read_framed, write_framed};
use super::table::NameTable;

/// Questions passed on at once; one costs a socket and 64 KiB while it waits: 16 MiB in all.
const MAX_FORWARDED: usize = 256;

/// Streams open at once.
const MAX_STREAMS: usize = 64;

/// How long a stream may be silent (RFC 7766 §6.2.3 asks for seconds).
const STREAM_IDLE: Duration = Duration::from_secs(10);

/// The largest question that is read from a datagram.
const MAX_QUESTION_BYTES: usize = 4096;

/// The sockets could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("listen for DNS questions on {address}")]
pub struct DnsError {
    /// Where.
    pub address: SocketAddr,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// The resolver of this host's containers.
#[derive(Debug)]
pub struct DnsServer {
    udp: Arc<UdpSocket>,
    tcp: TcpListener,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    table: Arc<ArcSwap<NameTable>>,
    resolvers: Vec<SocketAddr>,
    forwarding: Semaphore,
}

impl DnsServer {
    /// Opens both sockets.
    ///
    /// # Errors
    /// The address is not there or is taken.
    pub async fn bind(
        address: SocketAddr,
        table: Arc<ArcSwap<NameTable>>,
        resolvers: Vec<SocketAddr>,
    ) -> Result<Self, DnsError> {
        let failed = |source| DnsError { address, source };
        let udp = UdpSocket::bind(address).await.map_err(failed)?;
        // A port chosen by the kernel is taken for both.
        let address = udp.local_addr().map_err(failed)?;
        let tcp = TcpListener::bind(address).await.map_err(failed)?;
        let forwarding = Semaphore::new(MAX_FORWARDED);
        let shared = Arc::new(Shared { table, resolvers, forwarding });
        Ok(Self { udp: Arc::new(udp), tcp, shared })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The socket cannot be asked.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// Answers until dropped.
    pub async fn run(self) {
        tokio::join!(datagrams(self.udp, self.shared.clone()), streams(self.tcp, self.shared));
    }
}

async fn datagrams(socket: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut buffer = vec![0; MAX_QUESTION_BYTES];
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                // An unreachable asker shows up here; the socket is as good as before.
                tracing::debug!(%error, "receiving a question");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let packet = &buffer[..length];
        match answer(&shared.table.load(), v4(from), packet) {
            Answer::Ready(reply) => send(&socket, &reply, from).await,
            Answer::Ignore => {}
            Answer::Forward => {
                let Ok(permit) = shared.forwarding.try_acquire() else {
                    if let Some(reply) = server_failure(packet) {
                        send(&socket, &reply, from).await;
                    }
                    continue;
                };
                permit.forget();
                let (socket, shared, packet) = (socket.clone(), shared.clone(), packet.to_vec());
                tokio::spawn(async move {
                    let reply = forward(&shared.resolvers, &packet, Way::Udp).await;
                    shared.forwarding.add_permits(1);
                    if let Some(reply) = reply.or_else(|| server_failure(&packet)) {
                        send(&socket, &reply, from).await;
                    }
                });
            }
        }
    }
}

async fn send(socket: &UdpSocket, reply: &[u8], to: SocketAddr) {
    if let Err(error) = socket.send_to(reply, to).await {
        tracing::debug!(%to, %error, "sending a DNS answer");
    }
}

async fn streams(listener: TcpListener, shared: Arc<Shared>) {
    let open = Arc::new(Semaphore::new(MAX_STREAMS));
    loop {
        let Ok(permit) = open.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                let shared = shared.clone();
                tokio::spawn(async move {
                    if let Err(error) = stream_of(stream, v4(from), &shared).await {
                        tracing::debug!(%from, %error, "answering on a DNS stream");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a DNS stream");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn stream_of(mut stream: TcpStream, asker: Ipv4Addr, shared: &Shared) -> io::Result<()> {
    loop {
        let Ok(packet) = timeout(STREAM_IDLE, read_framed(&mut stream)).await else {
            return Ok(());
        };
        let packet = match packet {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        };
        let decided = answer(&shared.table.load(), asker, &packet);
        let reply = match decided {
            Answer::Ready(reply) => Some(reply),
            Answer::Ignore => return Ok(()),
            Answer::Forward => {
                let _permit = shared.forwarding.acquire().await.map_err(io::Error::other)?;
                let reply = forward(&shared.resolvers, &packet, Way::Tcp).await;
                reply.or_else(|| server_failure(&packet))
            }
        };
        let Some(reply) = reply else { return Ok(()) };
        timeout(STREAM_IDLE, write_framed(&mut stream, &reply)).await??;
    }
}

fn v4(from: SocketAddr) -> Ipv4Addr {
    match from.ip() {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Message, Query, ResponseCode};
    use hickory_proto::rr::{Name, RecordType};

    use super::*;

    async fn serving(resolvers: Vec<SocketAddr>) -> SocketAddr {
        let table = Arc::new(ArcSwap::from_pointee(NameTable::default()));
        let server = DnsServer::bind((Ipv4Addr::LOCALHOST, 0).into(), table, resolvers).await;
        let server = server.unwrap();
        let address = server.address().unwrap();
        tokio::spawn(server.run());
        address
    }

    fn question(name: &str) -> Vec<u8> {
        let mut question = Message::query();
        question.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
        question.to_vec().unwrap()
    }

    async fn ask(server: SocketAddr, packet: &[u8], way: Way) -> Message {
        let answer = forward(&[server], packet, way).await.unwrap();
        Message::from_vec(&answer).unwrap()
    }

    /// One of ours without names is the other's outside: its answers come through unchanged.
    #[tokio::test]
    async fn questions_about_the_outside_go_through_both_ways() {
        let broken = serving(vec![]).await;
        let outer = serving(vec![broken]).await;
        for way in [Way::Udp, Way::Tcp] {
            let packet = question("example.com.");
            let reply = ask(outer, &packet, way).await;
            assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
            assert_eq!(reply.metadata.id.to_be_bytes(), packet[..2]);
            let reply = ask(outer, &question("x.internal."), way).await;
            assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
        }
    }
}
