//! A manifest as a tree of values that know where they were written. TOML and JSON both come to
//! this form, so that one set of rules judges both; it knows no key by name.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use indexmap::IndexMap;
use indexmap::map::Entry as MapEntry;
use serde_json::{Map, Value as Json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;

/// How deep tables and arrays may be nested. The deepest key that exists is
/// `on.ENVIRONMENT.files."/path".content`, 5 levels.
const MAX_DEPTH: usize = 16;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    /// Where the value stands in the source, if there is one.
    pub(super) span: Option<Range<usize>>,
    /// The environment whose override brought it; none for the base.
    pub(super) origin: Option<Arc<str>>,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// JSON's null: as if the key were not there.
    Null,
    Text(String),
    Integer(i128),
    /// A number with a fraction, an infinite or a too large one, as written.
    Float(String),
    Bool(bool),
    /// A TOML date or time, as written.
    Date(String),
    List(Vec<Node>),
    Table(Table),
}

/// The entries of a table in the order of the text.
pub(super) type Table = IndexMap<String, Entry>;

/// A key's value, and where the key stands.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key_span: Option<Range<usize>>,
    pub(super) node: Node,
}

impl Node {
    fn new(value: Value, span: Option<Range<usize>>) -> Self {
        Self { value, span, origin: None }
    }

    /// The value's kind in the words of an error.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Text(_) => "text",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number with a fraction",
            Value::Bool(_) => "true or false",
            Value::Date(_) => "a date or time",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// The value's entries, if it is a table.
    pub(super) fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The value as JSON. Dates become text, fractions too: neither is valid anywhere.
    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Text(text) | Value::Float(text) | Value::Date(text) => text.as_str().into(),
            Value::Integer(number) => match i64::try_from(*number) {
                Ok(number) => number.into(),
                Err(_) => number.to_string().into(),
            },
            Value::Bool(value) => (*value).into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Table(table) => {
                let entries = table.iter().map(|(key, entry)| (key.clone(), entry.node.to_json()));
                Json::Object(entries.collect::<Map<_, _>>())
            }
        }
    }
}

/// Reads TOML text.
///
/// # Errors
/// Every fault of syntax, with its span; nesting deeper than [`MAX_DEPTH`].
pub(super) fn from_toml(source: &str) -> Result<Node, Vec<Problem>> {
    let (root, errors) = DeTable::parse_recoverable(source);
    let span = root.span();
    let root = Spanned::new(span, DeValue::Table(root.into_inner()));
    if !errors.is_empty() {
        dismantle(root);
        let problems = errors.into_iter().map(|error| Problem {
            path: String::new(),
            message: error.message().lines().collect::<Vec<_>>().join(", "),
            hint: None,
            span: error.span(),
        });
        return Err(problems.collect());
    }
    match toml_node(root, 0) {
        Ok(node) => Ok(node),
        Err(span) => Err(vec![too_deep(Some(span))]),
    }
}

fn too_deep(span: Option<Range<usize>>) -> Problem {
    Problem {
        path: String::new(),
        message: format!("is nested more than {MAX_DEPTH} levels deep"),
        hint: None,
        span,
    }
}

/// Takes a TOML value over; its span when it is nested too deep.
fn toml_node(value: Spanned<DeValue<'_>>, depth: usize) -> Result<Node, Range<usize>> {
    let span = value.span();
    if depth > MAX_DEPTH {
        dismantle(value);
        return Err(span);
    }
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Float(number.to_string()),
        },
        DeValue::Float(number) => Value::Float(number.to_string()),
        DeValue::Boolean(value) => Value::Bool(value),
        DeValue::Datetime(value) => Value::Date(value.to_string()),
        DeValue::Array(items) => {
            let items = items.into_iter().map(|item| toml_node(item, depth + 1));
            Value::List(collect_all(items)?)
        }
        DeValue::Table(entries) => {
            let entries = entries.into_iter().map(|(key, value)| -> Result<_, Range<usize>> {
                let key_span = Some(key.span());
                let node = toml_node(value, depth + 1)?;
                Ok((key.into_inner().into_owned(), Entry { key_span, node }))
            });
            Value::Table(collect_all(entries)?.into_iter().collect())
        }
    };
    Ok(Node::new(value, Some(span)))
}

/// Collects to the end even after an error, so that every value is taken apart by [`toml_node`] and
/// none is dropped at its full depth.
fn collect_all<T, E>(items: impl Iterator<Item = Result<T, E>>) -> Result<Vec<T>, E> {
    let mut taken = Vec::new();
    let mut failed = None;
    for item in items {
        match item {
            Ok(item) => taken.push(item),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(taken), Err)
}

/// Drops a value of any depth without recursion. Dotted keys inside inline tables nest 80 × 80
/// levels before the parser stops; dropping those must not depend on how much stack is left.
fn dismantle(value: Spanned<DeValue<'_>>) {
    let mut rest = vec![value];
    while let Some(value) = rest.pop() {
        match value.into_inner() {
            DeValue::Array(items) => rest.extend(items),
            DeValue::Table(entries) => rest.extend(entries.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
}

/// Takes a JSON value over.
///
/// # Errors
/// When it is nested deeper than [`MAX_DEPTH`].
pub(super) fn from_json(json: &Json) -> Result<Node, Vec<Problem>> {
    json_node(json, 0).ok_or_else(|| vec![too_deep(None)])
}

fn json_node(json: &Json, depth: usize) -> Option<Node> {
    if depth > MAX_DEPTH {
        return None;
    }
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i128() {
            Some(number) => Value::Integer(number),
            None => Value::Float(number.to_string()),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => {
            let items = items.iter().map(|item| json_node(item, depth + 1));
            Value::List(items.collect::<Option<_>>()?)
        }
        Json::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                let node = json_node(value, depth + 1)?;
                Some((key.clone(), Entry { key_span: None, node }))
            });
            Value::Table(entries.collect::<Option<_>>()?)
        }
    };
    Some(Node::new(value, None))
}

/// Lays `over` on `base`: tables are merged key by key, everything else is replaced.
pub(super) fn merge(base: &mut Table, over: Table) {
    for (key, over) in over {
        match base.entry(key) {
            MapEntry::Vacant(place) => {
                place.insert(over);
            }
            MapEntry::Occupied(mut place) => match (&mut place.get_mut().node.value, over) {
                (
                    Value::Table(base),
                    Entry { node: Node { value: Value::Table(over), .. }, .. },
                ) => {
                    merge(base, over);
                }
                (_, over) => {
                    place.insert(over);
                }
            },
        }
    }
}

/// Marks a value and all in it as brought by the override of `environment`.
pub(super) fn mark(node: &mut Node, environment: &Arc<str>) {
    node.origin = Some(environment.clone());
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| mark(item, environment)),
        Value::Table(table) => {
            table.values_mut().for_each(|entry| mark(&mut entry.node, environment));
        }
        _ => {}
    }
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Item(usize),
}

/// A path as text: `process.writable[1]`; keys that are not bare in TOML are quoted.
pub(super) fn path_text(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Item(index) => text.push_str(&format!("[{index}]")),
            Step::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                if !key.is_empty() && key.chars().all(bare) {
                    text.push_str(key);
                } else {
                    let shown: String = key.chars().take(120).collect();
                    text.push_str(&format!("{shown:?}"));
                }
            }
        }
    }
    text
}

/// The places of all paths in a TOML text: of a value, or of the key when it is a table. Empty when
/// the text is not TOML.
pub(super) fn places(source: &str) -> HashMap<String, Range<usize>> {
    let mut places = HashMap::new();
    if let Ok(root) = from_toml(source) {
        collect_places(&root, &mut Vec::new(), &mut places);
    }
    places
}

fn collect_places(node: &Node, at: &mut Vec<Step>, places: &mut HashMap<String, Range<usize>>) {
    match &node.value {
        Value::Table(table) => {
            for (key, entry) in table {
                at.push(Step::Key(key.clone()));
                let is_table = entry.node.table().is_some();
                let span = if is_table { &entry.key_span } else { &entry.node.span };
                if let Some(span) = span {
                    places.insert(path_text(at), span.clone());
                }
                collect_places(&entry.node, at, places);
                at.pop();
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                at.push(Step::Item(index));
                if let Some(span) = &item.span {
                    places.insert(path_text(at), span.clone());
                }
                collect_places(item, at, places);
                at.pop();
            }
        }
        _ => {}
    }
}
