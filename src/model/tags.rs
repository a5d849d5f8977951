//! Which tasks a run takes, by their tags.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The choice of `--tags` and `--skip-tags`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagChoice {
    /// Tasks with one of these tags run; when it is empty, all do.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub only: BTreeSet<String>,
    /// Tasks with one of these tags do not.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub skip: BTreeSet<String>,
}

impl TagChoice {
    /// The tag of tasks that run whatever is asked for.
    pub const ALWAYS: &str = "always";
    /// The tag of tasks that only run when one of their tags is asked for.
    pub const NEVER: &str = "never";

    /// Whether nothing is chosen.
    pub fn is_all(&self) -> bool {
        self.only.is_empty() && self.skip.is_empty()
    }

    /// Whether a task with these tags runs.
    pub fn takes(&self, tags: &BTreeSet<String>) -> bool {
        let is_asked_for = !self.only.is_disjoint(tags);
        let is_taken = if tags.contains(Self::NEVER) {
            is_asked_for
        } else {
            self.only.is_empty() || is_asked_for || tags.contains(Self::ALWAYS)
        };
        is_taken && self.skip.is_disjoint(tags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn tags_choose_tasks_as_in_ansible() {
        let takes = |only: &[&str], skip: &[&str], tags: &[&str]| {
            TagChoice { only: set(only), skip: set(skip) }.takes(&set(tags))
        };
        assert!(takes(&[], &[], &[]) && takes(&[], &[], &["a"]) && takes(&["a"], &[], &["a", "b"]));
        assert!(!takes(&["a"], &[], &[]) && !takes(&["a"], &[], &["b"]));
        assert!(!takes(&[], &["a"], &["a", "b"]) && !takes(&["b"], &["a"], &["a", "b"]));
        assert!(takes(&["a"], &[], &["always"]) && !takes(&[], &["always"], &["always"]));
        assert!(!takes(&[], &[], &["never"]) && takes(&["a"], &[], &["never", "a"]));
    }
}
