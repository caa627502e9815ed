//! What probes travel on, as a trait: a UDP socket, or what stands in for one.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::{Context, Poll};

use async_trait::async_trait;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

/// Carries packets, or loses them.
pub trait Wire: fmt::Debug + Send + Sync {
    /// Where packets for it go.
    ///
    /// # Errors
    /// The system does not say.
    fn address(&self) -> io::Result<SocketAddr>;

    /// Sends a packet now.
    ///
    /// # Errors
    /// It can't be sent, or not at once.
    fn send(&self, packet: &[u8], to: SocketAddr) -> io::Result<()>;

    /// Takes the next packet that came; gives from whom.
    fn poll_receive(
        &self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>>;
}

impl Wire for UdpSocket {
    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    fn send(&self, packet: &[u8], to: SocketAddr) -> io::Result<()> {
        self.try_send_to(packet, to).map(|_| ())
    }

    fn poll_receive(
        &self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>> {
        self.poll_recv_from(context, buffer)
    }
}

/// Where sockets to probe from come from.
#[async_trait]
pub trait Sockets: Send + Sync {
    /// A new one; answers come back the way the questions went.
    ///
    /// # Errors
    /// The system gives none.
    async fn open(&self) -> io::Result<Box<dyn Wire>>;
}

/// The system's, on any port: nobody asks who only asks.
#[derive(Debug, Clone, Copy)]
pub struct AnyPort;

#[async_trait]
impl Sockets for AnyPort {
    async fn open(&self) -> io::Result<Box<dyn Wire>> {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Ok(Box::new(UdpSocket::bind(any).await?))
    }
}

/// The next packet's length and sender.
pub(super) async fn receive(wire: &dyn Wire, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    std::future::poll_fn(|context| {
        let mut read = ReadBuf::new(buffer);
        wire.poll_receive(context, &mut read).map_ok(|from| (read.filled().len(), from))
    })
    .await
}
