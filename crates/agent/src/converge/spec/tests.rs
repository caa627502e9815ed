//! What becomes of manifests and images.

use std::net::Ipv4Addr;

use api::assignment::Wanted;
use api::id::{AppName, EnvironmentName, InstanceId, ReleaseNumber};
use api::manifest::{Manifest, Spec};
use api::protocol::SecretValue;
use image::Digest;
use image::manifest::{Platform, Process as ImageProcess};

use super::*;

fn spec(text: &str) -> Spec {
    let text = format!("app = \"shop\"\nteam = \"retail\"\n{text}");
    let manifest = Manifest::parse("freehold.toml", &text).unwrap();
    manifest.resolve(&EnvironmentName::new("staging").unwrap()).unwrap()
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn image(entrypoint: &str, cmd: &str) -> Image {
    let process = ImageProcess {
        entrypoint: words(entrypoint),
        cmd: words(cmd),
        env: vec!["PATH=/opt/bin".into(), "MODE=image".into()],
        user: "web".into(),
        working_dir: "/srv".into(),
        stop_signal: "SIGQUIT".into(),
        ..ImageProcess::default()
    };
    let digest = Digest::of(b"image");
    let platform = Platform::linux("amd64");
    Image { digest, config: digest, layers: vec![], process, platform }
}

fn made(manifest: &str, image: &Image) -> Result<ContainerSpec, SpecError> {
    let app = AppName::new("shop").unwrap();
    let environment = EnvironmentName::new("staging").unwrap();
    let entry = Entry {
        instance: InstanceId::compose(&app, &environment, 1),
        app: app.clone(),
        environment: environment.clone(),
        release: ReleaseNumber(7),
        wanted: Wanted::Run,
        address: Ipv4Addr::new(10, 128, 0, 9),
        replaces: None,
        epoch: 0,
    };
    let workload = Workload {
        app,
        environment,
        release: ReleaseNumber(7),
        image: api::release::Image {
            registry: None,
            repository: "retail/shop".into(),
            tag: None,
            digest: Digest::of(b"image").to_string().parse().unwrap(),
        },
        spec: spec(manifest),
        secrets: [("db".to_owned(), SecretValue("hush".into()))].into(),
    };
    let paths =
        Paths { instances: "/run/i".into(), logs: "/logs".into(), scratch: "/scratch".into() };
    let host = HostId::new("host1").unwrap();
    container_spec(&host, &entry, &workload, image, vec![], Path::new("/run/ns"), &paths)
}

#[test]
fn commands_of_manifest_and_image_are_joined() {
    let args = |manifest: &str, image: &Image| made(manifest, image).map(|spec| spec.args);
    let both = image("/entry -a", "cmd x");
    assert_eq!(args("", &both).unwrap(), words("/entry -a cmd x"));
    assert_eq!(args("[process]\nargs = [\"y\"]", &both).unwrap(), words("/entry -a y"));
    assert_eq!(args("[process]\ncommand = [\"/b\"]", &both).unwrap(), words("/b"));
    let all = "[process]\ncommand = [\"/b\"]\nargs = [\"y\"]";
    assert_eq!(args(all, &both).unwrap(), words("/b y"));
    assert_eq!(args("", &image("", "")), Err(SpecError::NoCommand));
}

#[test]
fn variables_are_the_images_then_the_manifests_then_ours() {
    let manifest = "[process]\nport = 8080\n[environment]\nMODE = \"mine\"\nKEY = \"secret:db\"\n";
    let env = made(manifest, &image("/x", "")).unwrap().env;
    for wanted in [
        "PATH=/opt/bin",
        "MODE=mine",
        "KEY=hush",
        "PORT=8080",
        "FREEHOLD_APP=shop",
        "FREEHOLD_ENVIRONMENT=staging",
        "FREEHOLD_RELEASE=7",
        "FREEHOLD_INSTANCE=shop-staging-00000001",
        "FREEHOLD_HOST=host1",
    ] {
        assert_eq!(env.iter().filter(|v| *v == wanted).count(), 1, "{wanted} in {env:?}");
    }
    assert!(!env.contains(&"MODE=image".to_owned()));
    let missing = made("[environment]\nKEY = \"secret:other\"\n", &image("/x", ""));
    assert_eq!(missing, Err(SpecError::Secret("other".into(), "KEY".into())));
}

#[test]
fn user_directory_and_signal_are_the_manifests_or_the_images() {
    let plain = made("", &image("/x", "")).unwrap();
    assert_eq!((plain.user.as_str(), plain.working_dir.as_str()), ("web", "/srv"));
    assert_eq!(plain.stop_signal.number(), 3);
    let manifest = "[process]\nuser = \"1000:1000\"\nworking_dir = \"/data\"\nstop_signal = \
                    \"SIGINT\"\nwritable = [\"/tmp\"]\nscratch = { \"/data\" = \"1GiB\" }\n\
                    capabilities = [\"CHOWN\"]\n[resources]\npids = 10\ncpu = \"250m\"\n";
    let given = made(manifest, &image("/x", "")).unwrap();
    assert_eq!((given.user.as_str(), given.working_dir.as_str()), ("1000:1000", "/data"));
    assert_eq!(given.stop_signal.number(), 2);
    assert_eq!(given.limits.pids, 11);
    assert_eq!(given.limits.cpu.guaranteed_milli, 250);
    assert_eq!(given.capabilities, [Capability::Chown]);
    assert_eq!(given.scratch[0].source, Path::new("/scratch/shop-staging-00000001/0"));
    assert_eq!(given.writable[0].path, Path::new("/tmp"));
}

#[test]
fn no_two_addresses_of_a_host_share_user_ids() {
    let mut bases = std::collections::BTreeSet::new();
    for low in 0..=u8::MAX {
        let mut entry = Entry {
            instance: InstanceId::new("a").unwrap(),
            app: AppName::new("a").unwrap(),
            environment: EnvironmentName::new("e").unwrap(),
            release: ReleaseNumber(1),
            wanted: Wanted::Run,
            address: Ipv4Addr::new(10, 128, 3, low),
            replaces: None,
            epoch: 0,
        };
        assert!(bases.insert(id_range(&entry).base));
        entry.address = Ipv4Addr::new(10, 191, 255, low);
        assert!(id_range(&entry).base >= 1 << 30);
        assert!(id_range(&entry).base.checked_add(RANGE_IDS).unwrap() <= 1 << 31);
    }
}
