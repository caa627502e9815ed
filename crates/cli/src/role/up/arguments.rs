//! What may be typed after `freehold up`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::Ipv4Net;

/// Run server, agent and ingress on this machine
///
/// Starts the control plane, the host's agent and the ingress, prints how to reach them, and keeps
/// them running until it is stopped. It needs root. On a stop the containers go on for the next
/// start, unless --ephemeral is given.
///
/// The first start makes a certificate authority and a token for the first admin, DIR/admin.token.
/// The words of server and agent go to DIR/log; FREEHOLD_LOG says what is logged.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// The directory of everything that must outlive a restart
    #[arg(long, value_name = "DIR", default_value = "/var/lib/freehold")]
    pub data: PathBuf,
    /// Where API, console and image registry are served
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7443", value_parser = address)]
    pub api: SocketAddr,
    /// Where the ingress serves HTTP; `:80` means port 80 of every address
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080", value_parser = address)]
    pub http: SocketAddr,
    /// Where the ingress serves HTTPS
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443", value_parser = address)]
    pub https: SocketAddr,
    /// The addresses of instances and services, a /16 to /22
    #[arg(long, value_name = "CIDR", default_value = "10.128.0.0/16")]
    pub subnet: Ipv4Net,
    /// When stopped, remove containers, network and ingress
    #[arg(long)]
    pub ephemeral: bool,
    /// The cluster's name; fixed by the first start
    #[arg(long, value_name = "CLUSTER", default_value = "freehold")]
    pub name: String,
    /// This host's name [default: the machine's]
    #[arg(long, value_name = "NAME")]
    pub host_name: Option<String>,
    /// Another name or address by which clients reach the API; may be repeated
    #[arg(long = "api-host", value_name = "NAME")]
    pub api_hosts: Vec<String>,
    /// Repeat what server and agent log on standard error
    #[arg(long, short)]
    pub verbose: bool,
}

/// An address and port; `:PORT` is that port of every address.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().map_err(|_| format!("{port:?} is not a port"))?;
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    }
    text.parse().map_err(|_| "write it as 127.0.0.1:7443, [::1]:7443 or :7443".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_leave_the_host_out() {
        assert_eq!(address(":80"), Ok("0.0.0.0:80".parse().unwrap()));
        assert_eq!(address("[::1]:1"), Ok("[::1]:1".parse().unwrap()));
        for bad in ["80", "localhost:80", ":x", ":70000", ""] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
