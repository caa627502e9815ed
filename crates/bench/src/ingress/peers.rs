//! The other proxies, each set up for speed: one worker, one route, connections kept alive on both
//! sides, no access log.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::place::Place;
use crate::machine::{Running, cpu_seconds, processes, tree};
use crate::outside::DOMAIN;
use crate::setting::READY_WITHIN;

/// A proxy that serves.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Its name in reports.
    pub(super) name: &'static str,
    /// Where it listens.
    pub(super) port: u16,
    /// Its first process.
    pub(super) running: Running,
    /// A socket that was handed to it and stays open here too, as at an agent.
    pub(super) _socket: Option<TcpListener>,
}

impl Proxy {
    /// All its processes.
    pub(crate) fn pids(&self) -> Result<Vec<u32>> {
        Ok(tree(&processes()?, self.running.id()))
    }

    /// CPU time used so far by all its processes, in seconds.
    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        self.pids()?.into_iter().map(cpu_seconds).sum()
    }
}

/// Another proxy: how it is configured and started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// Its name and that of its program.
    pub(crate) name: &'static str,
    /// Where it listens; the network namespace is ours alone.
    port: u16,
    /// Writes its configuration.
    configure: fn(&Addresses) -> String,
    /// Adds its arguments.
    arguments: fn(&mut Command, &Path, &Addresses),
}

/// What a configuration is made from.
#[derive(Debug)]
struct Addresses {
    port: u16,
    instance: String,
    directory: PathBuf,
    /// Certificate, key, both in one.
    tls: Option<[String; 3]>,
}

/// All of them.
pub(crate) const PEERS: [Peer; 4] = [
    Peer { name: "haproxy", port: 9101, configure: haproxy, arguments: haproxy_arguments },
    Peer { name: "nginx", port: 9102, configure: nginx, arguments: nginx_arguments },
    Peer { name: "caddy", port: 9103, configure: caddy, arguments: caddy_arguments },
    Peer { name: "traefik", port: 9104, configure: traefik, arguments: traefik_arguments },
];

/// Starts one; the text says why it can't be.
pub(crate) fn start_peer(place: &Place<'_>, peer: Peer) -> Result<Proxy, String> {
    let program = place.setting.programs.find(peer.name)?;
    start(place, peer, &program).map_err(|error| format!("{error:#}"))
}

fn start(place: &Place<'_>, peer: Peer, program: &Path) -> Result<Proxy> {
    let directory = place.setting.directory(peer.name)?;
    let text = |path: &Path| path.display().to_string();
    let addresses = Addresses {
        port: peer.port,
        instance: place.instance.to_string(),
        tls: place.tls.as_ref().map(|tls| [text(&tls.chain), text(&tls.key), text(&tls.both)]),
        directory: directory.clone(),
    };
    let file = directory.join("configuration.yml");
    fs::write(&file, (peer.configure)(&addresses)).context("write its configuration")?;
    let mut command = place.proxy(program);
    (peer.arguments)(&mut command, &file, &addresses);
    // Go programs would start a thread for each core of the machine.
    command.env("GOMAXPROCS", "1").env("HOME", &directory);
    let mut running = Running::start(&mut command, peer.name, &place.setting.scratch)?;
    let listens =
        |_: &Running| std::net::TcpStream::connect(("127.0.0.1", peer.port)).ok().map(drop);
    running.until("listening", READY_WITHIN, listens)?;
    Ok(Proxy { name: peer.name, port: peer.port, running, _socket: None })
}

fn haproxy(of: &Addresses) -> String {
    let tls = match &of.tls {
        Some([_, _, both]) => format!(" ssl crt {both} alpn http/1.1"),
        None => String::new(),
    };
    format!(
        "global\n  nbthread 1\n  maxconn 4096\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  \
         timeout server 60s\n  \
         http-reuse always\n\
         frontend bench\n  bind 127.0.0.1:{}{tls}\n  default_backend app\n\
         backend app\n  server one {}\n",
        of.port, of.instance
    )
}

fn haproxy_arguments(command: &mut Command, file: &Path, _: &Addresses) {
    command.arg("-db").arg("-f").arg(file);
}

fn nginx(of: &Addresses) -> String {
    let (listen, tls) = match &of.tls {
        Some([chain, key, _]) => {
            (" ssl", format!("ssl_certificate {chain};\n    ssl_certificate_key {key};"))
        }
        None => ("", String::new()),
    };
    let directory = of.directory.display();
    let (port, instance) = (of.port, &of.instance);
    format!(
        "user root;\nworker_processes 1;\npid {directory}/pid;\nerror_log stderr error;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 1000000000;\n  \
         client_body_temp_path {directory}/body;\n  proxy_temp_path {directory}/proxy;\n  \
         fastcgi_temp_path {directory}/f;\n  uwsgi_temp_path {directory}/u;\n  \
         scgi_temp_path {directory}/s;\n  \
         upstream app {{\n    server {instance};\n    keepalive 128;\n    \
         keepalive_requests 1000000000;\n  }}\n  \
         server {{\n    listen 127.0.0.1:{port}{listen};\n    {tls}\n    location / {{\n      \
         proxy_pass http://app;\n      proxy_http_version 1.1;\n      \
         proxy_set_header Connection \"\";\n      proxy_set_header Host $host;\n    }}\n  }}\n}}\n"
    )
}

fn nginx_arguments(command: &mut Command, file: &Path, of: &Addresses) {
    command.args(["-g", "daemon off;", "-p"]).arg(&of.directory).arg("-c").arg(file);
    command.args(["-e", "stderr"]);
}

fn caddy(of: &Addresses) -> String {
    let (scheme, tls) = match &of.tls {
        Some([chain, key, _]) => ("https", format!("tls {chain} {key}")),
        None => ("http", String::new()),
    };
    format!(
        "{{\n  admin off\n  auto_https off\n  persist_config off\n  default_sni {DOMAIN}\n  \
         servers {{\n    protocols h1\n  }}\n}}\n\
         {scheme}://www.{DOMAIN}:{} {{\n  bind 127.0.0.1\n  {tls}\n  reverse_proxy {}\n}}\n",
        of.port, of.instance
    )
}

fn caddy_arguments(command: &mut Command, file: &Path, _: &Addresses) {
    command.arg("run").arg("--config").arg(file).args(["--adapter", "caddyfile"]);
}

/// The dynamic part; JSON is YAML.
fn traefik(of: &Addresses) -> String {
    let mut router = serde_json::json!({
        "rule": "PathPrefix(`/`)", "service": "app", "entryPoints": ["web"],
    });
    let url = format!("http://{}", of.instance);
    let services =
        serde_json::json!({ "app": { "loadBalancer": { "servers": [{ "url": url }] } } });
    let mut dynamic = serde_json::json!({});
    if let Some([chain, key, _]) = &of.tls {
        router["tls"] = serde_json::json!({});
        let certificate = serde_json::json!({ "certFile": chain, "keyFile": key });
        dynamic["tls"] =
            serde_json::json!({ "stores": { "default": { "defaultCertificate": certificate } } });
    }
    dynamic["http"] = serde_json::json!({ "routers": { "bench": router }, "services": services });
    dynamic.to_string()
}

fn traefik_arguments(command: &mut Command, file: &Path, of: &Addresses) {
    command.arg(format!("--entryPoints.web.address=127.0.0.1:{}", of.port));
    command.arg(format!("--providers.file.filename={}", file.display()));
    command.args(["--providers.file.watch=false", "--log.level=ERROR"]);
    command.args(["--global.checkNewVersion=false", "--global.sendAnonymousUsage=false"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(tls: bool) -> Addresses {
        Addresses {
            port: 9101,
            instance: "127.0.0.1:9000".to_owned(),
            directory: "/scratch".into(),
            tls: tls.then(|| ["/c.pem", "/c.key", "/c.both"].map(str::to_owned)),
        }
    }

    #[test]
    fn every_peer_gets_the_instance_and_speaks_tls_only_when_asked() {
        for peer in PEERS {
            let (plain, tls) =
                ((peer.configure)(&addresses(false)), (peer.configure)(&addresses(true)));
            assert!(plain.contains("127.0.0.1:9000") && tls.contains("127.0.0.1:9000"), "{plain}");
            assert!(!plain.contains("/c.") && tls.contains("/c."), "{}: {tls}", peer.name);
        }
        let dynamic: serde_json::Value = serde_json::from_str(&traefik(&addresses(true))).unwrap();
        assert!(dynamic["http"]["routers"]["bench"]["tls"].is_object());
    }
}
