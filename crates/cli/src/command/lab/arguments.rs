//! What may be typed after `freehold lab`.

use std::path::PathBuf;

use ::lab::{DEFAULT_BASE, Lab, Limits, Shape};
use api::unit::Bytes;
use clock::Offset;
use ipnet::Ipv4Net;
use net::overlay::Mode;

use crate::failure::Failure;

/// Which lab.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Which {
    /// Where labs are kept
    #[arg(long, value_name = "DIR", env = "FREEHOLD_LAB_BASE", hide_env_values = true,
          default_value = DEFAULT_BASE)]
    pub base: PathBuf,
    /// The lab
    #[arg(
        long,
        value_name = "NAME",
        env = "FREEHOLD_LAB",
        hide_env_values = true,
        default_value = "lab"
    )]
    pub lab: String,
}

impl Which {
    pub(super) fn lab(&self) -> Result<Lab, Failure> {
        Ok(Lab::at(&self.base, &self.lab)?)
    }
}

/// Which lab, where its name may also be typed alone.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Named {
    /// The lab [default: that of --lab]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    #[command(flatten)]
    pub which: Which,
}

/// Rehearse on a cluster of many machines inside this one
///
/// Each machine of a lab has its own processes, network, mounts and limits, and runs the real
/// server or agent. Machines die as by power loss, and links between them are cut. A lab has no way
/// out of this machine, and `freehold lab down` leaves nothing behind. It needs root, nft and ip.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Arguments {
    /// Make a lab and start its machines
    Up(Up),
    /// List the machines of a lab
    Status(Named),
    /// Kill machines as by power loss, or processes
    ///
    /// A machine falls silent first, both ways and with all others that are named; that moment is
    /// told. Processes stay dead until `restart`.
    Kill(Broken),
    /// Stop machines or processes where they are
    Freeze(Broken),
    /// Let what is frozen go on
    Thaw(Broken),
    /// Start what is dead; a machine that runs is killed before
    Restart(Broken),
    /// Cut the links between two machines
    Cut(Pair),
    /// Lose packets at random between two machines
    Loss {
        /// Packets of a hundred
        #[arg(value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
        percent: u8,
        #[command(flatten)]
        pair: Pair,
    },
    /// Hold back what machines send to each other
    ///
    /// Everything between the two ends comes so much later, each way. 0 ends it.
    #[command(allow_missing_positional = true)]
    Delay {
        /// Machines, hypervisors or racks, with commas between; or `all`
        from: String,
        /// The other end
        #[arg(value_name = "TO", default_value = "all")]
        to: String,
        /// Milliseconds
        #[arg(value_name = "MILLIS", value_parser = clap::value_parser!(u16).range(0..=10_000))]
        millis: u16,
        /// Only packets from the first to the second
        #[arg(long)]
        one_way: bool,
        #[command(flatten)]
        which: Which,
    },
    /// End all cuts, losses and delays
    Heal(Named),
    /// Move a machine to another hypervisor while it runs
    Migrate {
        /// The machine
        host: String,
        /// Where it goes; may be a new one
        hypervisor: String,
        #[command(flatten)]
        which: Which,
    },
    /// Set a machine's clock wrong, or right again with 0s
    ///
    /// Its server and agent start again and see that clock; containers go on.
    Clock {
        /// The machine
        host: String,
        /// How far it is off: 90s, -1h
        #[arg(value_name = "OFFSET", allow_hyphen_values = true)]
        offset: Offset,
        #[command(flatten)]
        which: Which,
    },
    /// Run a shell, or a command, on a machine
    Shell {
        /// The machine
        host: String,
        /// A command instead of a shell
        #[arg(last = true)]
        command: Vec<String>,
        #[command(flatten)]
        which: Which,
    },
    /// Run a command as an outside client on the lab's network
    Run {
        /// The command
        #[arg(last = true, required = true)]
        command: Vec<String>,
        #[command(flatten)]
        which: Which,
    },
    /// Print what a shell needs to reach the lab's cluster from this machine
    Env(Named),
    /// Remove a lab with everything that runs in it
    Down(Named),
}

/// Options of `lab up`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub named: Named,
    /// Servers; several keep their state in an etcd of their own, which must be installed
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub servers: usize,
    /// Hosts
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub hosts: usize,
    /// Hypervisors that the hosts are spread over
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub hypervisors: usize,
    /// Racks that the hypervisors are spread over
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub racks: usize,
    /// Give servers machines of their own
    #[arg(long)]
    pub servers_apart: bool,
    /// Start machines alone, without anything of Freehold on them
    #[arg(long, conflicts_with_all = ["servers", "servers_apart"])]
    pub bare: bool,
    /// A machine whose clock is wrong, e.g. host-2=-1h; may be repeated
    #[arg(long = "clock-offset", value_name = "HOST=OFFSET", value_parser = clock)]
    pub clocks: Vec<(String, Offset)>,
    /// Processors of each machine [default: all of this one]
    #[arg(long, value_name = "N")]
    pub cpus: Option<u32>,
    /// Memory of each machine
    #[arg(long, value_name = "SIZE", default_value = "2GiB")]
    pub memory: Bytes,
    /// How packets go between hosts, the same on all: auto, vxlan or direct [default: auto]
    #[arg(long, value_name = "MODE", conflicts_with = "bare")]
    pub overlay: Option<Mode>,
    /// The machines' addresses, a /24; seen inside the lab only
    #[arg(long, value_name = "CIDR", default_value = "10.64.0.0/24")]
    pub range: Ipv4Net,
    /// Do not wait until all hosts are connected
    #[arg(long)]
    pub no_wait: bool,
}

impl Up {
    pub(super) fn shape(&self) -> Shape {
        Shape {
            servers: self.servers,
            hosts: self.hosts,
            hypervisors: self.hypervisors,
            racks: self.racks,
            apart: self.servers_apart,
            bare: self.bare,
            limits: Limits { cpus: self.cpus, memory_bytes: self.memory.0, ..Limits::default() },
            overlay: self.overlay,
            range: self.range,
        }
    }
}

fn clock(text: &str) -> Result<(String, Offset), String> {
    let (host, offset) = text.split_once('=').ok_or("write HOST=OFFSET")?;
    Ok((host.to_owned(), offset.parse().map_err(|error: clock::OffsetError| error.to_string())?))
}

/// What is killed, frozen or restarted.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Broken {
    /// A machine, hypervisor, rack, server-N, etcd-N, MACHINE/ROLE, or `all`
    #[arg(value_name = "THING", required = true)]
    pub things: Vec<String>,
    #[command(flatten)]
    pub which: Which,
}

/// Two ends of links.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Pair {
    /// Machines, hypervisors or racks, with commas between; `all`, or `outside` for clients
    #[arg(value_name = "FROM", default_value = "all")]
    pub from: String,
    /// The other end
    #[arg(value_name = "TO", default_value = "all")]
    pub to: String,
    /// Only packets from the first to the second
    #[arg(long)]
    pub one_way: bool,
    #[command(flatten)]
    pub which: Which,
}

/// What a lab starts of this binary.
#[derive(Debug, clap::Subcommand)]
#[expect(clippy::enum_variant_names, reason = "they are subcommands: their names are words")]
pub(crate) enum Hidden {
    /// A machine's first process
    #[command(hide = true)]
    LabInit {
        #[command(flatten)]
        which: Which,
        /// The machine
        #[arg(long)]
        machine: String,
        /// Inside the namespaces already
        #[arg(long)]
        first: bool,
    },
    /// The way in from this machine
    #[command(hide = true)]
    LabDoor {
        #[command(flatten)]
        which: Which,
    },
    /// What makes links slow
    #[command(hide = true)]
    LabRelay {
        #[command(flatten)]
        which: Which,
    },
}
