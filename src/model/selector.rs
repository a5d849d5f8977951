//! The pattern language that picks hosts: `package_servers:&london:!ps-lon-07*`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{HostName, Inventory};

/// A host pattern with Ansible's meaning: terms joined by `:` or `,`; `&` keeps only hosts that
/// also match, `!` takes hosts away. A term is a group, a host, or a name with `*`, `?` and `[..]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector {
    text: String,
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    sign: Sign,
    pattern: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Add,
    Keep,
    Remove,
}

/// A text that is not a host pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a host pattern: {reason}")]
pub struct ParseSelectorError {
    /// What was written.
    pub text: String,
    /// Why it was refused.
    pub reason: &'static str,
}

impl Selector {
    /// The hosts that match, in inventory order.
    ///
    /// The signs are applied in three rounds (add, keep, remove) whatever the order they are
    /// written in, as Ansible does.
    pub fn select(&self, inventory: &Inventory) -> Vec<HostName> {
        inventory.host_names().filter(|host| self.matches(host, inventory)).cloned().collect()
    }

    /// Whether one host matches.
    pub fn matches(&self, host: &HostName, inventory: &Inventory) -> bool {
        let groups = inventory.groups_of(host).unwrap_or(&[]);
        let hit = |term: &Term| {
            glob(&term.pattern, host.as_str()) || groups.iter().any(|g| glob(&term.pattern, g))
        };
        let mut adds = self.terms.iter().filter(|t| t.sign == Sign::Add).peekable();
        let added = adds.peek().is_none() || adds.any(hit);
        added
            && self.terms.iter().filter(|t| t.sign == Sign::Keep).all(hit)
            && !self.terms.iter().filter(|t| t.sign == Sign::Remove).any(hit)
    }

    /// The plain names (no wildcard) that are neither a group nor a host: likely misspellings.
    pub fn unknown_names<'a>(&'a self, inventory: &'a Inventory) -> impl Iterator<Item = &'a str> {
        self.terms.iter().map(|term| term.pattern.as_str()).filter(move |name| {
            !name.contains(['*', '?', '['])
                && !inventory.groups().any(|(group, _)| group == *name)
                && inventory.groups_of(&HostName::new(*name)).is_none()
        })
    }
}

impl FromStr for Selector {
    type Err = ParseSelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |reason| ParseSelectorError { text: text.to_owned(), reason };
        let mut terms = Vec::new();
        for part in split_terms(text) {
            let part = part.trim();
            let (sign, pattern) = match part.chars().next() {
                Some('&') => (Sign::Keep, &part[1..]),
                Some('!') => (Sign::Remove, &part[1..]),
                _ => (Sign::Add, part),
            };
            let pattern = pattern.trim();
            if pattern.is_empty() {
                return Err(error("a part between the colons is empty"));
            }
            if pattern.starts_with('~') {
                return Err(error("regular expressions (`~`) are not supported; use `*` and `?`"));
            }
            if pattern.matches('[').count() != pattern.matches(']').count() {
                return Err(error("a bracket is not closed"));
            }
            let pattern = if pattern == "all" { "*" } else { pattern };
            terms.push(Term { sign, pattern: pattern.to_owned() });
        }
        Ok(Self { text: text.to_owned(), terms })
    }
}

/// Splits at `:` and `,` outside of brackets.
fn split_terms(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0_u32);
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ':' | ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Matches a name against a pattern with `*`, `?` and `[abc]`/`[a-z]`/`[01:09]`, without regard to case.
fn glob(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let name: Vec<char> = name.to_lowercase().chars().collect();
    matches_from(&pattern, &name)
}

/// Takes at most as many steps as the product of both lengths, however many stars there are: what
/// stands between two stars takes a fixed number of characters, so only the last star passed can
/// ever have to take more.
fn matches_from<'a>(mut pattern: &'a [char], mut name: &'a [char]) -> bool {
    // What follows the last star, and the rest of the name that was tried with it.
    let mut star: Option<(&[char], &[char])> = None;
    loop {
        let step = match pattern.split_first() {
            Some(('*', rest)) => {
                star = Some((rest, name));
                pattern = rest;
                continue;
            }
            Some((first, rest)) => match_one(*first, rest, name),
            None if name.is_empty() => return true,
            None => None,
        };
        if let Some(left) = step {
            (pattern, name) = left;
            continue;
        }
        let Some((after, [_, longer @ ..])) = star else { return false };
        star = Some((after, longer));
        (pattern, name) = (after, longer);
    }
}

/// Matches what `first` begins, which is no star; returns what is left of pattern and name.
fn match_one<'a>(
    first: char,
    rest: &'a [char],
    name: &'a [char],
) -> Option<(&'a [char], &'a [char])> {
    if first == '[' {
        let end = rest.iter().position(|c| *c == ']')?;
        let (set, after) = (&rest[..end], &rest[end + 1..]);
        if let Some(colon) = set.iter().position(|c| *c == ':') {
            return Some((after, number_range(&set[..colon], &set[colon + 1..], name)?));
        }
        let (c, left) = name.split_first()?;
        return in_set(*c, set).then_some((after, left));
    }
    let (c, left) = name.split_first()?;
    (first == '?' || first == *c).then_some((rest, left))
}

fn in_set(c: char, set: &[char]) -> bool {
    let is_range = |w: &[char]| w[1] == '-' && (w[0]..=w[2]).contains(&c);
    set.windows(3).any(is_range) || (set.contains(&c) && c != '-')
}

/// `[001:400]` takes as many digits as its first bound has.
fn number_range<'a>(from: &[char], to: &[char], name: &'a [char]) -> Option<&'a [char]> {
    let number = |digits: &[char]| digits.iter().collect::<String>().parse::<u64>().ok();
    let width = from.len();
    let value = number(name.get(..width)?)?;
    (number(from)?..=number(to)?).contains(&value).then(|| &name[width..])
}

impl TryFrom<String> for Selector {
    type Error = ParseSelectorError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.text
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Group, Vars};
    use indexmap::IndexMap;

    fn fleet() -> Inventory {
        let group = |names: &[&str]| Group {
            hosts: names.iter().map(|n| (HostName::new(*n), Vars::new())).collect(),
            ..Group::default()
        };
        let groups = IndexMap::from([
            ("london".to_owned(), group(&["ps-lon-01", "ps-lon-07", "ps-lon-70"])),
            ("oslo".to_owned(), group(&["ps-osl-01"])),
        ]);
        Inventory::new(groups).expect("no circle")
    }

    fn pick(pattern: &str) -> Vec<String> {
        let selector: Selector = pattern.parse().expect(pattern);
        selector.select(&fleet()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn patterns_add_keep_and_remove_whatever_their_order() {
        assert_eq!(pick("london:!ps-lon-07*"), ["ps-lon-01", "ps-lon-70"]);
        assert_eq!(pick("!ps-lon-0?:all:&london"), ["ps-lon-70"]);
        assert_eq!(pick("ps-*-[01:06]"), ["ps-lon-01", "ps-osl-01"]);
        assert_eq!(pick("london,oslo").len(), 4);
        assert_eq!(pick("PS-LON-0[1-6]"), ["ps-lon-01"]);
    }

    #[test]
    fn stars_take_as_much_as_the_rest_of_the_pattern_leaves_them() {
        for pattern in ["*", "ps*", "*07", "p*-*-*7", "*lon*lon-07*", "**-0?**", "*[01:09]"] {
            let expected = pattern != "*lon*lon-07*";
            assert_eq!(glob(pattern, "ps-lon-07"), expected, "{pattern}");
        }
        assert!(!glob("*0", "ps-lon-07") && !glob("*7?", "ps-lon-07") && !glob("ps*x*", "ps-lon"));
    }

    #[test]
    fn many_stars_cost_no_more_than_their_number() {
        let pattern = format!("{}x", "*".repeat(200));

        assert!(!glob(&pattern, &"ps-lon-01.corp.example.".repeat(10).replace('x', "y")));
        assert!(!glob(&"*a".repeat(100), &"a".repeat(99)));
    }

    #[test]
    fn a_misspelt_name_is_told_apart_from_an_empty_group() {
        let fleet = fleet();
        let selector: Selector = "londn:!oslo".parse().expect("a pattern");

        assert_eq!(selector.unknown_names(&fleet).collect::<Vec<_>>(), ["londn"]);
    }

    #[test]
    fn a_pattern_that_would_be_guessed_at_is_refused() {
        for text in ["", "london::oslo", "~^ps", "ps-[01", "!"] {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }
}
