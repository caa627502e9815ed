//! Asking the host's resolvers, byte for byte.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long one resolver may take. Three of them together stay below the 5 s after which most
/// clients ask again (resolv.conf(5), `timeout`).
const ANSWER_WITHIN: Duration = Duration::from_millis(1500);

/// The largest answer by UDP: what clients offer by EDNS is at most this.
const MAX_UDP_BYTES: usize = 65_535;

/// How a question came, and so how it is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By datagram.
    Udp,
    /// By stream.
    Tcp,
}

/// Asks one resolver after another; none when none answered.
pub(super) async fn forward(resolvers: &[SocketAddr], packet: &[u8], way: Way) -> Option<Vec<u8>> {
    for resolver in resolvers {
        let asked = async {
            match way {
                Way::Udp => by_udp(*resolver, packet).await,
                Way::Tcp => by_tcp(*resolver, packet).await,
            }
        };
        match timeout(ANSWER_WITHIN, asked).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => tracing::debug!(%resolver, %error, "asking a resolver"),
            Err(_) => tracing::debug!(%resolver, "a resolver did not answer"),
        }
    }
    None
}

async fn by_udp(resolver: SocketAddr, packet: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match resolver {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // A connected socket on a port of its own takes nobody else's datagrams; the id is kept, so
    // what an attacker would have to guess is what the asker chose and the port.
    let socket = UdpSocket::bind(any).await?;
    socket.connect(resolver).await?;
    socket.send(packet).await?;
    let mut answer = vec![0; MAX_UDP_BYTES];
    loop {
        let length = socket.recv(&mut answer).await?;
        if length >= 12 && answer[..2] == packet[..2] {
            answer.truncate(length);
            answer.shrink_to_fit();
            return Ok(answer);
        }
    }
}

async fn by_tcp(resolver: SocketAddr, packet: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(resolver).await?;
    write_framed(&mut stream, packet).await?;
    read_framed(&mut stream).await
}

/// Writes a message with its length in front (RFC 1035 §4.2.2).
pub(super) async fn write_framed(stream: &mut TcpStream, packet: &[u8]) -> io::Result<()> {
    let length = u16::try_from(packet.len()).map_err(io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(packet);
    stream.write_all(&framed).await
}

/// Reads a message with its length in front.
pub(super) async fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut packet = vec![0; usize::from(length)];
    stream.read_exact(&mut packet).await?;
    Ok(packet)
}
