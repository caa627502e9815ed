//! What bad manifests are told, word for word, and what good ones come to.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use api::id::EnvironmentName;
use api::manifest::{
    EnvironmentValue, HealthCheck, MAX_ENVIRONMENTS, MAX_PROBLEMS, MAX_SOURCE, Manifest,
    ManifestErrors, Spec,
};
use api::unit::{Bytes, MilliCpu, Millis};
use serde_json::json;

const FULL: &str = include_str!("manifest_full.toml");

fn environment(name: &str) -> EnvironmentName {
    EnvironmentName::new(name).unwrap()
}

fn resolve(source: &str, name: &str) -> Spec {
    let manifest = Manifest::parse("freehold.toml", source).unwrap_or_else(|e| panic!("{e}"));
    manifest.resolve(&environment(name)).unwrap()
}

/// Problems one a line with the piece of source each points at.
fn told(source: &str) -> String {
    let errors = Manifest::parse("freehold.toml", source).expect_err("it is bad");
    shown(&errors)
}

fn shown(errors: &ManifestErrors) -> String {
    let lines = errors.problems.iter().map(|problem| {
        let place = errors.position(problem).map_or("-".into(), |(l, c)| format!("{l}:{c}"));
        let piece = problem.span.clone().map(|span| errors.source[span].replace('\n', "⏎"));
        let hint = problem.hint.as_deref().map_or(String::new(), |h| format!("\n    hint: {h}"));
        format!("{place} [{}] {problem}{hint}", piece.unwrap_or_default())
    });
    lines.collect::<Vec<_>>().join("\n")
}

macro_rules! bad {
    ($($name:ident: $source:expr;)*) => { $(
        #[test]
        fn $name() {
            insta::assert_snapshot!(told($source));
        }
    )* };
}

bad! {
    an_unknown_key: "app = \"shop\"\nteam = \"retail\"\n[resources]\nmemroy = \"1GiB\"\n\
        [helth]\nhttp = \"/\"\n[scale]\ncolour = 3\n";
    a_wrong_unit: "app = \"shop\"\nteam = \"retail\"\n[resources]\nmemory = \"128Mib\"\ncpu = 1\n\
        disk = 100\n[process]\nstop_grace = \"10 s\"\n[health]\ninterval = 2\n";
    a_number_out_of_range: "app = \"shop\"\nteam = \"retail\"\npriority = 1001\n[process]\n\
        port = 70000\nprocesses = 0\nstop_grace = \"11m\"\n[resources]\nmemory = \"1MiB\"\n\
        pids = 99999999999999999999999\n[scale]\ninstances = -1\n[routes]\ntcp = [0]\n";
    a_wrong_type: "app = 7\nteam = \"retail\"\nprocess = \"web\"\nimage = [\"a\"]\n[scale]\n\
        instances = \"3\"\n[environment]\nPORT = 8080\nDEBUG = true\nRATE = 0.5\n\
        SINCE = 2020-01-01\n[routes]\nhosts = \"shop.example.com\"\nredirect_https = \"yes\"\n";
    missing_names: "[process]\nport = 80\n";
    bad_names: "app = \"Shop_1\"\nteam = \"\"\n[on.Prod.scale]\ninstances = 2\n";
    bad_hosts: "app = \"shop\"\nteam = \"retail\"\n[process]\nport = 80\n[routes]\nhosts = [\n\
        \"Shop.example.com\", \"https://shop.example.com\", \"shop.example.com:80\", \"*\",\n\
        \"a.*.example.com\", \"müller.example\", \"127.0.0.1\", \"a..b\", \"-a.example\",\n\
        \"a.example/../b\", \"a.example/b c\", \"ok.example\", \"ok.example/\", \"\"]\n";
    overrides: "app = \"shop\"\nteam = \"retail\"\n[resources]\ncpu_max = \"200m\"\n\
        [on.staging]\nteam = \"other\"\nscael = { instances = 1 }\n[on.staging.scale]\n\
        instance = 1\n[on.production.resources]\ncpu = \"300m\"\n[on.test.on.deep]\n\
        [on]\nqa = 1\n";
    paths: "app = \"shop\"\nteam = \"retail\"\n[process]\nworking_dir = \"srv\"\nwritable = [\n\
        \"/tmp\", \"/tmp/cache\", \"/tmp\", \"/\", \"/proc/x\", \"/dev\", \"/a/../b\", \"/a//b\",\n\
        \"/a/\", \"tmp\", \"/tmpfs\"]\n[process.scratch]\n\"/data\" = \"1GiB\"\n\
        \"/data/sub\" = \"1GiB\"\n\"/tmp/scratch\" = \"64MiB\"\n\"/var\" = \"1B\"\n";
    process: "app = \"shop\"\nteam = \"retail\"\n[process]\ncommand = []\nargs = [\"a\\u0000b\"]\n\
        user = \"a b\"\ncapabilities = [\"SYS_ADMIN\", \"CAP_CHOWN\", \"KILL\", \"KILL\",\
        \"CHWON\"]\n\
        processes = 65\nstop_signal = \"TERM\"\nprotocol = \"grpc\"\n";
    health_and_routes: "app = \"shop\"\nteam = \"retail\"\n[process]\nprotocol = \"tcp\"\n\
        [health]\nhttp = \"healthz\"\ntcp = true\n[routes]\n\
        hosts = [\"a.example\", \"a.example\"]\n\
        tcp = [80, 6379, 6379]\n[rollout]\nsurge = 0\n[spread]\n\
        by = [\"rack\", \"rack\", \"row\"]\n";
    environment_names: "app = \"shop\"\nteam = \"retail\"\n[environment]\n\"A-B\" = \"x\"\n\
        1A = \"x\"\nFREEHOLD_APP = \"x\"\n_OK1 = \"x\"\nS = \"secret:Not A Name\"\n";
    later_tables: "app = \"shop\"\nteam = \"retail\"\nsingleton = true\nscale.instances = 2\n\
        [uses]\napps = [\"shop\", \"billing\", \"billing\"]\nbindings = [\"B\"]\n[metrics]\n\
        path = \"metrics\"\n[jobs.tidy]\nschedule = \"61 3 * *\"\n[jobs.sweep]\ncommand = []\n\
        [jobs.x]\nschedule = \"0 24 * * *\"\ntimezone = \"a b\"\n[jobs.\"A b\"]\n\
        schedule = \"*/5 1-3,5 * jan-mar mon\"\n[files]\n\
        \"/etc/a\" = { content = \"x\", secret = \"y\" }\n\
        \"/etc/b\" = {}\n\"c\" = { content = \"x\", mode = \"999\" }\n";
    syntax: "app = \"shop\nteam = retail\n[process\nport = 80\nport = 81\n";
}

#[test]
fn an_unsupported_table_in_use_is_named() {
    let manifest = Manifest::parse("freehold.toml", FULL).unwrap();
    insta::assert_snapshot!(shown(&ManifestErrors::locate(
        "freehold.toml",
        FULL,
        manifest.unsupported()
    )));
    let plain = "app = \"a\"\nteam = \"t\"\nsingleton = false\n[rollout]\nsurge = 2\n[spread]\n\
        max_skew = 2\n[uses]\n[jobs]\n[files]\n";
    assert_eq!(Manifest::parse("f", plain).unwrap().unsupported(), []);
}

#[test]
fn a_full_manifest_comes_to_this() {
    let spec = resolve(FULL, "production");
    insta::assert_json_snapshot!(spec);
}

#[test]
fn the_schema_is_this() {
    insta::assert_json_snapshot!(api::manifest::schema());
}

#[test]
fn defaults_are_those_promised() {
    let spec = resolve("app = \"a\"\nteam = \"t\"\n", "staging");
    assert_eq!(spec.resources.cpu, MilliCpu(100));
    assert_eq!(spec.resources.memory, Bytes::mib(128));
    assert_eq!((spec.resources.pids, spec.process.processes), (64, 1));
    assert_eq!((spec.scale.instances, spec.priority.0), (1, 100));
    assert_eq!((spec.rollout.surge, spec.rollout.max_unavailable), (1, 0));
    assert_eq!(spec.rollout.start_within, Millis::secs(60));
    assert_eq!(spec.process.stop_grace, Millis::secs(10));
    assert!(spec.process.init && !spec.singleton && spec.process.capabilities.is_empty());
    assert_eq!(spec.health_check(), HealthCheck::Alive);
    assert_eq!((spec.resources.cpu_max, spec.resources.disk), (None, None));
}

#[test]
fn an_instance_of_a_singleton_ends_before_the_next_begins() {
    let singleton = "app = \"a\"\nteam = \"t\"\nsingleton = true\n";
    let spec = resolve(singleton, "staging");
    assert_eq!((spec.rollout.surge, spec.rollout.max_unavailable), (0, 1));
    assert_eq!(Manifest::parse("f", singleton).unwrap().unsupported(), []);
    resolve(&format!("{singleton}rollout = {{ surge = 0, max_unavailable = 1 }}\n"), "staging");
    for (wrong, told) in
        [("surge = 1", "surge is 0, not 1"), ("max_unavailable = 0", "max_unavailable is 1, not 0")]
    {
        let text = format!("{singleton}[rollout]\n{wrong}\n");
        let problems = Manifest::parse("f", &text).unwrap_err().problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].message.contains(told), "{problems:?}");
    }
}

#[test]
fn the_check_follows_from_port_and_health() {
    let check = |text: &str| {
        resolve(&format!("app = \"a\"\nteam = \"t\"\n{text}"), "staging").health_check()
    };
    let spec = resolve("app = \"a\"\nteam = \"t\"\nprocess.port = 80", "staging");
    assert_eq!(spec.health.tcp, Some(true));
    assert_eq!(check("process.port = 80"), HealthCheck::Tcp { port: 80 });
    assert_eq!(check("process.port = 80\nhealth.tcp = false"), HealthCheck::Alive);
    assert_eq!(check("health.port = 81"), HealthCheck::Tcp { port: 81 });
    let http = HealthCheck::Http { port: 80, path: "/z".into() };
    assert_eq!(check("process.port = 80\nhealth.http = \"/z\""), http);
    let http = HealthCheck::Http { port: 81, path: "/z".into() };
    assert_eq!(check("process.port = 80\nhealth = { http = \"/z\", port = 81 }"), http);
}

#[test]
fn disk_is_what_scratch_needs() {
    let spec = resolve(
        "app = \"a\"\nteam = \"t\"\nprocess.scratch = { \"/a\" = \"1GiB\", \"/b\" = \"1GiB\" }",
        "staging",
    );
    assert_eq!(spec.resources.disk, Some(Bytes(2 << 30)));
}

#[test]
fn secrets_are_references_and_can_be_escaped() {
    let spec = resolve(
        "app = \"a\"\nteam = \"t\"\n[environment]\nA = \"secret:db\"\nB = \"secret::db\"\nC = \"\"",
        "staging",
    );
    let value = |name: &str| spec.environment[name].clone();
    assert!(matches!(value("A"), EnvironmentValue::Secret(name) if name.as_str() == "db"));
    assert_eq!(value("B"), EnvironmentValue::Literal("secret:db".into()));
    assert_eq!(value("C"), EnvironmentValue::Literal(String::new()));
}

#[test]
fn overrides_reach_their_environment_alone() {
    assert_eq!(resolve(FULL, "staging").scale.instances, 1);
    assert_eq!(resolve(FULL, "production").scale.instances, 3);
    let staging = resolve(FULL, "staging");
    assert_eq!(staging.process.writable, ["/tmp"], "arrays are replaced");
    assert_eq!(staging.environment.len(), 3, "tables are merged");
    let manifest = Manifest::parse("f", FULL).unwrap();
    assert_eq!(manifest.environments().collect::<Vec<_>>(), [environment("staging")]);
    assert_eq!(manifest.image(), Some("registry.example/shop:1.4"));
}

#[test]
fn json_is_judged_by_the_same_rules() {
    let problems = Manifest::from_json(&json!({
        "app": "shop", "team": "retail", "on": { "staging": { "process": { "port": 0 } } },
        "resources": { "memroy": "1GiB" }, "scale": null,
    }))
    .unwrap_err();
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "resources.memroy: unknown key \"memroy\"",
            "on.staging.process.port: 0 is out of range: allowed is 1 to 65535",
        ]
    );
    assert!(problems.iter().all(|problem| problem.span.is_none()));
    for not_a_table in [json!(null), json!([]), json!("x"), json!({})] {
        assert!(Manifest::from_json(&not_a_table).is_err(), "{not_a_table}");
    }
}

#[test]
fn problems_without_places_are_located() {
    let source = "app = \"a\"\nteam = \"t\"\n[on.staging.process]\nwritable = [\"/tmp\", \"x\"]\n";
    let whole = Manifest::parse("f", source).unwrap_err();
    let mut bare = whole.problems.clone();
    bare.iter_mut().for_each(|problem| problem.span = None);
    assert_eq!(ManifestErrors::locate("f", source, bare), whole);
    assert_eq!(whole.position(&whole.problems[0]), Some((4, 21)));
}

#[test]
fn columns_count_characters() {
    let source = "app = \"a\"\nteam = \"t\"\nprocess = { user = \"ä b\", port = 0 }";
    let errors = Manifest::parse("f", source).unwrap_err();
    let places: Vec<_> = errors.problems.iter().map(|p| errors.position(p).unwrap()).collect();
    assert_eq!(places, [(3, 20), (3, 34)]);
}

#[test]
fn stored_manifests_of_other_versions_stay_readable() {
    let stored = json!({ "app": "shop", "team": "retail", "new_key": { "a": 1 } });
    let manifest: Manifest = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!(serde_json::to_value(&manifest).unwrap(), stored);
    let problems = manifest.resolve(&environment("staging")).unwrap_err();
    assert_eq!(problems[0].path, "new_key");
    assert!(serde_json::from_value::<Manifest>(json!({ "app": "shop" })).is_err());
    let error = serde_json::from_value::<Manifest>(json!({ "app": "A", "team": "t" })).unwrap_err();
    assert!(error.to_string().contains("\"app\""), "{error}");
}

#[test]
fn sizes_are_bounded() {
    let head = "app = \"a\"\nteam = \"t\"\n";
    let comment = |size: usize| format!("{head}#{}", "x".repeat(size - head.len() - 1));
    assert!(Manifest::parse("f", &comment(MAX_SOURCE)).is_ok());
    assert!(Manifest::parse("f", &comment(MAX_SOURCE + 1)).is_err());
    let long = json!({ "app": "a", "team": "t", "image": "x".repeat(MAX_SOURCE) });
    assert!(Manifest::from_json(&long).unwrap_err()[0].message.contains("bytes"));

    let unknown: String = (0..20_000).map(|i| format!("k{i} = 1\n")).collect();
    let errors = Manifest::parse("f", &format!("{head}{unknown}")).unwrap_err();
    assert_eq!(errors.problems.len(), MAX_PROBLEMS);

    let words = |n: usize| format!("{head}process.args = [{}]", "\"x\",".repeat(n));
    assert!(Manifest::parse("f", &words(1024)).is_ok());
    let errors = Manifest::parse("f", &words(1025)).unwrap_err();
    assert_eq!(errors.problems[0].path, "process.args");

    let on = |n: usize| -> String { (0..n).map(|i| format!("[on.e{i}]\n")).collect() };
    assert!(Manifest::parse("f", &format!("{head}{}", on(MAX_ENVIRONMENTS))).is_ok());
    let errors = Manifest::parse("f", &format!("{head}{}", on(MAX_ENVIRONMENTS + 1))).unwrap_err();
    assert_eq!(errors.problems[0].path, "on");
}

#[test]
fn depth_is_bounded_in_every_notation() {
    let head = "app = \"a\"\nteam = \"t\"\n";
    let dotted = vec!["a"; 78].join(".");
    let inline = format!("{dotted} = ").to_owned() + &format!("{{ {dotted} = ").repeat(76);
    for deep in [
        format!("{head}x = {}1{}", "[".repeat(60), "]".repeat(60)),
        format!("{head}x = {}{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("{head}[{}]", vec!["a"; 70].join(".")),
        format!("{head}[{}]", vec!["a"; 100_000].join(".")),
        format!("{head}{inline}1{}", " }".repeat(76)),
        format!("{head}{inline}"),
        format!("{head}{inline}1{}\nb = ", " }".repeat(76)),
    ] {
        let errors = Manifest::parse("f", &deep).unwrap_err();
        assert!(!errors.problems.is_empty());
    }
    let mut json = json!(1);
    for _ in 0..100 {
        json = json!({ "a": json });
    }
    assert!(Manifest::from_json(&json).unwrap_err()[0].message.contains("levels deep"));
}

#[test]
fn errors_read_like_a_compilers() {
    let errors = Manifest::parse("shop.toml", "app = \"a\"\nprocess.port = 0").unwrap_err();
    assert_eq!(
        errors.to_string(),
        "shop.toml:2:16: process.port: 0 is out of range: allowed is 1 to 65535\n\
         shop.toml: team: is missing"
    );
}

#[test]
fn the_largest_manifests_are_judged_in_bounded_work() {
    let head = "app = \"a\"\nteam = \"t\"\n";
    let fill = |line: &dyn Fn(usize) -> String| {
        let mut text = head.to_owned();
        for line in (0..).map(line) {
            if text.len() + line.len() + 1000 > MAX_SOURCE {
                break;
            }
            text.push_str(&line);
        }
        text.push_str(&(0..MAX_ENVIRONMENTS).map(|i| format!("[on.e{i}]\n")).collect::<String>());
        text
    };
    let long_key = "k".repeat(MAX_SOURCE - 2000);
    for text in [
        fill(&|i| format!("a{i} = 1\n")),
        fill(&|i| format!("[[x{i}]]\n")),
        fill(&|i| format!("environment.A{i} = \"\"\n")),
        fill(&|i| format!("process.scratch.\"/a/{i}\" = \"1MiB\"\n")),
        fill(&|i| format!("a{i} = \n")),
        format!("{head}process.writable = [{}]", "\"/tmp\",".repeat(1024)),
        format!("{head}process.writable = [{}]", "7,".repeat(100_000)),
        format!("{head}{long_key} = 1"),
        format!("{head}environment.\"{long_key}-\" = \"\""),
    ] {
        let errors = Manifest::parse("f", &text).unwrap_err();
        assert!(errors.problems.len() <= MAX_PROBLEMS);
        assert!(errors.to_string().len() < 1 << 20, "{}", errors.to_string().len());
    }
}
