//! From the tree to typed tables. A value that is wrong is noted and its default taken, so that one
//! pass finds everything; the `table!` macro is the one list of a table's keys, defaults and ranges.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;

use crate::id::{AppName, InvalidName, SecretName, TeamName, near_names};
use crate::unit::{Bytes, InvalidUnit, MilliCpu, Millis};

use super::problem::{MAX_PROBLEMS, Problem};
use super::tree::{Entry, Node, Step, Table, Value, path_text};

/// The longest piece of a given text that an error repeats, in characters.
const SHOWN: usize = 80;

/// A text from the input, quoted and shortened for an error.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// Where the decoder stands, and what it found so far.
#[derive(Debug, Default)]
pub(super) struct Context {
    at: Vec<Step>,
    problems: Vec<Problem>,
    paths: HashSet<String>,
}

impl Context {
    /// Notes a problem of the value the decoder stands at.
    pub(super) fn fail(&mut self, node: &Node, message: impl Into<String>, hint: Option<String>) {
        let span = node.span.clone();
        self.note(&self.at.clone(), node.origin.as_deref(), span, message.into(), hint);
    }

    /// Notes a problem of the value at `at`, which the override of `origin` brought.
    pub(super) fn note(
        &mut self,
        at: &[Step],
        origin: Option<&str>,
        span: Option<Range<usize>>,
        message: String,
        hint: Option<String>,
    ) {
        self.paths.insert(path_text(at));
        if self.problems.len() >= MAX_PROBLEMS {
            return;
        }
        let path = match origin {
            None => path_text(at),
            Some(environment) => {
                let on = [Step::Key("on".into()), Step::Key(environment.into())];
                path_text(&[&on[..], at].concat())
            }
        };
        self.problems.push(Problem { path, message, hint, span });
    }

    /// Whether the value at this path was found wrong already.
    pub(super) fn is_wrong(&self, at: &[Step]) -> bool {
        self.paths.contains(&path_text(at))
    }

    /// What was found.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Decodes what stands one step further.
    pub(super) fn inside<T>(&mut self, step: Step, decode: impl FnOnce(&mut Self) -> T) -> T {
        self.at.push(step);
        let value = decode(self);
        self.at.pop();
        value
    }

    /// The entries of a table whose keys are all in `known`; others are noted.
    pub(super) fn table<'n>(&mut self, node: &'n Node, known: &[&str]) -> Option<&'n Table> {
        let Some(table) = node.table() else {
            self.fail(node, format!("expected a table, found {}", node.kind()), None);
            return None;
        };
        for (key, entry) in table.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
            self.unknown(key, entry, known);
        }
        Some(table)
    }

    fn unknown(&mut self, key: &str, entry: &Entry, known: &[&str]) {
        let short: String = key.chars().take(SHOWN).collect();
        let near = near_names(&short, known.iter().copied());
        let hint = match near.as_slice() {
            [] => format!("known here: {}", known.join(", ")),
            near => format!("did you mean {}?", near.join(" or ")),
        };
        let mut at = self.at.clone();
        at.push(Step::Key(key.to_owned()));
        let origin = entry.node.origin.as_deref();
        let message = format!("unknown key {}", quoted(key));
        self.note(&at, origin, entry.key_span.clone(), message, Some(hint));
    }

    /// The value of a key; none when it is missing, null or wrong, which is noted.
    pub(super) fn field<T>(
        &mut self,
        table: &Table,
        key: &str,
        decode: impl FnOnce(&Node, &mut Self) -> Option<T>,
    ) -> Option<T> {
        let node = &table.get(key)?.node;
        if matches!(node.value, Value::Null) {
            return None;
        }
        self.inside(Step::Key(key.to_owned()), |cx| decode(node, cx))
    }
}

/// A value that can be read from the tree.
pub(super) trait Decode: Sized {
    /// Reads it; none when it is wrong, which is noted.
    fn decode(node: &Node, cx: &mut Context) -> Option<Self>;
}

/// A value with a lowest and a highest.
pub(super) trait Ranged: Sized {
    /// What the range is given in.
    type Bound;
    /// Reads it; none when it is wrong or outside of the range, which is noted.
    fn decode_in(
        node: &Node,
        cx: &mut Context,
        low: Self::Bound,
        high: Self::Bound,
    ) -> Option<Self>;
}

fn outside(node: &Node, cx: &mut Context, given: &str, low: impl Display, high: impl Display) {
    cx.fail(node, format!("{given} is out of range: allowed is {low} to {high}"), None);
}

macro_rules! integers {
    ($($int:ty),*) => { $(
        impl Ranged for $int {
            type Bound = $int;
            fn decode_in(node: &Node, cx: &mut Context, low: $int, high: $int) -> Option<$int> {
                let number = match &node.value {
                    Value::Integer(number) => *number,
                    Value::Text(text) => {
                        let hint = text.parse::<$int>().ok().map(|n| format!("write {n}, without quotes"));
                        cx.fail(node, "expected a whole number, found text", hint);
                        return None;
                    }
                    _ => {
                        let found = node.kind();
                        cx.fail(node, format!("expected a whole number, found {found}"), None);
                        return None;
                    }
                };
                let fits = <$int>::try_from(number).ok().filter(|n| (low..=high).contains(n));
                if fits.is_none() {
                    outside(node, cx, &number.to_string(), low, high);
                }
                fits
            }
        }
    )* };
}
integers!(u16, u32);

macro_rules! units {
    ($($unit:ty, $example:literal, $plain:literal;)*) => { $(
        impl Decode for $unit {
            fn decode(node: &Node, cx: &mut Context) -> Option<$unit> {
                unit(node, cx, $example, $plain)
            }
        }
        impl Ranged for $unit {
            type Bound = $unit;
            fn decode_in(node: &Node, cx: &mut Context, low: $unit, high: $unit) -> Option<$unit> {
                let value = <$unit>::decode(node, cx)?;
                if !(low..=high).contains(&value) {
                    outside(node, cx, &format!("\"{value}\""), low, high);
                    return None;
                }
                Some(value)
            }
        }
    )* };
}
units! {
    MilliCpu, "250m", "";
    Bytes, "128MiB", "B";
    Millis, "10s", "s";
}

/// Reads a quantity; `plain` is the unit a bare number most likely meant.
fn unit<T>(node: &Node, cx: &mut Context, example: &str, plain: &str) -> Option<T>
where
    T: FromStr<Err = InvalidUnit>,
{
    let text = match &node.value {
        Value::Text(text) => text,
        Value::Integer(number) => {
            let hint = Some(format!("write it with its unit, e.g. \"{number}{plain}\""));
            cx.fail(node, format!("expected text such as {example:?}, found a number"), hint);
            return None;
        }
        _ => {
            let found = node.kind();
            cx.fail(node, format!("expected text such as {example:?}, found {found}"), None);
            return None;
        }
    };
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            cx.fail(node, error.to_string(), None);
            None
        }
    }
}

/// Reads text; another kind of value is noted with what was expected.
pub(super) fn text<'n>(node: &'n Node, cx: &mut Context, expected: &str) -> Option<&'n str> {
    let hint = match &node.value {
        Value::Text(text) => return Some(text),
        Value::Integer(number) => Some(format!("write \"{number}\", with quotes")),
        Value::Bool(value) => Some(format!("write \"{value}\", with quotes")),
        _ => None,
    };
    cx.fail(node, format!("expected {expected}, found {}", node.kind()), hint);
    None
}

impl Decode for String {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        let text = text(node, cx, "text")?;
        if text.contains('\0') {
            cx.fail(node, "must not contain the character NUL", None);
            return None;
        }
        Some(text.to_owned())
    }
}

impl Decode for bool {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        if let Value::Bool(value) = node.value {
            return Some(value);
        }
        cx.fail(node, format!("expected true or false, found {}", node.kind()), None);
        None
    }
}

macro_rules! names {
    ($($name:ty),*) => { $(
        impl Decode for $name {
            fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
                let text = text(node, cx, "text")?;
                let checked: Result<Self, InvalidName> = text.parse();
                match checked {
                    Ok(name) => Some(name),
                    Err(error) => {
                        cx.fail(node, error.to_string(), None);
                        None
                    }
                }
            }
        }
    )* };
}
names!(AppName, TeamName, SecretName);

impl<T: Decode> Decode for Option<T> {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        T::decode(node, cx).map(Some)
    }
}

impl<T: Ranged> Ranged for Option<T> {
    type Bound = T::Bound;
    fn decode_in(node: &Node, cx: &mut Context, low: T::Bound, high: T::Bound) -> Option<Self> {
        T::decode_in(node, cx, low, high).map(Some)
    }
}

/// Reads a list item by item; wrong items are noted and left out.
fn list<T>(
    node: &Node,
    cx: &mut Context,
    mut item: impl FnMut(&Node, &mut Context) -> Option<T>,
) -> Option<Vec<T>> {
    let Value::List(items) = &node.value else {
        cx.fail(node, format!("expected a list, found {}", node.kind()), None);
        return None;
    };
    let items = items.iter().enumerate();
    Some(items.filter_map(|(i, node)| cx.inside(Step::Item(i), |cx| item(node, cx))).collect())
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        list(node, cx, T::decode)
    }
}

impl<T: Ranged<Bound: Copy>> Ranged for Vec<T> {
    type Bound = T::Bound;
    fn decode_in(node: &Node, cx: &mut Context, low: T::Bound, high: T::Bound) -> Option<Self> {
        list(node, cx, |node, cx| T::decode_in(node, cx, low, high))
    }
}

/// Reads a table whose keys are the developer's own; wrong values are noted and left out.
fn map<T>(
    node: &Node,
    cx: &mut Context,
    mut value: impl FnMut(&Node, &mut Context) -> Option<T>,
) -> Option<BTreeMap<String, T>> {
    let Some(table) = node.table() else {
        cx.fail(node, format!("expected a table, found {}", node.kind()), None);
        return None;
    };
    let mut map = BTreeMap::new();
    for key in table.keys() {
        if let Some(value) = cx.field(table, key, &mut value) {
            map.insert(key.clone(), value);
        }
    }
    Some(map)
}

impl<T: Decode> Decode for BTreeMap<String, T> {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        map(node, cx, T::decode)
    }
}

impl<T: Ranged<Bound: Copy>> Ranged for BTreeMap<String, T> {
    type Bound = T::Bound;
    fn decode_in(node: &Node, cx: &mut Context, low: T::Bound, high: T::Bound) -> Option<Self> {
        map(node, cx, |node, cx| T::decode_in(node, cx, low, high))
    }
}

/// Defines a table of the manifest: its fields are its keys, each with its default and, after `in`
/// (numbers) or `within` (quantities), its lowest and highest value.
macro_rules! table {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $(
                $(#[$field_meta:meta])*
                pub $field:ident: $ty:ty = $default:expr
                    $(, in $low:literal, $high:literal)? $(, within $least:expr, $most:expr)?;
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        #[serde(default)]
        pub struct $name {
            $(
                $(#[$field_meta])*
                $(#[schemars(range(min = $low, max = $high))])?
                pub $field: $ty,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $name {
            /// The table's keys.
            pub(super) const KEYS: &[&str] = &[$(stringify!($field)),*];
        }

        impl $crate::manifest::decode::Decode for $name {
            fn decode(
                node: &$crate::manifest::tree::Node,
                cx: &mut $crate::manifest::decode::Context,
            ) -> Option<Self> {
                let table = cx.table(node, Self::KEYS)?;
                Some(Self {
                    $(
                        $field: cx
                            .field(
                                table,
                                stringify!($field),
                                $crate::manifest::decode::reader!(
                                    $ty $(, $low, $high)? $(, $least, $most)?
                                ),
                            )
                            .unwrap_or_else(|| $default),
                    )*
                })
            }
        }
    };
}
pub(super) use table;

/// How a field of a `table!` is read: with its range if it has one.
macro_rules! reader {
    ($ty:ty) => {
        <$ty as $crate::manifest::decode::Decode>::decode
    };
    ($ty:ty, $low:expr, $high:expr) => {
        |node, cx| <$ty as $crate::manifest::decode::Ranged>::decode_in(node, cx, $low, $high)
    };
}
pub(super) use reader;
