//! Paths of the form `C:\folder\file`.

use super::TreeError;

/// A path cut into its drive letter (upper case) and names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) drive: char,
    pub(super) names: Vec<String>,
}

/// The most names a path may have; far above what Windows programs produce.
const MAX_DEPTH: usize = 128;

impl Path {
    /// Cuts `C:\a\b`; forward slashes count as separators and empty names are skipped.
    pub(super) fn parse(text: &str) -> Result<Self, TreeError> {
        let mut chars = text.chars();
        let drive = chars.next().filter(char::is_ascii_alphabetic).ok_or(TreeError::InvalidName)?;
        if chars.next() != Some(':') {
            return Err(TreeError::InvalidName);
        }
        let rest = chars.as_str();
        if !rest.is_empty() && !rest.starts_with(['\\', '/']) {
            return Err(TreeError::InvalidName);
        }
        let names: Vec<String> =
            rest.split(['\\', '/']).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if names.len() > MAX_DEPTH || !names.iter().all(|name| is_valid_name(name)) {
            return Err(TreeError::InvalidName);
        }
        Ok(Self { drive: drive.to_ascii_uppercase(), names })
    }
}

/// Says whether Windows accepts this as one name of a path.
pub fn is_valid_name(name: &str) -> bool {
    let is_forbidden = |byte: &u8| *byte < b' ' || br#"\/:*?"<>|"#.contains(byte);
    let is_short = name.len() <= 255 || name.encode_utf16().count() <= 255;
    !name.is_empty()
        && is_short
        && !name.as_bytes().iter().any(is_forbidden)
        && !name.ends_with(['.', ' '])
}

/// The form in which two names are compared: upper case, character by character as NTFS does.
pub(super) fn fold(name: &str) -> String {
    // Most names are ASCII, and a fleet has many.
    if name.is_ascii() {
        return name.to_ascii_uppercase();
    }
    name.chars()
        .map(|c| {
            let mut upper = c.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(single), None) => single,
                _ => c,
            }
        })
        .collect()
}
