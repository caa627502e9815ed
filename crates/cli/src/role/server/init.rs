//! The first server of a cluster: makes the authority and the master key here. Cut off, it does the
//! same again with the same keys.

use ipnet::Ipv4Net;
use pki::{CaError, CertificateAuthority, Keyring};
use server::engine::Launch;
use store::Identity;

use super::super::kept::Kept;
use super::super::process::time;
use super::super::up;
use super::Arguments;
use super::begin::{CLUSTER, Place, etcd_binary, make_directories};
use super::file::{Paths, ServerFile, engine_options};
use super::former::Former;
use crate::exit::Exit;
use crate::failure::Failure;

/// 16,384 hosts of 254 instances.
const INSTANCES: &str = "10.128.0.0/10";
/// 65,536 services, apart from them.
const SERVICES: &str = "10.127.0.0/16";

/// Begins a cluster, and writes down how.
pub(super) fn run(arguments: &Arguments) -> Result<ServerFile, Failure> {
    let place = Place::of(arguments, &up::machine())?;
    let former = arguments.begin.restore.as_deref();
    let former = former.map(|file| Former::read(file, arguments.begin.keys.as_deref()));
    let former = former.transpose()?;
    let named = former.as_ref().and_then(|former| former.cluster.clone());
    let cluster = arguments.cluster.clone().or(named).unwrap_or_else(|| CLUSTER.to_owned());
    let cluster = cluster.as_str();
    let binary = etcd_binary(arguments.begin.etcd_binary.as_deref())?;
    let (instance_range, service_range) = ranges(arguments)?;
    let paths = Paths::of(arguments.data());
    if paths.server().join("state.db").exists() {
        let data = arguments.data().display();
        let message = format!("begin a cluster in {data}: another one's state is there");
        return Err(Failure::invalid(message).hint("give another directory with --data"));
    }
    let data = make_directories(arguments.data())?;
    let paths = Paths::of(&data);
    if let Some(former) = &former {
        former.take_over(&data, &paths)?;
    }
    let authority = CertificateAuthority::load_or_create(&paths.pki(), cluster, time()?);
    let authority = authority.map_err(|error| match error {
        CaError::OtherCluster { .. } | CaError::Name(_) => Failure::of(Exit::Invalid, &error),
        error => error.into(),
    })?;
    let trusted = former.as_ref().and_then(|former| former.authorities.as_ref());
    trusted.unwrap_or(authority.bundle()).save(&paths.authorities())?;
    Keyring::load_or_create(&paths.master_key())
        .map_err(|error| Failure::of(Exit::Failure, &error))?;
    let own = authority.issue_server(place.name.as_str(), &place.names, time()?);
    own?.save(&paths.certificate(), &paths.key())?;
    // Members of before that come back are to know nothing of the new ones.
    let etcd_cluster = former.as_ref().map(|_| format!("{cluster}-{}", Identity::fresh()));
    let known_by = etcd_cluster.as_deref().unwrap_or(cluster);
    let engine = engine_options(&data, known_by, &place, binary);
    let launch = Launch::first(&engine).save(&engine.directory);
    launch.map_err(|error| Failure::of(Exit::Failure, &error))?;
    let file = ServerFile {
        cluster: cluster.to_owned(),
        name: place.name,
        address: place.address,
        domain: arguments.domain.clone(),
        host: arguments.host.clone(),
        api: place.api,
        instance_range,
        service_range,
        https_port: arguments.https_port,
        etcd_client: place.etcd_client,
        etcd_peer: place.etcd_peer,
        etcd_binary: arguments.begin.etcd_binary.as_ref().map(|_| engine.binary.clone()),
        etcd: vec![engine.client_url()],
        etcd_cluster,
    };
    file.save(&data)?;
    eprintln!("cluster {:?} begins with server {:?}", file.cluster, file.name);
    Ok(file)
}

fn ranges(arguments: &Arguments) -> Result<(Ipv4Net, Ipv4Net), Failure> {
    let default = |text: &str| text.parse().expect("it is a range");
    let instances: Ipv4Net = arguments.instance_range.unwrap_or_else(|| default(INSTANCES));
    let services: Ipv4Net = arguments.service_range.unwrap_or_else(|| default(SERVICES));
    if instances.contains(&services) || services.contains(&instances) {
        let message = format!("give instances {instances} and services {services}: they overlap");
        return Err(Failure::invalid(message).hint("--instance-range and --service-range"));
    }
    Ok((instances, services))
}
