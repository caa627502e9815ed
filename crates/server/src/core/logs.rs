//! Log lines from the agents: asked for on their streams, answered on requests of their own.

use std::collections::BTreeMap;
use std::time::Duration;

use api::error::ApiError;
use api::id::{AppName, HostId, InstanceId};
use api::operation::LogQuery;
use api::protocol::{Down, LogLine, LogRequest};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};
use tokio::sync::mpsc;

use super::Core;

/// Lines as they come.
pub type LogLines = BoxStream<'static, LogLine>;

/// How long agents may take to answer with lines that exist.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Lines of each instance when nothing else is asked for.
const TAIL: u32 = 100;

/// The most lines of each instance.
const MAX_TAIL: u32 = 10_000;

impl Core {
    /// Log lines of an app's instances. Without `follow` they are in the order of their times.
    ///
    /// # Errors
    /// When there is no such app, or too many logs are being read.
    pub async fn logs(&self, app: &AppName, query: &LogQuery) -> Result<LogLines, ApiError> {
        self.status(app)?;
        let tail = query.tail.unwrap_or(TAIL).min(MAX_TAIL);
        let mut answers = Vec::new();
        for (host, instance) in self.whose(app, query) {
            answers.push(self.ask(&host, instance, tail, query.follow)?);
        }
        if query.follow {
            let streams = answers.into_iter().map(stream);
            return Ok(streams.collect::<SelectAll<_>>().boxed());
        }
        let mut lines = collect(answers).await;
        lines.sort_by(|a, b| (a.at, &a.instance, a.sequence).cmp(&(b.at, &b.instance, b.sequence)));
        Ok(futures_util::stream::iter(lines).boxed())
    }

    /// The last lines of one instance on its host, e.g. of one that failed.
    pub async fn last_lines(
        &self,
        host: &HostId,
        instance: &InstanceId,
        tail: u32,
    ) -> Vec<LogLine> {
        match self.ask(host, instance.clone(), tail, false) {
            Ok(answer) => collect(vec![answer]).await,
            Err(_) => Vec::new(),
        }
    }

    /// Which instances are meant, with their hosts. An instance that is gone may be on any host.
    fn whose(&self, app: &AppName, query: &LogQuery) -> Vec<(HostId, InstanceId)> {
        let present = self.instances(Some(app), query.environment.as_ref());
        match &query.instance {
            None => present.into_iter().map(|i| (i.host, i.instance)).collect(),
            Some(id) => match present.into_iter().find(|i| i.instance == *id) {
                Some(instance) => vec![(instance.host, instance.instance)],
                None => {
                    let hosts = self.agents.gathered.connected().into_iter();
                    hosts.map(|host| (host, id.clone())).collect()
                }
            },
        }
    }

    fn ask(
        &self,
        host: &HostId,
        instance: InstanceId,
        tail: u32,
        follow: bool,
    ) -> Result<mpsc::Receiver<LogLine>, ApiError> {
        let id = uuid::Uuid::now_v7().to_string();
        let answer = self.agents.expect_logs(&id)?;
        let request = LogRequest { id: id.clone(), instance, tail, follow };
        if self.agents.holds(host) {
            self.agents.send(host, &Down::Logs(request), |_| {});
            return Ok(answer);
        }
        let lines = self.agents.take_logs(&id);
        let holder = self.agents.gathered.holder(host);
        let relay = holder.and_then(|server| self.servers.relay(&server));
        if let (Some(lines), Some(relay)) = (lines, relay) {
            relay.ask(host.clone(), request, lines);
        }
        Ok(answer)
    }

    /// Lines of an instance on a host whose stream this server holds, for another server; none
    /// when it does not hold it.
    ///
    /// # Errors
    /// When too many logs are being read.
    pub fn held_lines(
        &self,
        host: &HostId,
        instance: InstanceId,
        tail: u32,
        follow: bool,
    ) -> Result<Option<mpsc::Receiver<LogLine>>, ApiError> {
        if !self.agents.holds(host) {
            return Ok(None);
        }
        self.ask(host, instance, tail.min(MAX_TAIL), follow).map(Some)
    }
}

fn stream(mut answer: mpsc::Receiver<LogLine>) -> BoxStream<'static, LogLine> {
    futures_util::stream::poll_fn(move |context| answer.poll_recv(context)).boxed()
}

/// Everything that comes within [`ANSWER_WITHIN`].
async fn collect(answers: Vec<mpsc::Receiver<LogLine>>) -> Vec<LogLine> {
    let mut lines = BTreeMap::new();
    let mut all: SelectAll<_> = answers.into_iter().map(stream).collect();
    let gather = async {
        while let Some(line) = all.next().await {
            lines.insert((line.instance.clone(), line.sequence), line);
        }
    };
    if tokio::time::timeout(ANSWER_WITHIN, gather).await.is_err() {
        tracing::warn!("an agent did not answer with its logs in time");
    }
    lines.into_values().collect()
}
