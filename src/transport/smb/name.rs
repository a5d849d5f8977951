//! Names on the wire: which share holds a path, and which path a server says a handle has.

use smb2::pack::ReadCursor;

use crate::model::WindowsPath;

/// The administrative share of a drive: `C$`.
pub(super) fn share_of(drive: char) -> String {
    format!("{drive}$")
}

/// Reads `FileNormalizedNameInformation` ([MS-FSCC] 2.4.36) of a handle below a drive's share: the
/// length of the name in bytes, and the name, with or without a leading backslash.
///
/// `None` when it is no path that this program would act on.
pub(super) fn parse_normalized(drive: char, buffer: &[u8]) -> Option<WindowsPath> {
    let mut cursor = ReadCursor::new(buffer);
    let length = usize::try_from(cursor.read_u32_le().ok()?).ok()?;
    let name = cursor.read_utf16_le(length).ok()?;
    let root = WindowsPath::root(drive)?;
    match name.trim_start_matches('\\') {
        "" => Some(root),
        below => root.join(below).ok(),
    }
}

/// Writes `FileRenameInformation` for SMB ([MS-FSCC] 2.4.43.2): never replaces a file; the new name
/// is relative to the share.
pub(super) fn rename_buffer(to: &WindowsPath) -> Vec<u8> {
    let name: Vec<u8> = to.below_drive().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut buffer = vec![0_u8; 16]; // ReplaceIfExists, Reserved, RootDirectory
    // A path has at most 32,767 characters, see `path_fits`.
    buffer.extend_from_slice(&u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes());
    buffer.extend_from_slice(&name);
    buffer.resize(buffer.len().max(24), 0);
    buffer
}

/// Whether a path fits into the 16-bit length that SMB has for it.
pub(super) fn path_fits(path: &WindowsPath) -> bool {
    path.below_drive().encode_utf16().count() <= 32_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Vec<u8> {
        let bytes: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut buffer = u32::try_from(bytes.len()).expect("short").to_le_bytes().to_vec();
        buffer.extend(bytes);
        buffer
    }

    #[test]
    fn a_normalised_name_is_read_with_and_without_its_first_backslash() {
        let path: WindowsPath = "C:\\a\\b.xml".parse().expect("path");

        assert_eq!(parse_normalized('C', &named("\\a\\b.xml")), Some(path.clone()));
        assert_eq!(parse_normalized('C', &named("a\\b.xml")), Some(path));
        assert_eq!(parse_normalized('C', &named("\\")), WindowsPath::root('C'));
    }

    #[test]
    fn a_normalised_name_that_is_cut_or_hostile_is_no_path() {
        assert_eq!(parse_normalized('C', &named("a\\..\\b")), None);
        assert_eq!(parse_normalized('C', &named("abc")[..7]), None);
        assert_eq!(parse_normalized('C', &[]), None);
    }

    #[test]
    fn a_rename_does_not_replace_and_is_never_shorter_than_the_structure() {
        let buffer = rename_buffer(&"C:\\x".parse().expect("path"));

        assert_eq!(buffer.len(), 24);
        assert_eq!(buffer[0], 0);
        assert_eq!(&buffer[16..22], &[2, 0, 0, 0, b'x', 0]);
    }
}
