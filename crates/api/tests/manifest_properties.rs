//! What must hold for every manifest: overrides change what they name and nothing else, the forms
//! of a manifest agree, problems point at what they are about, and no input panics.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use api::id::EnvironmentName;
use api::manifest::{Manifest, Spec};
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

const FULL: &str = include_str!("manifest_full.toml");

/// Values that are valid whatever else is set among them, each with its path.
fn settings() -> Vec<(&'static str, Json)> {
    vec![
        ("priority", json!(7)),
        ("process.port", json!(8080)),
        ("process.port", json!(1)),
        ("process.writable", json!(["/tmp"])),
        ("process.writable", json!(["/run", "/var/tmp"])),
        ("process.command", json!(["/bin/a", "-x"])),
        ("process.args", json!([])),
        ("process.user", json!("nobody")),
        ("process.init", json!(false)),
        ("process.stop_grace", json!("1m30s")),
        ("process.stop_signal", json!("SIGINT")),
        ("process.capabilities", json!(["KILL"])),
        ("process.protocol", json!("h2c")),
        ("process.processes", json!(3)),
        ("resources.memory", json!("1GiB")),
        ("resources.cpu", json!("1m")),
        ("resources.cpu_max", json!("1.5")),
        ("resources.pids", json!(100)),
        ("scale.instances", json!(0)),
        ("scale.instances", json!(12)),
        ("health.interval", json!("5s")),
        ("health.failures", json!(9)),
        ("health.port", json!(9)),
        ("routes.redirect_https", json!(true)),
        ("routes.max_body", json!("1MB")),
        ("environment.A", json!("a")),
        ("environment.A", json!("secret:x")),
        ("environment.C", json!("secret::x")),
        ("environment.C", json!("secret:::")),
        ("environment.B_1", json!("\"'\n\u{1F600}")),
        ("rollout.surge", json!(5)),
        ("rollout.max_unavailable", json!(1)),
        ("spread.by", json!(["host"])),
        ("spread.max_skew", json!(4)),
        ("uses.apps", json!(["billing"])),
        ("jobs.tidy.schedule", json!("0 0 * * *")),
    ]
}

type Chosen = Vec<(&'static str, Json)>;

fn chosen() -> impl Strategy<Value = Chosen> {
    proptest::sample::subsequence(settings(), 0..=12)
}

fn table<'a>(root: &'a mut Json, path: &[&str]) -> &'a mut Map<String, Json> {
    let mut at = root;
    for step in path {
        at = at.as_object_mut().unwrap().entry(*step).or_insert_with(|| Json::Object(Map::new()));
    }
    at.as_object_mut().unwrap()
}

/// Sets each path below `prefix`; the meaning of an override in its simplest words.
fn set(root: &mut Json, prefix: &[&str], chosen: &Chosen) {
    for (path, value) in chosen {
        let mut steps = prefix.to_vec();
        steps.extend(path.split('.'));
        let key = steps.pop().unwrap();
        table(root, &steps).insert(key.to_owned(), value.clone());
    }
}

fn named() -> Json {
    json!({ "app": "shop", "team": "retail" })
}

fn resolve(manifest: &Manifest, environment: &str) -> Spec {
    manifest.resolve(&EnvironmentName::new(environment).unwrap()).unwrap()
}

/// The leaves of a JSON document by path; arrays are leaves.
fn leaves(json: &Json, at: &str, found: &mut Vec<(String, Json)>) {
    match json {
        Json::Object(entries) => {
            for (key, value) in entries {
                leaves(value, &format!("{at}.{key}"), found);
            }
        }
        value => found.push((at.trim_start_matches('.').to_owned(), value.clone())),
    }
}

fn spec_leaves(spec: &Spec) -> Vec<(String, Json)> {
    let mut found = Vec::new();
    leaves(&serde_json::to_value(spec).unwrap(), "", &mut found);
    found
}

/// Follows from other values; see `Health::tcp` and `Resources::disk`.
const DERIVED: [&str; 2] = ["health.tcp", "resources.disk"];

proptest! {
    #[test]
    fn an_override_is_the_base_with_its_values_set(base in chosen(), over in chosen()) {
        let mut document = named();
        set(&mut document, &[], &base);
        let plain = Manifest::from_json(&document).unwrap();
        let mut expected = document.clone();
        set(&mut expected, &[], &over);
        let expected = Manifest::from_json(&expected).unwrap();
        set(&mut document, &["on", "staging"], &over);
        let manifest = Manifest::from_json(&document).unwrap();

        prop_assert_eq!(resolve(&manifest, "staging"), resolve(&expected, "staging"));
        prop_assert_eq!(resolve(&manifest, "production"), resolve(&plain, "production"));
    }

    #[test]
    fn an_override_changes_only_what_it_names(base in chosen(), over in chosen()) {
        let mut document = named();
        set(&mut document, &[], &base);
        set(&mut document, &["on", "staging"], &over);
        let manifest = Manifest::from_json(&document).unwrap();
        let before = spec_leaves(&resolve(&manifest, "production"));
        let after = spec_leaves(&resolve(&manifest, "staging"));
        for leaf in after.iter().filter(|leaf| !before.contains(leaf)) {
            let named = over.iter().any(|(path, _)| leaf.0.starts_with(path))
                || (leaf.0.starts_with("jobs.tidy")
                    && over.iter().any(|(path, _)| path.starts_with("jobs")));
            prop_assert!(named || DERIVED.contains(&leaf.0.as_str()), "{:?}", leaf);
        }
        for (path, value) in before.iter().filter(|leaf| !after.contains(leaf)) {
            let named = over.iter().any(|(named, _)| path == named);
            prop_assert!(named || DERIVED.contains(&path.as_str()), "{path} = {value}");
        }
    }

    #[test]
    fn toml_and_json_agree(base in chosen(), over in chosen()) {
        let mut document = named();
        set(&mut document, &[], &base);
        set(&mut document, &["on", "staging"], &over);
        let source = toml::to_string(&document).unwrap();
        let manifest = Manifest::parse("freehold.toml", &source).unwrap();
        prop_assert_eq!(&manifest, &Manifest::from_json(&document).unwrap());
        let stored = serde_json::to_string(&manifest).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Manifest>(&stored).unwrap(), &manifest);
    }

    #[test]
    fn a_spec_is_a_manifest_of_itself(base in chosen()) {
        let mut document = named();
        set(&mut document, &[], &base);
        let spec = resolve(&Manifest::from_json(&document).unwrap(), "staging");
        let json = serde_json::to_value(&spec).unwrap();
        let again = Manifest::from_json(&json).unwrap();
        prop_assert_eq!(&resolve(&again, "staging"), &spec);
        prop_assert_eq!(serde_json::from_value::<Spec>(json).unwrap(), spec);
    }

    #[test]
    fn unknown_keys_are_pointed_at(line in 0usize..200, key in "[a-z]{3,9}_[0-9]{1,3}") {
        let mut lines: Vec<&str> = FULL.lines().collect();
        let line = line.min(lines.len());
        let added = format!("{key} = false");
        lines.insert(line, &added);
        let source = lines.join("\n");
        // In a table of the developer's own keys a wrong value is told instead of a wrong key.
        let errors = Manifest::parse("freehold.toml", &source).unwrap_err();
        let pieces: Vec<_> = errors
            .problems
            .iter()
            .map(|problem| &source[problem.span.clone().unwrap()])
            .collect();
        prop_assert!(!pieces.is_empty());
        for (piece, problem) in pieces.iter().zip(&errors.problems) {
            let unknown = problem.message.starts_with("unknown key");
            prop_assert_eq!(*piece, if unknown { key.as_str() } else { "false" });
            prop_assert_eq!(errors.position(problem).unwrap().0, line + 1);
        }
    }

    #[test]
    fn wrong_values_are_pointed_at(pick in any::<proptest::sample::Index>()) {
        let lines: Vec<&str> = FULL.lines().collect();
        let values: Vec<usize> =
            (0..lines.len())
                .filter(|i| lines[*i].contains(" = ") && !lines[*i].contains('{'))
                .collect();
        let line = values[pick.index(values.len())];
        let key = lines[line].split(" = ").next().unwrap();
        let changed = format!("{key} = 1979-05-27");
        let mut lines = lines;
        lines[line] = &changed;
        let source = lines.join("\n");
        let errors = Manifest::parse("freehold.toml", &source).unwrap_err();
        prop_assert!(errors.problems.iter().any(|problem| {
            // "app" in an override's place is refused by its key.
            let piece = &source[problem.span.clone().unwrap()];
            piece == "1979-05-27" && errors.position(problem).unwrap().0 == line + 1
        }), "{}", errors);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}|[\\[\\]{}=.\"'#a-c0-9\\n ,]{0,200}") {
        check_places(&text);
    }

    #[test]
    fn no_mutation_panics(
        edits in prop::collection::vec(
            (any::<proptest::sample::Index>(), 0usize..4, "[\\PC\n]{0,3}", 0usize..30), 1..6),
    ) {
        let mut text: Vec<char> = FULL.chars().collect();
        for (at, kind, new, length) in edits {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            let new: Vec<char> = match kind {
                0 => new.chars().collect(),
                1 => text[at..end].iter().chain(&text[at..end]).copied().collect(),
                2 => Vec::new(),
                _ => text[at..end].iter().rev().copied().collect(),
            };
            text.splice(at..end, new);
        }
        check_places(&text.into_iter().collect::<String>());
    }

    #[test]
    fn no_json_panics(pick in any::<proptest::sample::Index>(), odd in odd_json()) {
        let full = Manifest::parse("freehold.toml", FULL).unwrap();
        let mut document = Json::Object(full.document().clone());
        let mut paths = Vec::new();
        pointers(&document, "", &mut paths);
        let path = &paths[pick.index(paths.len())];
        *document.pointer_mut(path).unwrap() = odd;
        if let Ok(manifest) = Manifest::from_json(&document) {
            resolve(&manifest, "staging");
            let _ = manifest.unsupported();
        }
        if let Ok(stored) = serde_json::from_value::<Manifest>(document) {
            let _ = stored.resolve(&EnvironmentName::new("staging").unwrap());
            let _ = stored.unsupported();
        }
    }
}

fn odd_json() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "\\PC{0,12}".prop_map(Json::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([{ "a": [1] }])),
        Just(json!({ "": { "\0": "/" } })),
    ]
}

fn pointers(json: &Json, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match json {
        Json::Object(entries) => {
            for (key, value) in entries {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers(value, &format!("{at}/{key}"), found);
            }
        }
        Json::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers(value, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Parses a text; its problems lie inside it, and what is accepted resolves everywhere.
fn check_places(text: &str) {
    match Manifest::parse("freehold.toml", text) {
        Ok(manifest) => {
            for name in manifest.environments() {
                manifest.resolve(&name).unwrap();
            }
            resolve(&manifest, "elsewhere");
            let _ = manifest.unsupported();
        }
        Err(errors) => {
            assert!(!errors.problems.is_empty());
            for problem in errors.problems.iter().filter(|problem| problem.span.is_some()) {
                assert!(text.get(problem.span.clone().unwrap()).is_some(), "{problem:?}");
                assert!(errors.position(problem).is_some(), "{problem:?}");
            }
            assert!(!errors.to_string().is_empty());
        }
    }
}
