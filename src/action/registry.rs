//! The only list of actions: help, lint and the engine read it.

use super::ActionKind;

/// Every action, by name in alphabetical order.
pub fn registry() -> &'static [&'static dyn ActionKind] {
    &[]
}

/// The action of that name.
pub fn find(name: &str) -> Option<&'static dyn ActionKind> {
    registry().iter().copied().find(|action| action.name() == name)
}
