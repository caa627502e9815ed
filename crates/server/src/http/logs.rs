//! Log lines as lines of JSON.

use std::marker::PhantomData;
use std::time::Duration;

use api::error::ApiError;
use api::operation::LogQuery;
use api::protocol::LogLine;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::MissedTickBehavior;

use super::endpoint::Call;
use super::gives::JsonLines;
use super::takes::Query;

/// How often an empty line keeps a connection open that has nothing to say.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

pub(super) async fn stream(
    call: Call<(), Query<LogQuery>>,
) -> Result<JsonLines<LogLine>, ApiError> {
    let lines = call.core.logs(&call.segment("app")?, &call.query.0).await?;
    let lines = lines.map(|line| {
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        Some(Bytes::from(bytes))
    });
    let mut ticks = tokio::time::interval(KEEP_ALIVE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The end of the lines must be seen past the ticks, which have none.
    let ended = futures_util::stream::once(async { None });
    let ticks = futures_util::stream::poll_fn(move |context| {
        ticks.poll_tick(context).map(|_| Some(Some(Bytes::from_static(b"\n"))))
    });
    let pieces = futures_util::stream::select(lines.chain(ended), ticks)
        .take_while(|piece| std::future::ready(piece.is_some()))
        .filter_map(std::future::ready)
        .take_until(call.stop.cancelled_owned());
    Ok(JsonLines(pieces.boxed(), PhantomData))
}
