//! `UrgentList.xml`: the packages that a package server fetches before all others (KB 181405).
//!
//! Its inside is not documented: every GUID in it is taken for a package, unless its name says that
//! it is something else.

use indexmap::IndexSet;

use super::xml::{Unreadable, walk};
use crate::model::Guid;

/// How many packages it may list.
const MOST_PACKAGES: usize = 100_000;

/// What a GUID belongs to that is no package, by parts of the names it stands under.
const OTHERS: [&str; 6] = ["machine", "computer", "server", "resource", "owner", "policy"];

/// Reads the packages, each once, in their order. An empty list is one.
///
/// # Errors
///
/// It is not whole XML, or holds elements and no GUID of a package.
pub fn read_urgent_list(bytes: &[u8]) -> Result<Vec<Guid>, Unreadable> {
    let mut found: IndexSet<Guid> = IndexSet::new();
    let mut has_entries = false;
    walk(bytes, |element, inside| {
        has_entries |= !inside.is_empty() || !element.text.is_empty();
        let text = [(element.name.as_str(), element.text.as_str())];
        let values = element.values.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in values.chain(text) {
            let key = format!("{} {key}", element.name).to_lowercase();
            if let Ok(guid) = value.trim().parse::<Guid>()
                && !OTHERS.iter().any(|other| key.contains(other))
            {
                found.insert(guid);
            }
        }
        if found.len() > MOST_PACKAGES {
            return Err(Unreadable::because(format!(
                "it lists more than {MOST_PACKAGES} packages"
            )));
        }
        Ok(())
    })?;
    if found.is_empty() && has_entries {
        return Err(Unreadable::because("it has entries and names no package by its GUID"));
    }
    Ok(found.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Guid = Guid::from_u128(0xA);
    const B: Guid = Guid::from_u128(0xB);

    #[test]
    fn guids_are_found_wherever_they_stand() {
        let bare = B.bare().to_lowercase();
        for text in [
            format!("<UrgentList><Package Id=\"{A}\"/><Package Id=\"{bare}\"/></UrgentList>"),
            format!("<u:list xmlns:u='x'><u:guid>{A}</u:guid><u:guid> {bare} </u:guid></u:list>"),
            format!(
                "<l machineGuid='{}'><p n='1' g='{A}'><q>{B}</q></p><p g='{A}'/></l>",
                Guid::from_u128(9)
            ),
        ] {
            let mut list = read_urgent_list(text.as_bytes()).expect("a list");
            list.sort();
            assert_eq!(list, [A, B], "{text}");
        }
    }

    #[test]
    fn an_empty_list_is_known_and_one_without_guids_is_not_understood() {
        assert_eq!(read_urgent_list(b"<UrgentList/>"), Ok(Vec::new()));
        assert_eq!(read_urgent_list(b"<UrgentList>\r\n</UrgentList>"), Ok(Vec::new()));
        for text in ["", "x", "<UrgentList><Package Name='Firefox'/></UrgentList>", "<UrgentList>"]
        {
            assert!(read_urgent_list(text.as_bytes()).is_err(), "{text}");
        }
    }
}
