//! What an etcd process is told. Pure.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::launch::Launch;

/// The DNS name that certificates must carry to be let in by etcd, as its client or its peer: only
/// servers have it, so that no host reaches the store around them.
pub const CLIENT_NAME: &str = "store.freehold.internal";

/// etcd keeps so many log entries in memory twice over: of 40 KB documents 2 × 2,000 × 40 KB =
/// 160 MB, where its own default of 100,000 took 3 GB.
const SNAPSHOT_COUNT: u32 = 2_000;

/// How often our clients may ping: they do every 300 ms or slower.
const CLIENTS_PING: &str = "100ms";

/// What an etcd process is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The member's name: the server's.
    pub name: String,
    /// The cluster's name; members of different clusters refuse each other.
    pub cluster: String,
    /// The engine's directory, of no one else.
    pub directory: PathBuf,
    /// The program.
    pub binary: PathBuf,
    /// Where clients are served.
    pub client: SocketAddr,
    /// Where other members are served.
    pub peer: SocketAddr,
    /// Certificate with [`CLIENT_NAME`] and the addresses above in it, PEM. etcd reads it anew for
    /// each connection, so a renewed one is used at once.
    pub certificate: PathBuf,
    /// The certificate's key, PEM.
    pub key: PathBuf,
    /// The cluster's authorities, PEM.
    pub authorities: PathBuf,
    /// Bytes the database may take before writes are refused.
    pub quota_bytes: u64,
    /// How often a leader says that it lives.
    pub heartbeat: Duration,
    /// Silence of the leader after which another one is elected; ten heartbeats or nearly.
    pub election: Duration,
}

impl Options {
    /// 8 GiB: what etcd's authors suggest as the most.
    pub const QUOTA_BYTES: u64 = 8 << 30;
    /// With [`Options::ELECTION`]: a dead leader blocks writes for 0.5 s, measured.
    pub const HEARTBEAT: Duration = Duration::from_millis(50);
    /// See [`Options::HEARTBEAT`].
    pub const ELECTION: Duration = Duration::from_millis(300);

    /// Where clients reach the member.
    #[must_use]
    pub fn client_url(&self) -> String {
        format!("https://{}", self.client)
    }

    /// Where other members reach it.
    #[must_use]
    pub fn peer_url(&self) -> String {
        format!("https://{}", self.peer)
    }

    /// Where etcd keeps its data.
    #[must_use]
    pub(super) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The arguments of the process.
    pub(super) fn arguments(&self, launch: &Launch) -> Vec<String> {
        let path = |path: &PathBuf| path.display().to_string();
        let (client, peer) = (self.client_url(), self.peer_url());
        let pairs = [
            ("--name", self.name.clone()),
            ("--data-dir", path(&self.data())),
            ("--listen-client-urls", client.clone()),
            ("--advertise-client-urls", client),
            ("--listen-peer-urls", peer.clone()),
            ("--initial-advertise-peer-urls", peer),
            ("--initial-cluster", launch.members()),
            ("--initial-cluster-state", launch.state().to_owned()),
            ("--initial-cluster-token", self.cluster.clone()),
            ("--cert-file", path(&self.certificate)),
            ("--key-file", path(&self.key)),
            ("--trusted-ca-file", path(&self.authorities)),
            ("--client-cert-allowed-hostname", CLIENT_NAME.to_owned()),
            ("--peer-cert-file", path(&self.certificate)),
            ("--peer-key-file", path(&self.key)),
            ("--peer-trusted-ca-file", path(&self.authorities)),
            ("--peer-cert-allowed-hostname", CLIENT_NAME.to_owned()),
            ("--heartbeat-interval", self.heartbeat.as_millis().to_string()),
            ("--election-timeout", self.election.as_millis().to_string()),
            ("--snapshot-count", SNAPSHOT_COUNT.to_string()),
            ("--quota-backend-bytes", self.quota_bytes.to_string()),
            // The leader compacts, so that watches can resume as far back as we say.
            ("--auto-compaction-retention", "0".to_owned()),
            ("--grpc-keepalive-min-time", CLIENTS_PING.to_owned()),
            ("--logger", "zap".to_owned()),
            ("--log-level", "warn".to_owned()),
            ("--log-outputs", "stderr".to_owned()),
        ];
        let flags = ["--client-cert-auth", "--peer-client-cert-auth", "--pre-vote"];
        let pairs = pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
        pairs.chain(flags.into_iter().map(str::to_owned)).collect()
    }
}
