//! Accepting connections. Every worker accepts from its own duplicate of the same sockets.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::client::ClientState;
use super::serve;
use super::tcp;
use super::worker::Worker;
use crate::control::ListenerRole;

/// Accepts until aborted.
pub(crate) async fn run(worker: Rc<Worker>, listener: TcpListener, role: ListenerRole) {
    loop {
        worker.room().await;
        match listener.accept().await {
            Ok((stream, address)) => {
                // Without it small responses wait for acknowledgements (Nagle).
                let _ = stream.set_nodelay(true);
                let https = role == ListenerRole::Https;
                let client = ClientState::new(&worker, address, https);
                // Entered before anything else can happen, so that a drain waits for it.
                let open = worker.opened(&client);
                tokio::task::spawn_local(async move {
                    connection(client, stream, role).await;
                    drop(open);
                });
            }
            Err(error) if is_transient(&error) => {}
            Err(error) => {
                tracing::warn!(%error, ?role, "accepting a connection");
                // Out of descriptors or memory: it passes when connections end.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

async fn connection(client: Rc<ClientState>, stream: TcpStream, role: ListenerRole) {
    match role {
        ListenerRole::Http => serve::plain(client, stream).await,
        ListenerRole::Https => serve::tls(client, stream).await,
        ListenerRole::Tcp(port) => tcp::serve(client, stream, port).await,
    }
}
