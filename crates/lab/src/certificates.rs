//! The lab's authority, and the certificates of its servers and hosts.

use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;
use pki::{CertificateAuthority, ServerNames};

use crate::directory::{Lab, make};
use crate::failure::LabError;
use crate::plan::{Machine, Role};

/// The cluster's name.
pub(crate) const CLUSTER: &str = "lab";

/// Makes the authority where it is missing, and writes fresh certificates for a machine.
pub(crate) fn issue(lab: &Lab, machine: &Machine) -> Result<(), LabError> {
    let pki = lab.path("pki");
    make(&pki)?;
    let now = Timestamp::now();
    let authority = CertificateAuthority::load_or_create(&pki, CLUSTER, now)?;
    authority.bundle().save(&lab.authorities())?;
    for member in &machine.members {
        let identity = match member.role {
            Role::Agent => authority.issue_host(&member.name, now)?,
            Role::Server => {
                let names = ServerNames {
                    dns: vec!["localhost".to_owned(), member.name.clone()],
                    // The loopback is for the door.
                    addresses: vec![machine.address.into(), IpAddr::V4(Ipv4Addr::LOCALHOST)],
                };
                authority.issue_server(&member.name, &names, now)?
            }
        };
        let at = lab.machine(&machine.name);
        let word = member.role.word();
        identity.save(&at.join(format!("{word}.pem")), &at.join(format!("{word}.key")))?;
    }
    Ok(())
}
