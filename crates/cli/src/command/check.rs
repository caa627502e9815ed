//! `freehold check`: judges a manifest without a cluster, and beside an image it says which lines
//! the manifest lacks.

use std::process::ExitCode;

use api::id::EnvironmentName;
use api::manifest::{Manifest, ManifestErrors, Spec};
use serde::Serialize;

use super::image::{Config, config};
use super::known::KNOWN;
use super::manifest;
use crate::connect::Session;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Look, Table, dash, opt};

/// Judge a manifest without a cluster
///
/// It is parsed, checked and resolved for each environment. With --image the image's own settings
/// are compared with it, and each line that the manifest lacks is named.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub file: manifest::File,
    /// Also look at this image, on this machine or else in the cluster
    #[arg(long, value_name = "REF")]
    pub image: Option<image::Reference>,
}

/// What is found.
#[derive(Debug, Serialize)]
struct Answer {
    app: String,
    environments: Vec<Resolved>,
    findings: Vec<Finding>,
}

/// The manifest in one environment.
#[derive(Debug, Serialize)]
struct Resolved {
    environment: String,
    instances: u32,
    cpu: String,
    memory: String,
    port: Option<u16>,
    routes: Vec<String>,
}

/// Something that the manifest lacks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Finding {
    /// Whether it cannot run without.
    needed: bool,
    /// What was found.
    message: String,
    /// The table and line to add.
    add: String,
}

pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let read = manifest::read(&arguments.file.file)?;
    let resolved = resolve(&read.manifest).map_err(|problems| {
        ManifestErrors::locate(&read.source.name, &read.source.text, problems)
    })?;
    let mut findings = Vec::new();
    if let Some(reference) = &arguments.image {
        let image = config(session, reference)?;
        for (_, spec) in &resolved {
            findings.extend(judge(spec, &image));
        }
        findings.sort();
        findings.dedup();
        findings.reverse();
    }
    let needed = findings.iter().any(|finding| finding.needed);
    let answer = Answer {
        app: read.manifest.app().to_string(),
        environments: resolved.iter().map(|(name, spec)| summary(name, spec)).collect(),
        findings,
    };
    session.show(&answer, table)?;
    if needed {
        return Ok(ExitCode::from(Exit::Invalid.code()));
    }
    eprintln!("{} is good", read.source.name);
    Ok(ExitCode::SUCCESS)
}

/// The manifest in every environment it overrides, and in one that it does not.
fn resolve(manifest: &Manifest) -> Result<Vec<(String, Spec)>, Vec<api::manifest::Problem>> {
    let mut names: Vec<EnvironmentName> = manifest.environments().collect();
    let other =
        ["other", "any-other"].into_iter().filter_map(|name| EnvironmentName::new(name).ok());
    names.extend(other.filter(|name| !names.contains(name)).take(1).collect::<Vec<_>>());
    let count = names.len();
    let resolve = |(i, name): (usize, EnvironmentName)| {
        let shown = match (i + 1 == count, count) {
            (true, 1) => "every".to_owned(),
            (true, _) => "every other".to_owned(),
            (false, _) => name.to_string(),
        };
        Ok((shown, manifest.resolve(&name)?))
    };
    names.into_iter().enumerate().map(resolve).collect()
}

fn summary(environment: &str, spec: &Spec) -> Resolved {
    let hosts = spec.routes.hosts.iter().map(ToString::to_string);
    let ports = spec.routes.tcp.iter().map(|port| format!("tcp/{port}"));
    Resolved {
        environment: environment.to_owned(),
        instances: spec.scale.instances,
        cpu: spec.resources.cpu.to_string(),
        memory: spec.resources.memory.to_string(),
        port: spec.process.port,
        routes: hosts.chain(ports).collect(),
    }
}

/// Whether a path can be written to.
fn writable(spec: &Spec, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let declared = spec.process.writable.iter().chain(spec.process.scratch.keys());
    declared.map(|known| known.trim_end_matches('/')).any(|known| {
        path == known || path.strip_prefix(known).is_some_and(|rest| rest.starts_with('/'))
    })
}

/// What the manifest lacks for an image.
fn judge(spec: &Spec, config: &Config) -> Vec<Finding> {
    let process = &config.image.process;
    let mut findings = Vec::new();
    let mut find = |needed: bool, message: String, add: String| {
        findings.push(Finding { needed, message, add });
    };
    let command = match &spec.process.command {
        Some(command) => command.clone(),
        None => process.command(),
    };
    if command.is_empty() {
        let message = "neither the image nor the manifest says what to run".to_owned();
        find(true, message, "[process] command = [\"/path/to/program\"]".into());
    }
    if spec.process.port.is_none() {
        let exposed = process.exposed_ports.iter();
        let tcp: Vec<u16> = exposed.filter_map(|port| tcp_port(port)).collect();
        let routed = !spec.routes.hosts.is_empty() || !spec.routes.tcp.is_empty();
        if let Some(port) = tcp.first() {
            let message = format!("the image listens on port {port}");
            find(routed, message, format!("[process] port = {port}"));
        }
    }
    for volume in config.volumes.iter().filter(|volume| !writable(spec, volume)) {
        let message = format!("the image writes to its volume {volume}");
        let add = format!(
            "[process] scratch = {{ \"{volume}\" = \"1GiB\" }}, \
             or writable = [\"{volume}\"] in memory"
        );
        find(false, message, add);
    }
    let program = command.first().map(String::as_str).unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default();
    for known in KNOWN.iter().filter(|known| program.starts_with(known.program)) {
        let lacks: Vec<&str> =
            known.writes.iter().copied().filter(|path| !writable(spec, path)).collect();
        if !lacks.is_empty() {
            let quoted: Vec<String> = lacks.iter().map(|path| format!("\"{path}\"")).collect();
            let message = format!("{} usually writes to {}", known.program, lacks.join(", "));
            find(false, message, format!("[process] writable = [{}]", quoted.join(", ")));
        }
        let root = spec.process.user.as_deref().unwrap_or(&process.user);
        let is_root = ["", "0", "root", "0:0", "root:root"].contains(&root);
        let have: Vec<String> = spec.process.capabilities.iter().map(text_of).collect();
        let lacks: Vec<&str> = known
            .capabilities
            .iter()
            .copied()
            .filter(|name| !have.iter().any(|known| known == name))
            .collect();
        if is_root && !lacks.is_empty() {
            let quoted: Vec<String> = lacks.iter().map(|name| format!("\"{name}\"")).collect();
            let message = format!("{} started as root usually changes its user", known.program);
            find(false, message, format!("[process] capabilities = [{}]", quoted.join(", ")));
        }
    }
    findings
}

/// A word of the manifest.
fn text_of<T: Serialize>(word: &T) -> String {
    let json = serde_json::to_value(word).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}

/// The number of `8080/tcp` or `8080`.
fn tcp_port(text: &str) -> Option<u16> {
    match text.split_once('/') {
        None => text.parse().ok(),
        Some((port, "tcp")) => port.parse().ok(),
        Some(_) => None,
    }
}

fn table(answer: &Answer, look: &Look) -> String {
    let headings = ["ENVIRONMENT", "INSTANCES", "CPU", "MEMORY", "PORT", "ROUTES"];
    let mut text = Table::of(&headings, &answer.environments, |resolved| {
        vec![
            resolved.environment.clone(),
            resolved.instances.to_string(),
            resolved.cpu.clone(),
            resolved.memory.clone(),
            opt(resolved.port),
            dash(resolved.routes.join(",")),
        ]
    })
    .render(look.width);
    for finding in &answer.findings {
        let level = if finding.needed { "missing" } else { "perhaps missing" };
        text.push_str(&format!("{level}: {}\n  add: {}\n", finding.message, finding.add));
    }
    text
}

#[cfg(test)]
mod tests {
    use api::time::Timestamp;
    use image::manifest::{Platform, Process};
    use image::{Digest, Image};

    use super::*;

    fn spec(text: &str) -> Spec {
        let text = format!("app = \"a\"\nteam = \"t\"\n{text}");
        let manifest = Manifest::parse("f", &text).unwrap();
        manifest.resolve(&EnvironmentName::new("other").unwrap()).unwrap()
    }

    fn image(command: &[&str], ports: &[&str], volumes: &[&str]) -> Config {
        let digest = Digest::from_bytes([0; 32]);
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let process =
            Process { cmd: words(command), exposed_ports: words(ports), ..Process::default() };
        let platform = Platform::host();
        let image = Image { digest, config: digest, layers: Vec::new(), process, platform };
        Config { image, volumes: words(volumes) }
    }

    #[test]
    fn what_an_image_needs_is_named_with_its_line() {
        let redis = image(&["redis-server"], &["6379/tcp", "53/udp"], &["/data"]);
        let findings = judge(&spec(""), &redis);
        let adds: Vec<&str> = findings.iter().map(|finding| &*finding.add).collect();
        assert!(adds.contains(&"[process] port = 6379"), "{adds:?}");
        assert!(adds.iter().any(|add| add.contains("\"/data\" = \"1GiB\"")), "{adds:?}");
        assert!(!findings.iter().any(|finding| finding.needed), "nothing is routed to it");

        let good = spec(
            "[process]\nport = 6379\n\
             writable = [\"/data\", \"/var/lib/redis\", \"/var/log/redis\", \"/run\"]\n\
             capabilities = [\"SETUID\", \"SETGID\"]\n",
        );
        assert_eq!(judge(&good, &redis), []);
    }

    #[test]
    fn what_cannot_run_is_needed() {
        let findings = judge(&spec(""), &image(&[], &[], &[]));
        assert!(findings[0].needed && findings[0].add.contains("command"));
        let findings = judge(&spec("[process]\ncommand = [\"/x\"]\n"), &image(&[], &[], &[]));
        assert_eq!(findings, []);
    }

    #[test]
    fn lines_that_the_checker_names_are_good_manifests() {
        for known in KNOWN {
            let quoted = |words: &[&str]| {
                words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
            };
            let text = format!(
                "[process]\nwritable = [{}]\ncapabilities = [{}]\n",
                quoted(known.writes),
                quoted(known.capabilities)
            );
            let spec = spec(&text);
            assert_eq!(judge(&spec, &image(&[known.program], &[], &[])), [], "{}", known.program);
        }
    }

    #[test]
    fn every_environment_is_resolved() {
        let text = "app = \"a\"\nteam = \"t\"\n[process]\nport = 80\n[scale]\ninstances = 3\n\
                    [routes]\nhosts = [\"a.example.com\"]\n[on.staging.scale]\ninstances = 1\n\
                    [on.other.scale]\ninstances = 2\n";
        let resolved = resolve(&Manifest::parse("f", text).unwrap()).unwrap();
        let finding = Finding {
            needed: true,
            message: "the image listens on port 80".into(),
            add: "[process] port = 80".into(),
        };
        let answer = Answer {
            app: "a".into(),
            environments: resolved.iter().map(|(name, spec)| summary(name, spec)).collect(),
            findings: vec![finding],
        };
        let look = Look { width: None, now: Timestamp(0) };
        insta::assert_snapshot!(table(&answer, &look));
    }
}
