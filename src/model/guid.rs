//! GUIDs of packages and servers, in the spellings that the product uses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A GUID; shown upper-case in braces, as the product writes its folders: `{0562094A-…}`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Guid(uuid::Uuid);

/// A text that is not a GUID.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a GUID: 32 hexadecimal digits in five groups, with or without braces")]
pub struct ParseGuidError {
    /// What was written.
    pub text: String,
}

impl Guid {
    /// Takes the 128 bits.
    pub const fn from_u128(bits: u128) -> Self {
        Self(uuid::Uuid::from_u128(bits))
    }

    /// The 128 bits.
    pub const fn as_u128(self) -> u128 {
        self.0.as_u128()
    }

    /// The spelling without braces, upper case: what SQL literals and URLs use.
    pub fn bare(self) -> String {
        self.0.hyphenated().to_string().to_ascii_uppercase()
    }
}

impl FromStr for Guid {
    type Err = ParseGuidError;

    /// Reads the hyphenated form with or without braces, in either case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseGuidError { text: text.to_owned() };
        let bare = match text.strip_prefix('{') {
            Some(rest) => rest.strip_suffix('}').ok_or_else(error)?,
            None => text,
        };
        if bare.len() != 36 {
            return Err(error());
        }
        uuid::Uuid::try_parse(bare).map(Self).map_err(|_| error())
    }
}

impl TryFrom<String> for Guid {
    type Error = ParseGuidError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Guid> for String {
    fn from(guid: Guid) -> Self {
        guid.to_string()
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.bare())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_read_in_every_spelling_of_the_product_and_shown_in_one() {
        let bare: Guid = "0562094a-ecbe-4617-9253-5e7ffb5e00c4".parse().expect("bare");
        let braced: Guid = "{0562094A-ECBE-4617-9253-5E7FFB5E00C4}".parse().expect("braced");

        assert_eq!(bare, braced);
        assert_eq!(bare.to_string(), "{0562094A-ECBE-4617-9253-5E7FFB5E00C4}");
    }

    #[test]
    fn a_text_that_could_leave_its_folder_is_no_guid() {
        for text in [
            "",
            "{..}",
            "{0562094A-ECBE-4617-9253-5E7FFB5E00C4",
            "..\\snapshot",
            "0562094aecbe461792535e7ffb5e00c4",
        ] {
            assert!(text.parse::<Guid>().is_err(), "{text}");
        }
    }
}
