//! What was typed. Nothing is resolved here.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};

/// Measures Freehold beside its peers; needs root
#[derive(Debug, Clone, Parser)]
#[command(name = "bench", version)]
pub(crate) struct Options {
    /// Run only these, separated by commas [default: all but those of whole clusters]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) only: Vec<Benchmark>,

    /// Few and short runs: shows that everything works, not how fast it is
    #[arg(long)]
    pub(crate) quick: bool,

    /// Runs of a benchmark whose runs are counted, instead of its own number
    #[arg(long, value_name = "N")]
    pub(crate) runs: Option<usize>,

    /// Begin no run of a whole cluster that would end later, in seconds; runs are kept, and the
    /// same command goes on with what is missing
    #[arg(long, value_name = "SECONDS")]
    pub(crate) within: Option<u64>,

    /// The `freehold` binary [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    pub(crate) freehold: Option<PathBuf>,

    /// The static example app [default: $FREEHOLD_TEST_HELLO, or where `make build` puts it]
    #[arg(long, value_name = "FILE", env = "FREEHOLD_TEST_HELLO", hide_env = true)]
    pub(crate) hello: Option<PathBuf>,

    /// Where the report goes [default: bench/report.json in the target directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Be the client that keeps asking this address from where it is
    #[arg(long, value_name = "ADDRESS", hide = true)]
    pub(crate) hold: Option<std::net::SocketAddrV4>,

    /// Be the client that fills packets to and from this address, from where it is
    #[arg(long, value_name = "ADDRESS", hide = true)]
    pub(crate) fill: Option<std::net::SocketAddrV4>,

    /// The scratch directory of a run inside its namespaces
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) inside: Option<PathBuf>,
}

/// A benchmark by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Benchmark {
    /// Creating and starting one container
    CreateStart,
    /// Starting one instance, by everything a host does for it
    InstanceStart,
    /// Starting 100 instances at once
    #[value(name = "start-100")]
    #[serde(rename = "start-100")]
    Start100,
    /// Requests through the ingress
    Ingress,
    /// Requests through the ingress over TLS
    IngressTls,
    /// What everything takes when idle
    Memory,
    /// One backend of a thousand services leaves or comes
    ServiceChange,
    /// Twelve instances on four hosts
    #[value(name = "deploy-12")]
    #[serde(rename = "deploy-12")]
    Deploy12,
    /// A new version of an app with 100 instances
    #[value(name = "update-100")]
    #[serde(rename = "update-100")]
    Update100,
    /// A host dies under load
    HostLoss,
    /// A hypervisor with two of six hosts dies under load
    HypervisorLoss,
    /// The host of the leading server dies under load
    LeaderLoss,
    /// The host that holds the address that clients ask dies
    VipLoss,
    /// One connection through a service address while other hosts die
    LongConnection,
    /// Packets of the full size between instances of two hosts, by tunnel and directly
    MtuLoad,
    /// A singleton's agent, server or host stands still or dies
    Singleton,
    /// All servers and their etcd are frozen, then dead for minutes
    FailStatic,
    /// A host dies while all servers are frozen
    StaticKill,
    /// No host reaches a server, but hosts reach each other
    ControlCut,
    /// Of packets between machines 30 % get lost
    #[value(name = "loss-30")]
    #[serde(rename = "loss-30")]
    Loss30,
    /// A host is cut off from everything and comes back
    CutOff,
    /// Everything loses power at once
    ColdStart,
    /// A member of etcd dies under writes
    EtcdLoss,
}

impl Benchmark {
    /// Whether it brings up whole clusters.
    pub(crate) fn is_of_clusters(self) -> bool {
        matches!(
            self,
            Self::Deploy12
                | Self::Update100
                | Self::HostLoss
                | Self::HypervisorLoss
                | Self::LeaderLoss
                | Self::VipLoss
                | Self::LongConnection
                | Self::MtuLoad
                | Self::Singleton
                | Self::FailStatic
                | Self::StaticKill
                | Self::ControlCut
                | Self::Loss30
                | Self::CutOff
                | Self::ColdStart
                | Self::EtcdLoss
        )
    }

    /// Its name as typed.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_typed_and_in_reports() {
        for benchmark in Benchmark::value_variants() {
            let json = serde_json::to_value(benchmark).unwrap();
            assert_eq!(json, benchmark.name());
        }
    }

    #[test]
    fn several_are_named_with_commas() {
        let options = Options::parse_from(["bench", "--only", "ingress,start-100", "--quick"]);
        assert_eq!(options.only, [Benchmark::Ingress, Benchmark::Start100]);
        assert!(Options::try_parse_from(["bench", "--only", "ingres"]).is_err());
    }
}
