//! How an action describes its parameters: for help, lint and "did you mean".

use serde_json::{Value, json};

/// An expression as a parameter: its text, and a template that makes its value.
pub fn claim(expression: &str) -> Value {
    json!({ "expression": expression, "value": format!("{{{{ {expression} }}}}") })
}

/// One parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParamDoc {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: ParamKind,
    /// Whether it must be given.
    pub required: bool,
    /// What it means: one sentence.
    pub doc: &'static str,
}

/// What a parameter may be. A text with a template (`{{ … }}`) is accepted for every kind and
/// checked when it is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamKind {
    /// A text.
    Text,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// A list of GUIDs.
    Guids,
    /// A whole number, at least 1.
    Count,
    /// A list of whole numbers.
    Numbers,
    /// A whole number, 0 included.
    Number,
    /// `true` or `false`.
    Bool,
    /// A span of time, as in `15 min`.
    Span,
    /// Anything; texts in it may be templates.
    Any,
    /// An expression as `when` has it, or a list of them. The action gets a list of [`claim`]s,
    /// filled in.
    Expressions,
    /// A mapping with these keys.
    Map(&'static [ParamDoc]),
    /// A mapping whose keys depend on the value of another parameter.
    MapBy(KeysBy),
}

/// How the keys of a mapping depend on another parameter.
#[derive(Debug, Clone, Copy)]
pub struct KeysBy {
    /// The other parameter.
    pub of: &'static str,
    /// The keys for a value of it; none when the value is not known.
    pub keys: fn(&str) -> Option<&'static [ParamDoc]>,
}

impl PartialEq for KeysBy {
    fn eq(&self, other: &Self) -> bool {
        self.of == other.of && std::ptr::fn_addr_eq(self.keys, other.keys)
    }
}

impl Eq for KeysBy {}

impl ParamKind {
    /// What should be there, for messages: `a list of texts`.
    pub fn expected(self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
            Self::Texts => "a list of texts".to_owned(),
            Self::Guids => "a list of GUIDs".to_owned(),
            Self::Count => "a whole number, at least 1".to_owned(),
            Self::Numbers => "a list of whole numbers".to_owned(),
            Self::Number => "a whole number".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Span => "a span of time, as in `15 min`".to_owned(),
            Self::Any => "a value".to_owned(),
            Self::Expressions => "an expression without braces, or a list of them".to_owned(),
            Self::Map(keys) => {
                let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
                format!("a mapping with {}", names.join(", "))
            }
            Self::MapBy(by) => format!("a mapping whose keys depend on `{}`", by.of),
        }
    }
}
