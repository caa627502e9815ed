//! Every endpoint of the API. This is the only place that says which exist and who may use each.

use http::Method;

use super::endpoint::Endpoint;
use super::roles::{ADMINS, ANYONE, Allowed, OPERATORS, TEAM};
use super::{
    apps, backup, certificates, cluster, environments, hosts, images, join, logs, registries,
    secrets, teams, tokens, vips, watch,
};

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const DELETE: Method = Method::DELETE;

/// All of them.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut all = the_cluster();
    all.extend(access());
    all.extend(workloads());
    all.extend(pool());
    all.extend(entry());
    all.extend(joining());
    all
}

#[rustfmt::skip]
fn the_cluster() -> Vec<Endpoint> {
    vec![
        Endpoint::new((GET, "/healthz"), "health", Allowed::Open,
            "Whether this server is well.", cluster::health),
        Endpoint::new((GET, "/v1/version"), "version", Allowed::Open,
            "Who and what answers.", cluster::version),
        Endpoint::new((GET, "/v1/openapi.json"), "document", Allowed::Open,
            "This document.", cluster::document),
        Endpoint::new((GET, "/v1/controllers"), "list_controllers", ANYONE,
            "The server's controllers and their last results.", cluster::controllers),
        Endpoint::new((GET, "/v1/servers"), "list_servers", ANYONE,
            "All servers, and which of them leads.", cluster::servers),
        Endpoint::new((GET, "/v1/safe-mode"), "show_safe_mode", ANYONE,
            "Whether so much was lost at once that replacements are paced.", cluster::safe_mode),
        Endpoint::new((POST, "/v1/safe-mode/accept"), "accept_losses", OPERATORS,
            "Accepts what was lost: replacements go on unpaced.", cluster::accept_losses),
        Endpoint::new((GET, "/v1/net/doctor"), "net_doctor", ANYONE,
            "Which machines do not hear each other although servers hear them.",
            cluster::net_doctor),
        Endpoint::new((GET, "/v1/events"), "list_events", ANYONE,
            "What the platform did and why, the oldest first.", cluster::events),
        Endpoint::new((GET, "/v1/watch"), "watch", ANYONE,
            "Changes as they happen.", watch::stream),
        Endpoint::new((GET, "/v1/backup"), "backup", ADMINS,
            "A backup of the cluster's state, consistent at one revision.", backup::download),
    ]
}

#[rustfmt::skip]
fn access() -> Vec<Endpoint> {
    vec![
        Endpoint::new((GET, "/v1/whoami"), "whoami", ANYONE,
            "Who the token belongs to.", tokens::whoami),
        Endpoint::new((GET, "/v1/tokens"), "list_tokens", ADMINS,
            "All tokens, without their secrets.", tokens::list),
        Endpoint::new((POST, "/v1/tokens"), "create_token", ADMINS,
            "Makes a token. The answer is the only place that shows it.", tokens::create),
        Endpoint::new((DELETE, "/v1/tokens/{id}"), "revoke_token", ADMINS,
            "Ends a token at once.", tokens::revoke),
        Endpoint::new((GET, "/v1/teams"), "list_teams", ANYONE,
            "All teams.", teams::list),
        Endpoint::new((POST, "/v1/teams"), "create_team", OPERATORS,
            "Makes a team.", teams::create),
        Endpoint::new((GET, "/v1/teams/{team}"), "show_team", ANYONE,
            "A team.", teams::show),
        Endpoint::new((DELETE, "/v1/teams/{team}"), "delete_team", OPERATORS,
            "Removes a team that owns nothing.", teams::delete),
        Endpoint::new((GET, "/v1/secrets"), "list_secrets", TEAM,
            "The secrets of the teams the caller acts for, without values.", secrets::list),
        Endpoint::new((PUT, "/v1/secrets/{team}/{environment}/{secret}"), "put_secret", TEAM,
            "Sets a secret's value.", secrets::put),
        Endpoint::new((DELETE, "/v1/secrets/{team}/{environment}/{secret}"), "delete_secret", TEAM,
            "Removes a secret.", secrets::delete),
    ]
}

#[rustfmt::skip]
fn workloads() -> Vec<Endpoint> {
    vec![
        Endpoint::new((POST, "/v1/deploy"), "deploy", TEAM,
            "Makes a release, unless it exists, and rolls it out in an environment.", apps::deploy),
        Endpoint::new((GET, "/v1/apps"), "list_apps", ANYONE,
            "All apps.", apps::list),
        Endpoint::new((GET, "/v1/apps/{app}"), "show_app", ANYONE,
            "An app.", apps::show),
        Endpoint::new((DELETE, "/v1/apps/{app}"), "delete_app", TEAM,
            "Ends an app everywhere, then forgets it.", apps::delete),
        Endpoint::new((GET, "/v1/apps/{app}/releases"), "list_releases", ANYONE,
            "An app's releases, the oldest first.", apps::releases),
        Endpoint::new((GET, "/v1/apps/{app}/releases/{number}"), "show_release", ANYONE,
            "A release.", apps::release),
        Endpoint::new((POST, "/v1/apps/{app}/promote"), "promote", TEAM,
            "Rolls out in the next environment what runs completely in one.", apps::promote),
        Endpoint::new((POST, "/v1/apps/{app}/rollback"), "rollback", TEAM,
            "Rolls out an earlier release.", apps::rollback),
        Endpoint::new((GET, "/v1/apps/{app}/status"), "show_status", ANYONE,
            "How an app is in each environment, in the pipeline's order.", apps::status),
        Endpoint::new((GET, "/v1/apps/{app}/logs"), "logs", ANYONE,
            "Log lines of an app's instances.", logs::stream),
        Endpoint::new((GET, "/v1/instances"), "list_instances", ANYONE,
            "Instances.", apps::instances),
        Endpoint::new((GET, "/v1/deployments"), "list_deployments", ANYONE,
            "What should run, and how far that is.", apps::deployments),
        Endpoint::new((GET, "/v1/routes"), "list_routes", ANYONE,
            "Public names and ports.", apps::routes),
        Endpoint::new((GET, "/v1/images"), "list_images", ANYONE,
            "Images of the cluster's own registry.", images::list),
        Endpoint::new((DELETE, "/v1/images/{*repository}"), "delete_image", OPERATORS,
            "Removes a tag, or an image by its digest, that nothing uses.", images::delete),
        Endpoint::new((POST, "/v1/images/collect-garbage"), "collect_garbage", OPERATORS,
            "Removes what no image needs from the registry's disk.", images::collect_garbage),
    ]
}

#[rustfmt::skip]
fn pool() -> Vec<Endpoint> {
    vec![
        Endpoint::new((GET, "/v1/environments"), "list_environments", ANYONE,
            "Environments in the order of the pipeline.", environments::list),
        Endpoint::new((GET, "/v1/environments/{environment}"), "show_environment", ANYONE,
            "An environment.", environments::show),
        Endpoint::new((PUT, "/v1/environments/{environment}"), "put_environment", OPERATORS,
            "Makes or changes an environment.", environments::put),
        Endpoint::new((DELETE, "/v1/environments/{environment}"), "delete_environment", OPERATORS,
            "Removes an environment that nothing runs in.", environments::delete),
        Endpoint::new((GET, "/v1/hosts"), "list_hosts", ANYONE,
            "All hosts, with what is used of them.", hosts::list),
        Endpoint::new((GET, "/v1/hosts/{host}"), "show_host", ANYONE,
            "A host.", hosts::show),
        Endpoint::new((POST, "/v1/hosts/{host}/drain"), "drain_host", OPERATORS,
            "Moves a host's instances off it; it takes no new ones.", hosts::drain),
        Endpoint::new((POST, "/v1/hosts/{host}/undrain"), "undrain_host", OPERATORS,
            "Lets a host take instances again.", hosts::undrain),
        Endpoint::new((DELETE, "/v1/hosts/{host}"), "remove_host", OPERATORS,
            "Removes a host that runs nothing for good; its certificate is refused afterwards.",
            hosts::remove),
        Endpoint::new((PUT, "/v1/hosts/{host}/labels"), "put_host_labels", OPERATORS,
            "Sets all labels of a host.", hosts::put_labels),
        Endpoint::new((GET, "/v1/certificates"), "list_certificates", ANYONE,
            "Certificates of the ingress, without keys.", certificates::list),
        Endpoint::new((PUT, "/v1/certificates/{certificate}"), "put_certificate", OPERATORS,
            "Sets a certificate of the ingress.", certificates::put),
        Endpoint::new((DELETE, "/v1/certificates/{certificate}"), "delete_certificate", OPERATORS,
            "Removes a certificate.", certificates::delete),
        Endpoint::new((GET, "/v1/registries"), "list_registries", ANYONE,
            "Image registries off the cluster, without passwords.", registries::list),
        Endpoint::new((PUT, "/v1/registries/{registry}"), "put_registry", OPERATORS,
            "Sets how to reach an image registry off the cluster.", registries::put),
        Endpoint::new((DELETE, "/v1/registries/{registry}"), "delete_registry", OPERATORS,
            "Forgets an image registry off the cluster.", registries::delete),
    ]
}

#[rustfmt::skip]
fn entry() -> Vec<Endpoint> {
    vec![
        Endpoint::new((GET, "/v1/vips"), "list_vips", ANYONE,
            "Virtual addresses of the ingress, with who holds each.", vips::list),
        Endpoint::new((POST, "/v1/vips"), "create_vip", OPERATORS,
            "Adds a virtual address.", vips::create),
        Endpoint::new((GET, "/v1/vips/{address}"), "show_vip", ANYONE,
            "A virtual address, with who holds it.", vips::show),
        Endpoint::new((PUT, "/v1/vips/{address}"), "put_vip", OPERATORS,
            "Sets who may hold a virtual address, and who is preferred.", vips::put),
        Endpoint::new((DELETE, "/v1/vips/{address}"), "delete_vip", OPERATORS,
            "Removes a virtual address; who holds it gives it up.", vips::delete),
    ]
}

#[rustfmt::skip]
fn joining() -> Vec<Endpoint> {
    vec![
        Endpoint::new((GET, "/v1/join-tokens"), "list_join_tokens", OPERATORS,
            "All join tokens, without their secrets.", join::list),
        Endpoint::new((POST, "/v1/join-tokens"), "create_join_token", OPERATORS,
            "Makes a token that lets one machine in. The answer is the only place that shows it.",
            join::create),
        Endpoint::new((DELETE, "/v1/join-tokens/{id}"), "revoke_join_token", OPERATORS,
            "Ends a join token at once.", join::revoke),
        Endpoint::new((POST, "/v1/join/host"), "join_host", Allowed::Open,
            "Lets a machine with a join token in as a host.", join::host),
        Endpoint::new((POST, "/v1/join/server"), "join_server", Allowed::Open,
            "Lets a machine with a join token in as a server.", join::server),
        Endpoint::new((POST, "/v1/join/handover"), "hand_over", Allowed::Open,
            "Gives the cluster's keys, sealed, to a server that shows its certificate.",
            join::handover),
        Endpoint::new((GET, "/v1/authority"), "show_authority", ANYONE,
            "The cluster's authorities, and how far an exchange of them is.",
            join::authority),
        Endpoint::new((POST, "/v1/authority/rotate"), "rotate_authority", ADMINS,
            "Exchanges the cluster's authority for a new one, or goes on with that.",
            join::rotate),
        Endpoint::new((POST, "/agent/v1/renew"), "renew", Allowed::Open,
            "Signs the next certificate of a host that proves that it has the key of its last.",
            join::renew),
    ]
}
