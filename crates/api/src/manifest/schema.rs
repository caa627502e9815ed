//! The JSON schema of a manifest file, generated from the tables themselves: for editors, and for
//! everyone who writes manifests by program.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Map, Value as Json, json};

use super::document::MAX_ENVIRONMENTS;
use super::spec::Spec;

/// The JSON schema (draft 2020-12) of a manifest, `on` included. It knows every key, type, default
/// and range of numbers; rules that join several values are [`Manifest::parse`]'s alone.
///
/// [`Manifest::parse`]: super::Manifest::parse
#[must_use]
pub fn schema() -> Json {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(deny_unknown));
    let mut root: Json = settings.into_generator().into_root_schema_for::<Spec>().into();
    root["title"] = "freehold.toml".into();
    root["description"] = "What Freehold is told about an app.".into();
    let properties = root["properties"].as_object().cloned().unwrap_or_default();
    root["$defs"]["Override"] = over(properties);
    root["properties"]["on"] = json!({
        "description": "Overrides by environment: tables are merged key by key, everything else \
            is replaced.",
        "type": "object",
        "patternProperties": {
            "^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$": { "$ref": "#/$defs/Override" },
        },
        "additionalProperties": false,
        "maxProperties": MAX_ENVIRONMENTS,
        "examples": [{ "staging": { "scale": { "instances": 1 } } }],
    });
    root
}

/// The schema of one environment's overrides: what is at the top, but for what must be the same
/// everywhere; nothing has a default there, what is not written is the base's.
fn over(mut properties: Map<String, Json>) -> Json {
    for key in ["app", "team", "image"] {
        properties.shift_remove(key);
    }
    for property in properties.values_mut().filter_map(Json::as_object_mut) {
        property.shift_remove("default");
    }
    json!({
        "description": "What is different in one environment.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

/// Closes objects with known properties against unknown ones.
fn deny_unknown(schema: &mut Schema) {
    if schema.get("properties").is_some() {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
}

#[cfg(test)]
mod tests;
