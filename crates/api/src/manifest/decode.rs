//! From the tree to typed tables. A value that is wrong is noted and its default taken, so that one
//! pass finds everything; the `table!` macro is the one list of a table's keys, defaults and
//! ranges. How single values are read is in `value`.

use std::collections::HashSet;
use std::ops::Range;

use crate::id::near_names;

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
    /// Values that could not be read, by path without the override that brought them.
    unread: HashSet<String>,
    reading_done: bool,
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
        if !self.reading_done {
            self.unread.insert(path_text(at));
        }
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

    /// Ends the reading of values: what is noted from here on was read, but breaks a rule.
    pub(super) fn reading_done(&mut self) {
        self.reading_done = true;
    }

    /// Whether the value at this path could not be read.
    pub(super) fn is_unread(&self, at: &[Step]) -> bool {
        self.unread.contains(&path_text(at))
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
        if self.problems.len() >= MAX_PROBLEMS {
            return;
        }
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
