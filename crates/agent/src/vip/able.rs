//! Whether this host's proxy answers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Between two questions.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// How long the proxy may take; it answers within a millisecond when it has the processor.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// Questions without an answer until the proxy counts as dead: with the above, within 1.5 s.
const MISSES: u32 = 2;

/// Any request will do: that there is no such host is an answer, and TLS answers with an alert.
const QUESTION: &[u8] = b"GET / HTTP/1.1\r\nHost: freehold.invalid\r\nConnection: close\r\n\r\n";

/// Keeps asking the proxy that listens at `at` and says in `able` whether it answers. The agent
/// holds the listening socket, so only bytes prove that a proxy is there.
pub async fn watch_proxy(at: SocketAddr, able: Arc<AtomicBool>) {
    let mut missed = MISSES;
    let at = match at.ip() {
        ip if ip.is_unspecified() => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), at.port()),
        _ => at,
    };
    loop {
        let answered = matches!(timeout(ANSWER_WITHIN, ask(at)).await, Ok(Ok(bytes)) if bytes > 0);
        missed = if answered { 0 } else { missed.saturating_add(1) };
        let now = missed < MISSES;
        if able.swap(now, Ordering::Relaxed) != now {
            tracing::info!(answers = now, "the proxy, as far as held addresses go");
        }
        sleep(ASK_EVERY).await;
    }
}

async fn ask(at: SocketAddr) -> std::io::Result<usize> {
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(QUESTION).await?;
    stream.read(&mut [0; 16]).await
}
