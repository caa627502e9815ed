//! How single values, lists and tables of the developer's own keys are read, and what is told when
//! they are of another kind or out of range.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use crate::id::{AppName, InvalidName, SecretName, TeamName};
use crate::unit::{Bytes, InvalidUnit, MilliCpu, Millis};

use super::decode::{Context, Decode, Ranged};
use super::tree::{Node, Step, Value};

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
                        let number = text.parse::<$int>().ok();
                        let hint = number.map(|n| format!("write {n}, without quotes"));
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
    Bytes, "128MiB", "MiB";
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
            let hint = Some(format!("write it as text, e.g. \"{number}{plain}\""));
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

/// The most items of a list and entries of a table of the developer's own keys: far above what an
/// app needs; comparing each with each stays below 1,024² / 2 ≈ 524,000 steps.
const MAX_ITEMS: usize = 1024;

/// Whether a list or table has more than [`MAX_ITEMS`], which is noted.
fn is_too_long(node: &Node, cx: &mut Context, length: usize) -> bool {
    if length > MAX_ITEMS {
        cx.fail(node, format!("has {length} items, at most {MAX_ITEMS} are allowed"), None);
    }
    length > MAX_ITEMS
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
    if is_too_long(node, cx, items.len()) {
        return None;
    }
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
    if is_too_long(node, cx, table.len()) {
        return None;
    }
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
