//! What a request brings: its body and its query, each with the schema that documents it.

use std::marker::PhantomData;

use api::error::{ApiError, ErrorCode};
use http::Uri;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A request's body.
pub(super) trait Takes: Sized + Send + 'static {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong, and where.
    fn read(bytes: &[u8]) -> Result<Self, String>;

    /// Its schema; none when there is no body.
    fn schema(generator: &mut SchemaGenerator) -> Option<Schema>;
}

impl Takes for () {
    fn read(_: &[u8]) -> Result<Self, String> {
        Ok(())
    }

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
}

/// A JSON body of type `T`; `S` is documented where `T` itself has no schema.
pub(super) struct Json<T, S = T> {
    /// What was sent.
    pub(super) value: T,
    documented_as: PhantomData<fn() -> S>,
}

impl<T, S> Takes for Json<T, S>
where
    T: DeserializeOwned + Send + 'static,
    S: JsonSchema + 'static,
{
    fn read(bytes: &[u8]) -> Result<Self, String> {
        // A body that may say nothing may also be left out.
        let bytes = if bytes.is_empty() { b"{}" } else { bytes };
        let value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        Ok(Self { value, documented_as: PhantomData })
    }

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<S>())
    }
}

/// A request's query.
pub(super) trait Asks: Sized + Send + 'static {
    /// Reads it; all its fields are among the documented ones already.
    ///
    /// # Errors
    /// What is wrong with it.
    fn read(uri: &Uri) -> Result<Self, String>;

    /// The schema of an object whose properties are its fields.
    fn schema(generator: &mut SchemaGenerator) -> Option<Schema>;
}

impl Asks for () {
    fn read(_: &Uri) -> Result<Self, String> {
        Ok(())
    }

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
}

/// A query with the fields of `T`.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned + JsonSchema + Send + 'static> Asks for Query<T> {
    fn read(uri: &Uri) -> Result<Self, String> {
        match axum::extract::Query::<T>::try_from_uri(uri) {
            Ok(query) => Ok(Self(query.0)),
            Err(rejection) => Err(rejection.body_text()),
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(T::json_schema(generator))
    }
}

/// A field of a query.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    /// Its name.
    pub(super) name: String,
    /// What it means.
    pub(super) description: String,
    /// Whether it must be there.
    pub(super) required: bool,
    /// Its schema.
    pub(super) schema: Value,
}

/// The fields of a query.
pub(super) fn fields<Q: Asks>(generator: &mut SchemaGenerator) -> Vec<Field> {
    let Some(schema) = Q::schema(generator) else { return Vec::new() };
    let schema = Value::from(schema);
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Vec::new();
    };
    let fields = properties.iter().map(|(name, schema)| {
        let mut schema = schema.clone();
        let object = schema.as_object_mut();
        let description = object.and_then(|object| object.shift_remove("description"));
        Field {
            name: name.clone(),
            description: description
                .and_then(|text| text.as_str().map(str::to_owned))
                .unwrap_or_default(),
            required: required.iter().any(|required| required == name.as_str()),
            schema,
        }
    });
    fields.collect()
}

/// Refuses a query with fields that are not known: a mistyped filter would give everything.
///
/// # Errors
/// [`ErrorCode::Invalid`].
pub(super) fn only_known(uri: &Uri, known: &[Field]) -> Result<(), ApiError> {
    let names = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    for pair in names {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        if known.iter().any(|field| field.name == name) {
            continue;
        }
        let name: String = name.chars().take(80).collect();
        let error =
            ApiError::new(ErrorCode::Invalid, format!("{name:?} is not a field of the query"));
        let known: Vec<&str> = known.iter().map(|field| field.name.as_str()).collect();
        return Err(if known.is_empty() {
            error.hint("this path takes no query")
        } else {
            error.hint(format!("there are: {}", known.join(", ")))
        });
    }
    Ok(())
}
