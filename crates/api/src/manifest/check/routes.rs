//! Rules of `[routes]`.

use super::{Rules, keys};
use crate::manifest::process::Protocol;
use crate::manifest::spec::Spec;

pub(super) fn check(spec: &Spec, rules: &mut Rules<'_>) {
    let routes = &spec.routes;
    let port = keys(["process", "port"]);
    for (name, used) in [("hosts", !routes.hosts.is_empty()), ("tcp", !routes.tcp.is_empty())] {
        if used && spec.process.port.is_none() && !rules.cx.is_unread(&port) {
            let hint = Some("set process.port".to_owned());
            rules.wrong(keys(["routes", name]), "needs a port to lead to", hint);
        }
    }
    if !routes.hosts.is_empty() && spec.process.protocol == Protocol::Tcp {
        let paths = [keys(["routes", "hosts"]), keys(["process", "protocol"])];
        let hint = Some("use routes.tcp, or protocol = \"http\"".to_owned());
        rules.broken(&paths, "names lead to HTTP, and process.protocol is \"tcp\"", hint);
    }
    rules.duplicates(["routes", "hosts"], &routes.hosts);
    rules.duplicates(["routes", "tcp"], &routes.tcp);
    for (index, port) in routes.tcp.iter().enumerate() {
        if matches!(port, 80 | 443) && !routes.hosts.is_empty() {
            let message = format!("port {port} carries the names of routes.hosts");
            rules.wrong_item(["routes", "tcp"], index, message, None);
        }
    }
}
