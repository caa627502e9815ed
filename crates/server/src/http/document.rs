//! The API's document (OpenAPI 3.1): made from the table and the types of its handlers. Its schemas
//! are JSON Schema 2020-12, which OpenAPI 3.1 takes as they are.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::endpoint::Endpoint;
use super::roles::{Allowed, role_name};
use super::table;

/// Where schemas stand in the document.
const SCHEMAS: &str = "/components/schemas";

static DOCUMENT: LazyLock<Value> = LazyLock::new(build);

/// The document as JSON, in a stable order.
#[must_use]
pub fn openapi() -> String {
    let mut text = serde_json::to_string_pretty(value()).unwrap_or_default();
    text.push('\n');
    text
}

/// The document.
pub(super) fn value() -> &'static Value {
    &DOCUMENT
}

fn build() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let error = generator.subschema_for::<api::error::ApiError>();
    let mut paths = Map::new();
    for endpoint in table::endpoints() {
        let path = endpoint.path.replace("{*", "{");
        let operations = paths.entry(path).or_insert_with(|| json!({}));
        let method = endpoint.method.as_str().to_ascii_lowercase();
        operations[method] = operation(&endpoint, &mut generator);
    }
    let mut schemas = generator.take_definitions(true);
    schemas.sort_keys();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Freehold",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The API of a Freehold cluster. Every answer carries Freehold-Revision, \
                the revision it shows; a request that sends one waits up to a second for it, so \
                that whoever sends the highest it has seen reads its own writes. Every error is an \
                ApiError.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                "Error": {
                    "description": "It was not done; why, and what to do about it.",
                    "content": { "application/json": { "schema": error } },
                },
            },
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "bearerFormat": "fh_ID_SECRET" },
            },
        },
        "security": [{ "token": [] }],
    })
}

fn operation(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let documented = &endpoint.documented;
    let mut operation = Map::new();
    operation.insert("operationId".into(), endpoint.name.into());
    operation.insert("summary".into(), endpoint.summary.into());
    operation.insert("tags".into(), json!([tag(endpoint.path)]));
    if endpoint.allowed == Allowed::Open {
        operation.insert("security".into(), json!([]));
    } else {
        let roles = endpoint.allowed.roles().iter().map(|role| role_name(*role));
        operation.insert("x-roles".into(), roles.collect());
    }
    let mut parameters = in_path(endpoint.path);
    for field in (documented.fields)(generator) {
        parameters.push(json!({
            "name": field.name,
            "in": "query",
            "required": field.required,
            "description": field.description,
            "schema": without_null(field.schema),
        }));
    }
    if !parameters.is_empty() {
        operation.insert("parameters".into(), parameters.into());
    }
    if let Some(schema) = (documented.body)(generator) {
        let content = json!({ "application/json": { "schema": schema } });
        operation.insert("requestBody".into(), json!({ "required": true, "content": content }));
    }
    let answer = (documented.answer)(generator);
    operation.insert("responses".into(), responses(endpoint, answer));
    Value::Object(operation)
}

fn responses(endpoint: &Endpoint, schema: Option<Schema>) -> Value {
    let documented = &endpoint.documented;
    let mut answer = Map::new();
    answer.insert("description".into(), documented.what.into());
    let revision = json!({
        "description": "The revision that the answer shows.",
        "schema": { "type": "integer", "format": "uint64", "minimum": 0 },
    });
    answer.insert("headers".into(), json!({ "Freehold-Revision": revision }));
    if !documented.media_type.is_empty() {
        let content = schema.map_or_else(|| json!({}), |schema| json!({ "schema": schema }));
        answer.insert("content".into(), json!({ documented.media_type: content }));
    }
    json!({
        documented.status.to_string(): answer,
        "default": { "$ref": "#/components/responses/Error" },
    })
}

/// The noun that a path is about.
fn tag(path: &str) -> &str {
    let noun = path.trim_start_matches("/v1").trim_start_matches('/').split('/').next();
    match noun {
        None | Some("" | "healthz" | "version" | "openapi.json" | "backup" | "watch") => "cluster",
        Some("deploy") => "apps",
        Some("whoami") => "tokens",
        Some(noun) => noun,
    }
}

/// The parameters in a path, with what their names mean wherever they stand.
fn in_path(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(name.strip_prefix('*').unwrap_or(name))
    });
    let parameter = |name: &str| {
        let description = match name {
            "app" => "The app's name.",
            "certificate" => "The certificate's name.",
            "environment" => "The environment's name.",
            "address" => "A virtual address.",
            "host" => "The host's name.",
            "id" => "The token's id, the part between its underscores.",
            "number" => "The release's number inside its app.",
            "registry" => "The registry's `host[:port]`.",
            "repository" => "The repository; may hold slashes.",
            "secret" => "The secret's name.",
            "team" => "The team's name.",
            _ => "",
        };
        let schema = match name {
            "number" => json!({ "type": "integer", "format": "uint32", "minimum": 1 }),
            _ => json!({ "type": "string" }),
        };
        json!({
            "name": name, "in": "path", "required": true,
            "description": description, "schema": schema,
        })
    };
    names.map(parameter).collect()
}

/// A field of a query is there or not; it is never null.
fn without_null(mut schema: Value) -> Value {
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if choices.len() == 1 {
            return choices.remove(0);
        }
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if types.len() == 1 {
            schema["type"] = types.remove(0);
        }
    }
    schema
}
