//! Laying a typed value over the JSON it was read from. Pure.
//!
//! Elements of lists are told apart in this order: by a name field all of them have (`id`, `name`,
//! `key`) when its values are distinct; else by being unchanged; else, if the list kept its length,
//! by place. An element nothing of the old list answers to is new.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Fields that tell the elements of a list apart.
const NAMES: [&str; 3] = ["id", "name", "key"];

/// `raw` is what was stored, `before` what the type made of it, `after` what the type says now.
/// Fields in `raw` that are not in `before` are unknown to the type and kept.
#[must_use]
pub fn merge(raw: Value, before: &Value, after: Value) -> Value {
    match (raw, before, after) {
        (Value::Object(raw), Value::Object(before), Value::Object(after)) => {
            Value::Object(merge_object(raw, before, after))
        }
        (Value::Array(raw), Value::Array(before), Value::Array(after))
            if raw.len() == before.len() =>
        {
            Value::Array(merge_list(raw, before, after))
        }
        (_, _, after) => after,
    }
}

fn merge_object(
    raw: Map<String, Value>,
    before: &Map<String, Value>,
    mut after: Map<String, Value>,
) -> Map<String, Value> {
    let mut merged = Map::new();
    for (name, raw) in raw {
        match (before.get(&name), after.shift_remove(&name)) {
            (Some(before), Some(after)) => merged.insert(name, merge(raw, before, after)),
            (None, Some(after)) => merged.insert(name, after),
            (None, None) => merged.insert(name, raw),
            (Some(_), None) => None,
        };
    }
    merged.extend(after);
    merged
}

fn merge_list(raw: Vec<Value>, before: &[Value], after: Vec<Value>) -> Vec<Value> {
    let places = pair(before, &after);
    let mut raw: Vec<Option<Value>> = raw.into_iter().map(Some).collect();
    let lay = |(after, place): (Value, Option<usize>)| match place {
        Some(place) => match raw[place].take() {
            Some(raw) => merge(raw, &before[place], after),
            None => after,
        },
        None => after,
    };
    after.into_iter().zip(places).map(lay).collect()
}

/// For each element of `after` the place in `before` of the one it was; no place twice.
fn pair(before: &[Value], after: &[Value]) -> Vec<Option<usize>> {
    if let Some(name) = NAMES.into_iter().find(|name| tells(name, before) && tells(name, after)) {
        let find = |element: &Value| before.iter().position(|old| old[name] == element[name]);
        return after.iter().map(find).collect();
    }
    let mut free: BTreeSet<usize> = (0..before.len()).collect();
    let mut places = vec![None; after.len()];
    // The same place first: of equal elements each keeps its own.
    for (index, element) in after.iter().enumerate() {
        if before.get(index) == Some(element) {
            free.remove(&index);
            places[index] = Some(index);
        }
    }
    for (index, element) in after.iter().enumerate() {
        if places[index].is_none()
            && let Some(place) = free.iter().copied().find(|place| before[*place] == *element)
        {
            free.remove(&place);
            places[index] = Some(place);
        }
    }
    if before.len() == after.len() {
        for (index, place) in places.iter_mut().enumerate() {
            if place.is_none() && free.remove(&index) {
                *place = Some(index);
            }
        }
    }
    places
}

/// Whether every element has this field, all with different plain values.
fn tells(name: &str, list: &[Value]) -> bool {
    let mut seen = BTreeSet::new();
    list.iter().all(|element| match element.get(name) {
        Some(value @ (Value::String(_) | Value::Number(_))) => seen.insert(value.to_string()),
        _ => false,
    })
}
