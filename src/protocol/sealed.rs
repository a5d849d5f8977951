//! The `multipart/encrypted` body in which sealed messages travel ([MS-WSMV] 2.2.9.1).
//!
//! ```text
//! --Encrypted Boundary\r\n
//! \tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n
//! \tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=<plaintext bytes>\r\n
//! --Encrypted Boundary\r\n
//! \tContent-Type: application/octet-stream\r\n
//! <u32 LE: length of the signature><signature><ciphertext>--Encrypted Boundary--\r\n
//! ```
//!
//! It looks like MIME and is not: no blank line follows the part headers and no line end precedes
//! the closing boundary. Windows answers 400 to a frame that has one.

/// The value of the `Content-Type` header of a sealed body, in requests and answers.
pub const CONTENT_TYPE: &str = "multipart/encrypted;protocol=\"application/HTTP-SPNEGO-session-encrypted\";boundary=\"Encrypted Boundary\"";

/// The most that the frame adds to a message, with room for any signature.
pub const OVERHEAD: usize = 1_024;

const BOUNDARY: &str = "--Encrypted Boundary\r\n";
const END: &[u8] = b"--Encrypted Boundary--\r\n";
const PROTOCOL: &str = "application/HTTP-SPNEGO-session-encrypted";
const ORIGINAL: &str = "type=application/soap+xml;charset=UTF-8;Length=";
/// The longest signature: NTLM has 16 bytes, Kerberos up to 76.
const MAX_SIGNATURE: usize = 256;

/// A sealed body is not framed as it must be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("read sealed frame: {0}")]
pub struct FrameError(&'static str);

/// A sealed message, as borrowed from a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The length of the plaintext that the frame announces, in bytes. The caller compares it.
    pub plain_length: usize,
    /// The signature.
    pub signature: &'a [u8],
    /// The ciphertext.
    pub ciphertext: &'a [u8],
}

/// Says whether a `Content-Type` header announces a sealed body.
pub fn is_sealed(content_type: &str) -> bool {
    content_type
        .get(.."multipart/encrypted".len())
        .is_some_and(|start| start.eq_ignore_ascii_case("multipart/encrypted"))
}

/// Frames a sealed message.
pub fn write(signature: &[u8], ciphertext: &[u8], plain_length: usize) -> Vec<u8> {
    let mut out = format!(
        "{BOUNDARY}\tContent-Type: {PROTOCOL}\r\n\tOriginalContent: {ORIGINAL}{plain_length}\r\n\
         {BOUNDARY}\tContent-Type: application/octet-stream\r\n"
    )
    .into_bytes();
    let length = u32::try_from(signature.len()).expect("a signature has a few dozen bytes");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(signature);
    out.extend_from_slice(ciphertext);
    out.extend_from_slice(END);
    out
}

/// Reads a frame. The structure is strict; case and leading white space of header lines are not,
/// because servers differ in them.
///
/// # Errors
///
/// [`FrameError`] with what is wrong: a missing boundary or header, another protocol, a cut frame.
pub fn read(body: &[u8]) -> Result<Frame<'_>, FrameError> {
    let mut rest = body.strip_prefix(BOUNDARY.as_bytes()).ok_or(FrameError("no boundary"))?;
    header(&mut rest, "content-type", |value| value.eq_ignore_ascii_case(PROTOCOL).then_some(()))?;
    let plain_length = header(&mut rest, "originalcontent", |value| {
        let at = value.to_ascii_lowercase().rfind("length=")?;
        value[at + "length=".len()..].trim().parse::<usize>().ok()
    })?;
    rest = rest.strip_prefix(BOUNDARY.as_bytes()).ok_or(FrameError("no second boundary"))?;
    header(&mut rest, "content-type", |value| {
        value.eq_ignore_ascii_case("application/octet-stream").then_some(())
    })?;
    let data = rest.strip_suffix(END).ok_or(FrameError("no closing boundary"))?;
    let (length, data) = data.split_first_chunk().ok_or(FrameError("no signature"))?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > MAX_SIGNATURE || length > data.len() {
        return Err(FrameError("a signature longer than the frame"));
    }
    let (signature, ciphertext) = data.split_at(length);
    Ok(Frame { plain_length, signature, ciphertext })
}

/// Takes one header line off `rest` and reads its value.
fn header<T>(
    rest: &mut &[u8],
    name: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, FrameError> {
    let end = rest
        .iter()
        .take(512)
        .position(|byte| *byte == b'\n')
        .ok_or(FrameError("a header line without an end"))?;
    let (line, after) = rest.split_at(end + 1);
    let line = std::str::from_utf8(line).map_err(|_| FrameError("a header that is not text"))?;
    let (key, value) = line.split_once(':').ok_or(FrameError("a header line without a colon"))?;
    if !key.trim().eq_ignore_ascii_case(name) {
        return Err(FrameError("a header that does not belong there"));
    }
    *rest = after;
    read(value.trim()).ok_or(FrameError("a header with an unexpected value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_byte_for_byte_what_the_specification_shows() {
        let frame = write(b"SIGN", b"cipher", 6);

        assert_eq!(
            frame,
            b"--Encrypted Boundary\r\n\
              \tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n\
              \tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=6\r\n\
              --Encrypted Boundary\r\n\
              \tContent-Type: application/octet-stream\r\n\
              \x04\0\0\0SIGNcipher--Encrypted Boundary--\r\n"
        );
        assert_eq!(
            read(&frame),
            Ok(Frame { plain_length: 6, signature: b"SIGN", ciphertext: b"cipher" })
        );
    }

    #[test]
    fn a_boundary_inside_the_ciphertext_does_not_end_it() {
        let tricky = b"x--Encrypted Boundary--\r\n--Encrypted Boundary\r\ny";

        let frame = write(&[7; 16], tricky, tricky.len());

        assert_eq!(read(&frame).unwrap().ciphertext, tricky);
    }

    #[test]
    fn header_lines_may_differ_in_case_and_white_space() {
        let text = String::from_utf8(write(b"SIGN", b"cipher", 6)).unwrap();
        let other = text.replace("\tContent-Type: ", "Content-type:").replace("Length=", "length=");

        assert_eq!(read(other.as_bytes()).unwrap().ciphertext, b"cipher");
    }

    #[test]
    fn every_cut_and_every_foreign_frame_is_refused() {
        let frame = write(&[7; 16], b"cipher", 6);

        for end in 0..frame.len() {
            assert!(read(&frame[..end]).is_err(), "{end}");
        }
        let kerberos = String::from_utf8(write(b"SIGN", b"cipher", 6))
            .unwrap()
            .replace("HTTP-SPNEGO-session", "HTTP-CredSSP-session");
        assert!(read(kerberos.as_bytes()).is_err());
        assert!(read(b"<s:Envelope/>").is_err());
        let mut long = frame;
        let at = long.len() - END.len() - 6 - 16 - 4;
        long[at] = 255;
        assert!(read(&long).is_err());
    }

    #[test]
    fn the_content_type_is_known_in_any_case() {
        assert!(is_sealed(CONTENT_TYPE));
        assert!(is_sealed("Multipart/Encrypted; boundary=x"));
        assert!(!is_sealed("application/soap+xml;charset=UTF-8"));
    }
}
