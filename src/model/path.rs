//! Absolute paths on a Windows host, parsed once at the edge.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An absolute path with a drive letter, `C:\ProgramData\Symantec`; compared without regard to case.
///
/// It cannot hold what would let a name leave its folder or mean something else than a file:
/// `.`/`..` components, stream names (`:`), wildcards, device names, control characters, trailing
/// dots or blanks.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WindowsPath {
    drive: char,
    components: Vec<String>,
}

/// A text that is not a path this program would act on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a path to act on: {reason}")]
pub struct ParsePathError {
    /// What was written.
    pub text: String,
    /// Why it was refused.
    pub reason: &'static str,
}

impl WindowsPath {
    /// The root of a drive, `C:\`.
    pub fn root(drive: char) -> Option<Self> {
        drive
            .is_ascii_alphabetic()
            .then(|| Self { drive: drive.to_ascii_uppercase(), components: Vec::new() })
    }

    /// The drive letter, upper case.
    pub fn drive(&self) -> char {
        self.drive
    }

    /// The names below the root, in order.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.components.iter().map(String::as_str)
    }

    /// The path below the drive, with backslashes and without a leading one; empty for the root.
    pub fn below_drive(&self) -> String {
        self.components.join("\\")
    }

    /// The last name, or `None` for the root of a drive.
    pub fn file_name(&self) -> Option<&str> {
        self.components.last().map(String::as_str)
    }

    /// The folder that holds it, or `None` for the root of a drive.
    pub fn parent(&self) -> Option<Self> {
        let (_, parents) = self.components.split_last()?;
        Some(Self { drive: self.drive, components: parents.to_vec() })
    }

    /// Appends a relative path whose parts may be separated by `\` or `/`.
    ///
    /// # Errors
    ///
    /// A part that is empty, `.`, `..`, or could not be the name of a file.
    pub fn join(&self, relative: &str) -> Result<Self, ParsePathError> {
        let mut components = self.components.clone();
        for part in relative.split(['\\', '/']) {
            check_component(part)
                .map_err(|reason| ParsePathError { text: relative.to_owned(), reason })?;
            components.push(part.to_owned());
        }
        Ok(Self { drive: self.drive, components })
    }

    /// Whether this is strictly inside `folder`.
    pub fn is_below(&self, folder: &Self) -> bool {
        self.drive == folder.drive
            && self.components.len() > folder.components.len()
            && self.components.iter().zip(&folder.components).all(|(a, b)| same_name(a, b))
    }
}

/// Windows compares names without regard to case; simple upper-casing matches NTFS for all names
/// that the product writes.
fn same_name(a: &str, b: &str) -> bool {
    a == b || a.to_uppercase() == b.to_uppercase()
}

fn check_component(part: &str) -> Result<(), &'static str> {
    if part.is_empty() {
        return Err("a part of it is empty");
    }
    if part == "." || part == ".." {
        return Err("it climbs out of its folder");
    }
    if part.chars().count() > 255 {
        return Err("a part of it is longer than 255 characters");
    }
    if part.chars().any(|c| c.is_control() || "<>:\"|?*\\/".contains(c)) {
        return Err("it holds a character that no file name has");
    }
    if part.ends_with(['.', ' ']) {
        return Err("a part of it ends with a dot or a blank, which Windows would drop");
    }
    let stem = part.split('.').next().unwrap_or(part).trim_end().to_ascii_uppercase();
    let is_port = stem.len() == 4
        && (stem.starts_with("COM") || stem.starts_with("LPT"))
        && stem.ends_with(|c: char| c.is_ascii_digit());
    if is_port || ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str()) {
        return Err("a part of it is the name of a device");
    }
    Ok(())
}

impl FromStr for WindowsPath {
    type Err = ParsePathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |reason| ParsePathError { text: text.to_owned(), reason };
        let mut chars = text.chars();
        let drive = chars.next().filter(char::is_ascii_alphabetic);
        let (Some(drive), Some(':'), Some('\\' | '/')) = (drive, chars.next(), chars.next()) else {
            return Err(error("it does not start with a drive, as in `C:\\`"));
        };
        let root = Self { drive: drive.to_ascii_uppercase(), components: Vec::new() };
        let rest = chars.as_str().trim_end_matches(['\\', '/']);
        if rest.is_empty() {
            return Ok(root);
        }
        root.join(rest).map_err(|inner| error(inner.reason))
    }
}

impl TryFrom<String> for WindowsPath {
    type Error = ParsePathError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<WindowsPath> for String {
    fn from(path: WindowsPath) -> Self {
        path.to_string()
    }
}

impl PartialEq for WindowsPath {
    fn eq(&self, other: &Self) -> bool {
        self.drive == other.drive
            && self.components.len() == other.components.len()
            && self.components.iter().zip(&other.components).all(|(a, b)| same_name(a, b))
    }
}

impl Eq for WindowsPath {}

impl fmt::Display for WindowsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:\\{}", self.drive, self.below_drive())
    }
}

impl fmt::Debug for WindowsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> WindowsPath {
        text.parse().expect(text)
    }

    #[test]
    fn a_path_keeps_its_spelling_and_compares_without_regard_to_case() {
        let shown = path("c:\\ProgramData/Symantec\\").to_string();

        assert_eq!(shown, "C:\\ProgramData\\Symantec");
        assert_eq!(path("C:\\PROGRAMDATA\\symantec"), path(&shown));
    }

    #[test]
    fn a_path_cannot_leave_its_folder_or_name_something_else_than_a_file() {
        let hostile = [
            "..\\x",
            "a\\..\\b",
            "x:stream",
            "snap*.xml",
            "",
            "a\\\\b",
            "NUL",
            "com1.txt",
            "a.",
            "b ",
            "x\u{7}",
            "con .txt",
            "?",
        ];
        for name in hostile {
            assert!(path("C:\\Agent").join(name).is_err(), "{name:?}");
        }
        for text in ["\\\\server\\share", "relative\\x", "C:", "C:x", "\\\\?\\C:\\x"] {
            assert!(text.parse::<WindowsPath>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_folder_holds_what_is_below_it_but_not_itself_nor_its_namesakes() {
        let folder = path("C:\\Package Delivery");

        assert!(path("c:\\package delivery\\{A}\\snapshot.xml").is_below(&folder));
        assert!(!folder.is_below(&folder));
        assert!(!path("C:\\Package Delivery2\\x").is_below(&folder));
        assert!(!path("D:\\Package Delivery\\x").is_below(&folder));
    }
}
