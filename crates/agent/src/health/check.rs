//! One check: connect, or ask and look at the status.

use std::net::Ipv4Addr;
use std::time::Duration;

use api::manifest::{HealthCheck, Protocol};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::http;

/// Why a check did not succeed; the text is what people read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Unhealthy(pub String);

/// Checks once. Being alive is no check here: the machine knows that by itself.
///
/// # Errors
/// Says what was wrong: refused, timed out, answered with which status.
pub async fn check(
    what: &HealthCheck,
    protocol: Protocol,
    address: Ipv4Addr,
    within: Duration,
) -> Result<(), Unhealthy> {
    let looked = timeout(within, look(what, protocol, address)).await;
    match looked {
        Ok(result) => result,
        Err(_) => Err(Unhealthy(format!("{}: no answer in {within:?}", shown(what)))),
    }
}

async fn look(what: &HealthCheck, protocol: Protocol, address: Ipv4Addr) -> Result<(), Unhealthy> {
    match what {
        HealthCheck::Alive => Ok(()),
        HealthCheck::Tcp { port } => connect(what, address, *port).await.map(drop),
        HealthCheck::Http { port, path } => {
            let stream = connect(what, address, *port).await?;
            let authority = format!("{address}:{port}");
            let status = match protocol {
                Protocol::H2c => http::get_h2(stream, &authority, path).await,
                Protocol::Http | Protocol::Tcp => http::get(stream, &authority, path).await,
            };
            match status {
                Ok(200..=399) => Ok(()),
                Ok(status) => Err(Unhealthy(format!("{}: status {status}", shown(what)))),
                Err(why) => Err(Unhealthy(format!("{}: {why}", shown(what)))),
            }
        }
    }
}

async fn connect(what: &HealthCheck, address: Ipv4Addr, port: u16) -> Result<TcpStream, Unhealthy> {
    let failed = |error: std::io::Error| Unhealthy(format!("{}: {error}", shown(what)));
    TcpStream::connect((address, port)).await.map_err(failed)
}

fn shown(what: &HealthCheck) -> String {
    match what {
        HealthCheck::Alive => "alive".to_owned(),
        HealthCheck::Tcp { port } => format!("tcp port {port}"),
        HealthCheck::Http { port, path } => format!("GET :{port}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const LOCAL: Ipv4Addr = Ipv4Addr::LOCALHOST;

    /// A server that answers its one caller with these bytes and then keeps the connection.
    async fn answering(bytes: &'static [u8]) -> u16 {
        let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            stream.write_all(bytes).await.unwrap();
            let _ = stream.read(&mut request).await;
        });
        port
    }

    async fn get(bytes: &'static [u8], within: Duration) -> Result<(), Unhealthy> {
        let port = answering(bytes).await;
        let what = HealthCheck::Http { port, path: "/healthz".into() };
        check(&what, Protocol::Http, LOCAL, within).await
    }

    #[tokio::test]
    async fn statuses_decide() {
        let long = Duration::from_secs(30);
        assert_eq!(get(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", long).await, Ok(()));
        assert_eq!(get(b"HTTP/1.0 302 Found\r\n\r\n", long).await, Ok(()));
        let error = get(b"HTTP/1.1 503 Busy\r\n\r\n", long).await.unwrap_err();
        assert!(error.0.contains("status 503"), "{error}");
        assert!(get(b"SSH-2.0-x\r\n\r\n", long).await.is_err());
    }

    #[tokio::test]
    async fn silence_and_refusal_are_told() {
        let error = get(b"", Duration::from_millis(30)).await.unwrap_err();
        assert!(error.0.contains("no answer"), "{error}");
        let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let what = HealthCheck::Tcp { port };
        let long = Duration::from_secs(30);
        assert_eq!(check(&what, Protocol::Tcp, LOCAL, long).await, Ok(()));
        drop(listener);
        let error = check(&what, Protocol::Tcp, LOCAL, long).await.unwrap_err();
        assert!(error.0.contains("refused"), "{error}");
    }
}
