//! The API's listening socket.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Listens at an address. Where that is every address, the ingress of this machine may answer at
/// single ones, the virtual addresses: it lets the port be shared, which nobody else does.
///
/// # Errors
/// The address is taken, or not this machine's.
pub async fn bind(api: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(api).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && api.ip().is_unspecified() => {
            shared(api).map_err(|_| error)
        }
        other => other,
    }
}

fn shared(api: SocketAddr) -> io::Result<TcpListener> {
    let socket = if api.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(api)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everywhere(port: u16) -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0], port))
    }

    #[tokio::test]
    async fn every_address_beside_one_that_is_shared_and_no_other() {
        let ingress = shared("127.0.0.2:0".parse().unwrap()).unwrap();
        let port = ingress.local_addr().unwrap().port();
        let server = bind(everywhere(port)).await.unwrap();
        let asked = tokio::net::TcpStream::connect(("127.0.0.2", port)).await.unwrap();
        let (_, from) = ingress.accept().await.unwrap();
        assert_eq!(from, asked.local_addr().unwrap(), "the single address comes first");
        let asked = tokio::net::TcpStream::connect(("127.0.0.3", port)).await.unwrap();
        let (_, from) = server.accept().await.unwrap();
        assert_eq!(from, asked.local_addr().unwrap());
        let taken = TcpListener::bind("127.0.0.4:0").await.unwrap();
        let refused = bind(everywhere(taken.local_addr().unwrap().port())).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }
}
