//! The authority of a lab with one server, and that server's certificate. Several servers make
//! their own.

use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;
use pki::{CertificateAuthority, ServerNames};

use crate::directory::{Lab, make};
use crate::failure::LabError;
use crate::plan::{Machine, Plan, Role};

/// The cluster's name.
pub(crate) const CLUSTER: &str = "lab";

/// Makes the authority where it is missing, and a fresh certificate if the lab's only server is on
/// that machine.
pub(crate) fn issue(lab: &Lab, plan: &Plan, machine: &Machine) -> Result<(), LabError> {
    let Some(server) = machine.member(Role::Server).filter(|_| plan.lone_server()) else {
        return Ok(());
    };
    let pki = lab.path("pki");
    make(&pki)?;
    let now = Timestamp::now();
    let authority = CertificateAuthority::load_or_create(&pki, CLUSTER, now)?;
    authority.bundle().save(&lab.authorities())?;
    let names = ServerNames {
        dns: vec!["localhost".to_owned(), server.name.clone()],
        // The loopback is for the door.
        addresses: vec![machine.address.into(), IpAddr::V4(Ipv4Addr::LOCALHOST)],
    };
    let identity = authority.issue_server(&server.name, &names, now)?;
    let own = lab.machine(&machine.name);
    Ok(identity.save(&own.join("server.pem"), &own.join("server.key"))?)
}
