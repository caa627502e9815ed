//! One agent's stream: a greeting, then reports, acknowledgments and heartbeats up, documents down.

use std::net::SocketAddr;
use std::sync::Arc;

use api::about::About;
use api::error::{ApiError, ErrorCode};
use api::id::HostId;
use api::protocol::{Up, VERSION};
use api::time::Timestamp;
use api::unit::Millis;
use api::vip::HeldSince;
use axum::body::Body;
use axum::extract::{ConnectInfo, Extension, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use futures_util::Stream;
use pki::PeerIdentity;
use tokio::sync::{mpsc, watch};

use super::frames::{FrameError, Frames};
use super::router::{Unwelcome, host_of, refuse};
use crate::core::{Agents, Core, StreamEnd};

/// More virtual addresses than there can be.
const MOST_HELD: usize = 256;

/// Between two attempts to write down what a host says of itself.
const ABOUT_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// One agent's stream: its frames come in the request's body, ours go out in the answer's.
pub(super) async fn stream(
    State(core): State<Arc<Core>>,
    peer: Option<Extension<PeerIdentity>>,
    unwelcome: Option<Extension<Unwelcome>>,
    from: Option<Extension<ConnectInfo<SocketAddr>>>,
    body: Body,
) -> Response {
    let host = match host_of(peer, unwelcome) {
        Ok(host) => host,
        Err(refused) => return *refused,
    };
    let mut frames = Frames::new(body.into_data_stream());
    let hello = match frames.next::<Up>().await {
        Some(Ok(Up::Hello(hello))) => hello,
        Some(Ok(_)) | None => {
            let error = ApiError::new(ErrorCode::Invalid, "the first frame is not a greeting");
            return refuse(StatusCode::BAD_REQUEST, &error);
        }
        Some(Err(error)) => {
            let error = ApiError::new(ErrorCode::Invalid, error.to_string());
            return refuse(StatusCode::BAD_REQUEST, &error);
        }
    };
    if hello.host != host || hello.version > VERSION {
        let message = format!(
            "the certificate is of host {host}, the agent says {} and speaks version {}",
            hello.host, hello.version
        );
        core.refused("host.refused", host.as_str(), &message);
        let error = ApiError::new(ErrorCode::Forbidden, message);
        return refuse(StatusCode::FORBIDDEN, &error);
    }
    if let Err(error) = core.welcome(&host, &hello.place).await {
        let status = match error.code {
            ErrorCode::Forbidden => StatusCode::FORBIDDEN,
            ErrorCode::Invalid => {
                core.refused("host.refused", host.as_str(), &format!("host {host}: {error}"));
                StatusCode::BAD_REQUEST
            }
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        return refuse(status, &error);
    }
    let distant = from.is_some_and(|Extension(from)| core.is_distant(from.0.ip()));
    tracing::info!(%host, version = hello.binary, "an agent connected");
    let (end, receiver) = Agents::connect(&core, &host, distant);
    let alive = Arc::new(end);
    tokio::spawn(listen(core, host, frames, alive.clone()));
    Response::new(Body::from_stream(outgoing(receiver, alive)))
}

/// What is sent to an agent. It ends when the agents' registry drops the sender; as long as it is
/// polled it keeps the stream registered.
fn outgoing(
    mut receiver: mpsc::Receiver<Bytes>,
    alive: Arc<StreamEnd>,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    futures_util::stream::poll_fn(move |context| {
        let _registered = &alive;
        receiver.poll_recv(context).map(|frame| frame.map(Ok))
    })
}

/// Takes an agent's frames until its stream ends.
async fn listen(core: Arc<Core>, host: HostId, mut frames: Frames, alive: Arc<StreamEnd>) {
    let (abouts, newest) = watch::channel(None);
    tokio::spawn(take_abouts(core.clone(), host.clone(), newest));
    while let Some(frame) = frames.next::<Up>().await {
        match frame {
            Ok(Up::Status(status)) if status.host == host => {
                core.agents.gathered.report(status);
            }
            Ok(Up::Status(status)) => {
                let claimed = status.host;
                let message = format!("host {host} sent a report of host {claimed}: refused");
                core.refused("host.refused", host.as_str(), &message);
                break;
            }
            Ok(Up::Acknowledge(acknowledge)) => {
                core.agents.gathered.acknowledge(&host, acknowledge)
            }
            Ok(Up::Traffic { routes }) => core.agents.gathered.count(&host, routes),
            Ok(Up::Observed(observed)) => core.agents.gathered.observed(&host, observed),
            Ok(Up::Holds { addresses }) => {
                // By our clock: the host's may be off.
                let now = core.now();
                let since = |held: Millis| Timestamp(now.0.saturating_sub_unsigned(held.0));
                let addresses = addresses
                    .into_iter()
                    .map(|one| HeldSince { address: one.address, since: since(one.held) });
                core.agents.gathered.holds(&host, addresses.take(MOST_HELD).collect());
            }
            Ok(Up::Lease(request)) => {
                core.agents.gathered.heard(&host);
                core.ask_lease(&host, request, None);
            }
            Ok(Up::About(about)) => {
                core.agents.gathered.heard(&host);
                abouts.send_replace(Some(*about));
            }
            Ok(Up::Heartbeat | Up::Hello(_)) => core.agents.gathered.heard(&host),
            // Its host may have died; whether it did is for the observers to say.
            Err(error @ FrameError::Broken(_)) => {
                tracing::info!(%host, %error, "an agent's stream ends");
                break;
            }
            Err(error) => {
                let message = format!("host {host} sent what is no frame: {error}");
                core.refused("host.refused", host.as_str(), &message);
                break;
            }
        }
    }
    alive.end();
}

/// Takes over what the agent says of its host, the newest only, beside its stream: the store may be
/// slow, and heartbeats are not to wait for it.
async fn take_abouts(core: Arc<Core>, host: HostId, mut newest: watch::Receiver<Option<About>>) {
    while newest.changed().await.is_ok() {
        let Some(about) = newest.borrow_and_update().clone() else { continue };
        while let Err(error) = core.heard_about(&host, about.clone()).await {
            tracing::warn!(%host, %error, "write down what a host says of itself");
            // A newer one takes its place; when the stream ends, the next one says it again.
            tokio::select! {
                () = tokio::time::sleep(ABOUT_AGAIN) => {}
                changed = newest.changed() => match changed {
                    Ok(()) => {
                        newest.mark_changed();
                        break;
                    }
                    Err(_) => return,
                },
            }
        }
    }
}
