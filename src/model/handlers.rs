//! Which handlers of a play are meant.

use serde::{Deserialize, Serialize};

/// Handlers of one play, each by its number among them, from 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HandlerSet(u64);

impl HandlerSet {
    /// How many handlers a play may have.
    pub const MAX: usize = 64;

    /// Adds a handler; one beyond [`Self::MAX`] is left out.
    pub fn insert(&mut self, number: usize) {
        if number < Self::MAX {
            self.0 |= 1 << number;
        }
    }

    /// Adds those of another set.
    pub fn extend(&mut self, others: Self) {
        self.0 |= others.0;
    }

    /// Whether a handler is in it.
    pub fn contains(self, number: usize) -> bool {
        number < Self::MAX && self.0 & (1 << number) != 0
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<usize> for HandlerSet {
    fn from_iter<T: IntoIterator<Item = usize>>(numbers: T) -> Self {
        let mut set = Self::default();
        numbers.into_iter().for_each(|number| set.insert(number));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_added_and_nothing_else() {
        let mut set: HandlerSet = [0, 63, 64].into_iter().collect();
        set.extend([5].into_iter().collect());

        let has: Vec<usize> = (0..70).filter(|number| set.contains(*number)).collect();

        assert_eq!(has, [0, 5, 63]);
        assert!(HandlerSet::default().is_empty() && !set.is_empty());
    }
}
