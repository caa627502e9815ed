//! Documents keep what they do not know, at any depth.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::document::{Document, DocumentError, Schema};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct App {
    name: String,
    scale: Scale,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    routes: Vec<Route>,
    labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Scale {
    instances: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Route {
    name: String,
    port: u16,
}

const APP: Schema = Schema::new("app", 3);

fn app() -> impl Strategy<Value = App> {
    let routes = prop::collection::btree_map("[a-c]", 1u16..9, 0..3);
    let labels = prop::collection::btree_map("[a-c]", "[xy]", 0..3);
    ("[a-z]{1,3}", 0u32..9, prop::option::of("[n-p]"), routes, labels).prop_map(
        |(name, instances, note, routes, labels)| App {
            name,
            scale: Scale { instances },
            note,
            routes: routes.into_iter().map(|(name, port)| Route { name, port }).collect(),
            labels,
        },
    )
}

fn extra() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i32>().prop_map(Value::from),
        "[a-z]{0,3}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,2}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Adds a field nobody knows to every object that has fixed fields.
fn strew(body: &mut Value, extra: &Value) {
    let objects = [Some("/scale"), Some("")].into_iter().flatten().map(str::to_owned);
    let routes = body["routes"].as_array().map_or(0, Vec::len);
    let all: Vec<String> = objects.chain((0..routes).map(|n| format!("/routes/{n}"))).collect();
    for path in all {
        let object = body.pointer_mut(&path).and_then(Value::as_object_mut).unwrap();
        object.insert("x_later".to_owned(), extra.clone());
    }
}

fn stored(schema: u32, body: &Value, beside: &Value) -> Bytes {
    serde_json::to_vec(&json!({"schema": schema, "body": body, "x_beside": beside})).unwrap().into()
}

proptest! {
    #[test]
    fn unknown_fields_survive_any_change(before in app(), after in app(), extra in extra()) {
        let mut body = serde_json::to_value(&before).unwrap();
        strew(&mut body, &extra);
        let bytes = stored(3, &body, &extra);
        let mut document: Document<App> = Document::decode(&APP, &bytes).unwrap();
        prop_assert_eq!(&document.body, &before);
        document.body = after.clone();
        let written = document.encode(&APP).unwrap();

        let read: Document<App> = Document::decode(&APP, &written).unwrap();
        prop_assert_eq!(&read.body, &after, "what the type knows is as it was set");
        let mut wanted = serde_json::to_value(&after).unwrap();
        strew(&mut wanted, &extra);
        for route in wanted["routes"].as_array_mut().unwrap() {
            if !before.routes.iter().any(|old| route["name"] == old.name) {
                route.as_object_mut().unwrap().remove("x_later");
            }
        }
        let whole: Value = serde_json::from_slice(&written).unwrap();
        prop_assert_eq!(&whole, &json!({"schema": 3, "body": wanted, "x_beside": extra}));
    }

    #[test]
    fn an_unchanged_document_is_written_as_it_was(before in app(), extra in extra()) {
        let mut body = serde_json::to_value(&before).unwrap();
        strew(&mut body, &extra);
        let bytes = stored(3, &body, &extra);
        let document: Document<App> = Document::decode(&APP, &bytes).unwrap();
        prop_assert_eq!(document.encode(&APP).unwrap(), bytes);
    }
}

fn tiny() -> App {
    let (routes, labels) = (Vec::new(), BTreeMap::new());
    App { name: "a".into(), scale: Scale { instances: 1 }, note: None, routes, labels }
}

#[test]
fn what_the_type_dropped_is_gone() {
    let mut body = serde_json::to_value(tiny()).unwrap();
    body["note"] = "old".into();
    body["labels"] = json!({"k": "v", "l": "w"});
    let mut document: Document<App> =
        Document::decode(&APP, &stored(3, &body, &Value::Null)).unwrap();
    document.body.note = None;
    document.body.labels.remove("k");
    let written: Value = serde_json::from_slice(&document.encode(&APP).unwrap()).unwrap();
    assert_eq!(written["body"].get("note"), None);
    assert_eq!(written["body"]["labels"], json!({"l": "w"}));
}

#[test]
fn newer_schemas_are_read_and_written_only_where_that_is_safe() {
    let body = serde_json::to_value(tiny()).unwrap();
    let newer: Document<App> = Document::decode(&APP, &stored(4, &body, &json!(1))).unwrap();
    assert!(!newer.writable(&APP));
    let error = newer.encode(&APP).unwrap_err();
    assert!(matches!(error, DocumentError::NewerSchema { found: 4, known: 3, .. }), "{error}");
    let keeping = APP.keeping_newer();
    let written: Value = serde_json::from_slice(&newer.encode(&keeping).unwrap()).unwrap();
    assert_eq!((&written["schema"], &written["x_beside"]), (&json!(4), &json!(1)));
}

#[test]
fn older_schemas_are_upgraded() {
    let upgrading = APP.upgrading(|from, body| {
        assert_eq!(from, 2);
        let count = body.as_object_mut().and_then(|body| body.remove("instances"));
        body["scale"] = json!({"instances": count});
    });
    let mut body = serde_json::to_value(tiny()).unwrap();
    body.as_object_mut().unwrap().remove("scale");
    body["instances"] = 5.into();
    body["x_later"] = 6.into();
    let document: Document<App> =
        Document::decode(&upgrading, &stored(2, &body, &Value::Null)).unwrap();
    assert_eq!((document.schema, document.body.scale.instances), (2, 5));
    let written: Value = serde_json::from_slice(&document.encode(&upgrading).unwrap()).unwrap();
    assert_eq!(written["schema"], 3);
    assert_eq!(written["body"].get("instances"), None);
    assert_eq!(written["body"]["x_later"], 6);
}

#[test]
fn what_is_no_document_is_refused() {
    for text in ["", "{", "[]", r#"{"schema": "x"}"#, r#"{"schema": 3}"#] {
        let error = Document::<App>::decode(&APP, &Bytes::from(text)).unwrap_err();
        assert!(matches!(error, DocumentError::Decode { .. }), "{text}: {error}");
    }
    for text in ["{}", r#"{"schema": 0, "body": {}}"#] {
        let error = Document::<App>::decode(&APP, &Bytes::from(text)).unwrap_err();
        assert!(matches!(error, DocumentError::NoSchema { .. }), "{text}: {error}");
    }
    assert!(
        Document::<Map<String, Value>>::decode(&APP, &Bytes::from(r#"{"schema": 1, "body": {}}"#))
            .is_ok()
    );
}
