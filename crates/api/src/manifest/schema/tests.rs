//! The schema and the parser know the same keys and the same numbers.

use std::collections::BTreeSet;

use super::super::{
    File, Health, Job, Manifest, Metrics, Process, Resources, Rollout, Routes, Scale, Spec, Spread,
    Uses,
};
use super::*;

fn keys(schema: &Json) -> BTreeSet<&str> {
    schema["properties"].as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_schema_has_exactly_the_keys_that_the_parser_knows() {
    let schema = schema();
    let tables = [
        ("Process", Process::KEYS),
        ("Resources", Resources::KEYS),
        ("Scale", Scale::KEYS),
        ("Health", Health::KEYS),
        ("Routes", Routes::KEYS),
        ("Rollout", Rollout::KEYS),
        ("Spread", Spread::KEYS),
        ("Uses", Uses::KEYS),
        ("Metrics", Metrics::KEYS),
        ("Job", Job::KEYS),
        ("File", File::KEYS),
    ];
    for (name, known) in tables {
        assert_eq!(keys(&schema["$defs"][name]), known.iter().copied().collect(), "{name}");
    }
    let mut top: BTreeSet<_> = Spec::KEYS.iter().copied().collect();
    for key in ["app", "team", "image"] {
        assert!(top.remove(key));
    }
    assert_eq!(keys(&schema["$defs"]["Override"]), top);
    top.extend(["app", "team", "image", "on"]);
    assert_eq!(keys(&schema), top);

    let definitions = schema["$defs"].as_object().unwrap();
    let with_keys: Vec<_> =
        definitions.iter().filter(|(_, schema)| schema.get("properties").is_some()).collect();
    assert_eq!(with_keys.len(), tables.len() + 1, "a table is not compared");
    for (name, table) in with_keys {
        assert_eq!(table["additionalProperties"], json!(false), "{name}");
    }
    assert_eq!(schema["additionalProperties"], json!(false));
    assert_eq!(schema["required"], json!(["app", "team"]));
}

/// Whether the parser takes a value for a key, or tells its range.
fn in_range(table: &str, key: &str, value: &Json) -> bool {
    let mut document = json!({ "app": "a", "team": "t" });
    document[table][key] = value.clone();
    let problems = Manifest::from_json(&document).err().unwrap_or_default();
    !problems.iter().any(|problem| problem.message.contains("out of range"))
}

#[test]
fn ranges_of_numbers_are_those_of_the_parser() {
    let schema = schema();
    let mut compared = 0;
    for (table, property) in schema["properties"].as_object().unwrap() {
        let reference = property["$ref"].as_str().or(property["anyOf"][0]["$ref"].as_str());
        let Some(name) = reference.and_then(|r| r.strip_prefix("#/$defs/")) else { continue };
        let Some(fields) = schema["$defs"][name]["properties"].as_object() else { continue };
        for (key, field) in fields {
            let list = field["items"]["minimum"].is_i64();
            let range = if list { &field["items"] } else { field };
            let (Some(low), Some(high)) = (range["minimum"].as_i64(), range["maximum"].as_i64())
            else {
                continue;
            };
            let value = |n: i64| if list { json!([n]) } else { json!(n) };
            for (n, fits) in [(low, true), (high, true), (low - 1, false), (high + 1, false)] {
                assert_eq!(in_range(table, key, &value(n)), fits, "{table}.{key} = {n}");
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 11, "every integer in a table has a range");
}

#[test]
fn defaults_in_the_schema_are_those_of_the_parser() {
    let schema = schema();
    let empty = Manifest::from_json(&json!({ "app": "a", "team": "t" })).unwrap();
    let spec = empty.resolve(&"staging".parse().unwrap()).unwrap();
    let spec = serde_json::to_value(&spec).unwrap();
    for (name, table) in [("Process", "process"), ("Resources", "resources"), ("Routes", "routes")]
    {
        for (key, field) in schema["$defs"][name]["properties"].as_object().unwrap() {
            if let Some(default) = field.get("default").filter(|default| !default.is_null()) {
                assert_eq!(*default, spec[table][key], "{name}.{key}");
            }
        }
    }
    assert_eq!(schema["$defs"]["Process"]["properties"]["stop_grace"]["default"], "10s");
}
