//! The three forms of an answer.

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;

/// How answers are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// The API's own field names; a list is an array
    Json,
    /// The same as YAML
    Yaml,
}

/// An answer as text; `table` is only asked when it is for people.
pub(crate) fn render<T: Serialize>(
    format: Format,
    answer: &T,
    table: impl FnOnce() -> String,
) -> Result<String, Failure> {
    let failed = |error: String| Failure::new(crate::exit::Exit::Internal, error);
    match format {
        Format::Table => Ok(table()),
        Format::Json => {
            let mut text =
                serde_json::to_string_pretty(answer).map_err(|error| failed(error.to_string()))?;
            text.push('\n');
            Ok(text)
        }
        Format::Yaml => {
            // By way of JSON, so that both have the very same fields in the same order.
            let value = serde_json::to_value(answer).map_err(|error| failed(error.to_string()))?;
            serde_saphyr::to_string(&value).map_err(|error| failed(error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_arrays_and_yaml_says_the_same() {
        let list = vec![serde_json::json!({"app": "shop", "environment": "staging", "pid": null})];
        let json = render(Format::Json, &list, String::new).unwrap();
        let back: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(back[0]["app"], "shop");
        let yaml = render(Format::Yaml, &list, String::new).unwrap();
        let again: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(again, back);
        let none: Vec<u8> = Vec::new();
        assert_eq!(render(Format::Json, &none, String::new).unwrap(), "[]\n");
    }
}
