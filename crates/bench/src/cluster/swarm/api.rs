//! The engines' own interface, over their sockets: what Docker's command would ask, without a
//! process for each question.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// How long an engine may take to answer.
const WITHIN: Duration = Duration::from_secs(2);

/// The longest answer that is read.
const LONGEST: u64 = 16 << 20;

/// A task of a service.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Task {
    #[serde(rename = "ID")]
    pub(super) id: String,
    #[serde(rename = "NodeID", default)]
    pub(super) node: String,
    pub(super) desired_state: String,
    pub(super) status: TaskStatus,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TaskStatus {
    pub(super) state: String,
    pub(super) timestamp: String,
}

impl Task {
    pub(super) fn runs(&self) -> bool {
        self.status.state == "running" && self.desired_state == "running"
    }
}

/// A machine of the swarm.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Node {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) description: Description,
    pub(super) status: NodeStatus,
    pub(super) manager_status: Option<ManagerStatus>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Description {
    pub(super) hostname: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NodeStatus {
    pub(super) state: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ManagerStatus {
    #[serde(default)]
    pub(super) leader: bool,
    #[serde(default)]
    pub(super) reachability: String,
}

/// A container of one engine.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Container {
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) ports: Vec<Port>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Port {
    pub(super) public_port: Option<u16>,
}

impl Container {
    /// The task it belongs to, and its port on the host.
    pub(super) fn endpoint(&self) -> Option<(String, u16)> {
        let task = self.labels.get("com.docker.swarm.task.id")?;
        let port = self.ports.iter().find_map(|port| port.public_port)?;
        Some((task.clone(), port))
    }
}

/// Asks an engine.
pub(super) fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T> {
    let mut stream = UnixStream::connect(socket).context("connect to an engine")?;
    stream.set_read_timeout(Some(WITHIN)).context("set a time-out")?;
    // HTTP/1.0: the answer's end is the connection's, nothing comes in pieces.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n").context("ask an engine")?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).context("hear an engine")?;
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").context("no answer")?;
    let (head, body) = (String::from_utf8_lossy(&answer[..head]), &answer[head + 4..]);
    ensure!(head.contains(" 200 "), "{}", String::from_utf8_lossy(body).trim());
    serde_json::from_slice(body).with_context(|| format!("read {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_an_engine_are_read() {
        let task = r#"{"ID":"t1","NodeID":"n1","DesiredState":"running","Slot":9,
            "Status":{"Timestamp":"2026-11-22T23:48:45.796512508Z","State":"running"}}"#;
        let task: Task = serde_json::from_str(task).unwrap();
        assert!(task.runs());
        let container = r#"{"Labels":{"com.docker.swarm.task.id":"t1"},
            "Ports":[{"PrivatePort":8080,"PublicPort":32768,"Type":"tcp","IP":"0.0.0.0"}]}"#;
        let container: Container = serde_json::from_str(container).unwrap();
        assert_eq!(container.endpoint(), Some(("t1".to_owned(), 32_768)));
        let other: Container = serde_json::from_str("{\"Labels\":{},\"Ports\":[]}").unwrap();
        assert_eq!(other.endpoint(), None);
    }
}
