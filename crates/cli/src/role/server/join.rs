//! Another server of a cluster: makes its key here, believes only the cluster that the token names,
//! is handed the cluster's keys, and becomes a member of its etcd. Cut off, it goes on where it
//! was: the key waits on disk, the token is good for it again, and etcd lists who was added.

use api::join::{Handover, HandoverRequest, ServerJoinRequest, ServerJoined};
use api::protocol::SecretValue;
use client::{Address, Client, ClientError};
use pki::{
    CaBundle, CertificateAuthority, ClientTls, HandoverKey, HostKey, Identity, Keyring,
    PinnedAuthority, SwappableIdentity, client_tls,
};
use server::engine;
use store::etcd::EtcdAdmin;

use super::super::agent::join::{read_token, refused};
use super::super::kept::Kept;
use super::super::process::clock;
use super::super::up;
use super::Arguments;
use super::begin::{Place, etcd_binary, make_directories};
use super::file::{Paths, ServerFile, engine_options};
use crate::connect::run_async;
use crate::exit::Exit;
use crate::failure::Failure;

/// Application protocols of the API.
const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Joins, and writes down what it was told.
pub(super) fn run(arguments: &Arguments) -> Result<ServerFile, Failure> {
    let place = Place::of(arguments, &up::machine())?;
    let binary = etcd_binary(arguments.begin.etcd_binary.as_deref())?;
    let data = make_directories(arguments.data())?;
    let paths = Paths::of(&data);
    let (joined, identity) = let_in(arguments, &place, &paths)?;
    if let Some(wanted) = &arguments.cluster
        && *wanted != joined.cluster
    {
        let message = format!("join cluster {wanted:?}: these servers are of {:?}", joined.cluster);
        return Err(Failure::invalid(message));
    }
    take_keys(arguments, &joined, &identity, &paths)?;
    let own = engine_options(&data, &joined.cluster, &place, binary);
    let etcd = run_async(become_member(&own, &joined, arguments.begin.replace))?;
    let file = ServerFile {
        cluster: joined.cluster,
        name: place.name,
        address: place.address,
        domain: arguments.domain.clone(),
        host: arguments.host.clone(),
        api: place.api,
        instance_range: joined.instance_range,
        service_range: joined.service_range,
        https_port: arguments.https_port.or(joined.https_port),
        etcd_client: place.etcd_client,
        etcd_peer: place.etcd_peer,
        etcd_binary: arguments.begin.etcd_binary.as_ref().map(|_| own.binary.clone()),
        etcd_cluster: None,
        etcd,
    };
    file.save(&data)?;
    eprintln!("joined cluster {:?} as server {:?}", file.cluster, file.name);
    Ok(file)
}

/// Gets a certificate for the key made here.
fn let_in(
    arguments: &Arguments,
    place: &Place,
    paths: &Paths,
) -> Result<(ServerJoined, Identity), Failure> {
    let begin = &arguments.begin;
    let made = "freehold host token --server";
    let token = read_token(begin.token.as_deref(), begin.token_file.as_deref(), made)?;
    let request = ServerJoinRequest {
        token: SecretValue(token.token().reveal().to_string()),
        name: place.name.clone(),
        request_pem: HostKey::load_or_create(&paths.key())?.request_pem()?,
        dns_names: place.names.dns.clone(),
        addresses: place.names.addresses.clone(),
        replace: begin.replace,
        time: clock()?.wall(),
    };
    let pin = PinnedAuthority::new(token.authority());
    let tls = pin.tls(ALPN, Some(std::sync::Arc::new(clock()?))).map_err(|error| failed(&error))?;
    let client = Client::with_tls(&begin.join, tls)?;
    let joined = run_async(async {
        client.join_server(&request).await.map_err(|error| refused(&pin, error))
    })?;
    CaBundle::from_pem(joined.authorities_pem.as_bytes())?.save(&paths.authorities())?;
    let identity = HostKey::load(&paths.key())?.with_certificate(&joined.certificate_pem)?;
    identity.save(&paths.certificate(), &paths.key())?;
    Ok((joined, identity))
}

/// Asks for the cluster's keys by that certificate, and keeps them.
fn take_keys(
    arguments: &Arguments,
    joined: &ServerJoined,
    identity: &Identity,
    paths: &Paths,
) -> Result<(), Failure> {
    let authorities = CaBundle::from_pem(joined.authorities_pem.as_bytes())?;
    let asker = identity.peer().map_err(|error| failed(&error))?.to_string();
    let shown = SwappableIdentity::new(identity)?;
    let tls =
        ClientTls { authorities: &authorities, identity: Some(shown), alpn: ALPN, time: None };
    let tls = client_tls(&tls).map_err(|error| failed(&error))?;
    let client = Client::with_tls(&servers(arguments, joined)?, tls)?;
    let key = HandoverKey::generate().map_err(|error| failed(&error))?;
    let request = HandoverRequest { public: key.public() };
    let answer = run_async(async { Ok(client.hand_over(&request).await?) })?;
    let opened = key.open(&asker, &answer.sealed).map_err(|error| failed(&error))?;
    let keys: Handover = serde_json::from_slice(&opened).map_err(|_| {
        // No detail: it could quote a key.
        Failure::new(Exit::Failure, "read the cluster's keys: a server of another version?")
    })?;
    CertificateAuthority::import(&keys.authority_pem, &keys.authority_key_pem.0)?
        .save(&paths.pki())?;
    let ring = Keyring::import(keys.master_keys.0.as_bytes()).map_err(|error| failed(&error))?;
    Ok(ring.save(&paths.master_key())?)
}

/// Adds the server's etcd to the others and keeps how it starts; says where those serve who vote.
async fn become_member(
    own: &engine::Options,
    joined: &ServerJoined,
    replace: bool,
) -> Result<Vec<String>, Failure> {
    let client = engine::client(own, joined.etcd.clone()).map_err(|error| failed(&error))?;
    let admin = EtcdAdmin::new(client).await.map_err(|error| failed(&error))?;
    let before = admin.members().await.map_err(|error| failed(&error))?;
    // It is gone already when an earlier attempt was cut off.
    let replaced = replace && before.iter().any(|member| member.name == own.name);
    let replaced = replaced.then_some(own.name.as_str());
    let launch = engine::join(&admin, own, replaced).await.map_err(|error| {
        failed(&error).hint("run the same again; the token stays good for this machine")
    })?;
    launch.save(&own.directory).map_err(|error| failed(&error))?;
    let members = admin.members().await.map_err(|error| failed(&error))?;
    Ok(engine::voters(&members))
}

/// The servers that were typed, then those that it was told of.
fn servers(arguments: &Arguments, joined: &ServerJoined) -> Result<Vec<String>, Failure> {
    let mut servers: Vec<String> = Vec::new();
    for text in arguments.begin.join.iter().chain(&joined.servers) {
        let address = text.parse::<Address>().map_err(ClientError::from)?.authority();
        if !servers.contains(&address) {
            servers.push(address);
        }
    }
    Ok(servers)
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::of(Exit::Failure, error)
}
