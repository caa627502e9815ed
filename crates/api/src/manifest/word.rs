//! Values that are one word of a list. A word that is not on it is answered with the near ones.

use crate::id::near_names;

use super::decode::{Context, quoted};
use super::tree::Node;
use super::value::text;

/// Reads one of `words`; another is noted with the near ones or all of them.
pub(super) fn decode<T: Copy>(
    node: &Node,
    cx: &mut Context,
    what: &str,
    words: &[(&str, T)],
) -> Option<T> {
    let given = text(node, cx, what)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == given) {
        return Some(*value);
    }
    let known = || words.iter().map(|(word, _)| *word);
    let upper = given.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let prefixed = format!("SIG{upper}");
    let same = known().find(|word| {
        [bare, prefixed.as_str()].iter().any(|given| word.eq_ignore_ascii_case(given))
    });
    let short: String = given.chars().take(40).collect();
    let near = near_names(&short, known());
    let hint = match (same, near.as_slice()) {
        (Some(word), _) => format!("write {word:?}"),
        (None, []) => format!("one of: {}", known().collect::<Vec<_>>().join(", ")),
        (None, near) => format!("did you mean {}?", near.join(" or ")),
    };
    cx.fail(node, format!("{} is not {what}", quoted(given)), Some(hint));
    None
}

/// Defines an enumeration whose values are words of the manifest.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident = $what:literal {
            $( $(#[$variant_meta:meta])* $variant:ident = $word:literal, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        pub enum $name {
            $( $(#[$variant_meta])* #[serde(rename = $word)] $variant, )*
        }

        impl $name {
            /// Every value with its word.
            pub const WORDS: &[(&str, Self)] = &[$(($word, Self::$variant)),*];

            /// The value's word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl $crate::manifest::decode::Decode for $name {
            fn decode(
                node: &$crate::manifest::tree::Node,
                cx: &mut $crate::manifest::decode::Context,
            ) -> Option<Self> {
                $crate::manifest::word::decode(node, cx, $what, Self::WORDS)
            }
        }
    };
}
pub(super) use words;
