//! The agent's log, `agent.log`: a stream of events without a root, read as far as it is whole.
//!
//! An event looks like `<event date='May 16 11:51:05' severity='4' hostName='…' source='…'
//! module='…' process='…' pid='…' thread='…' tickCount='…' ><![CDATA[text]]></event>` (KB 179719):
//! the date has no year, the text may span lines. The file grows while it is read, so the bytes
//! may start and end in the middle of an event.

use std::borrow::Cow;

/// One event of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// When, as written: there is no year and no time zone in it.
    pub date: String,
    /// The severity's number, where there is one; 4 is informational (KB 181052).
    pub severity: Option<u32>,
    /// What wrote it: `ConfigServer`.
    pub source: String,
    /// The file it lives in: `AeXNSCPackageServer.dll`.
    pub module: String,
    /// The text, as written.
    pub text: String,
}

/// What a piece of a log holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPiece {
    /// The whole events, oldest first.
    pub events: Vec<Event>,
    /// How many bytes of the piece the last whole event ends after; what follows must be read
    /// again together with what comes after it. 0 when there is no whole event.
    pub complete: usize,
}

/// Where the reading of a growing log has come to.
///
/// A mark set before something is asked of the agent tells the events that came after it from
/// those that were there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogMark(u64);

impl LogMark {
    /// The mark behind everything that a log of `size` bytes holds.
    pub fn at_end(size: u64) -> Self {
        Self(size)
    }

    /// Where to read from in a log that now has `size` bytes. The log is started anew when it is
    /// full: a log shorter than the mark is another one, and all of it came after the mark.
    pub fn offset(self, size: u64) -> u64 {
        if size < self.0 { 0 } else { self.0 }
    }

    /// Takes the bytes from `offset` on, of which at most `limit` were asked for, moves the mark
    /// behind the last whole event and returns the events.
    pub fn take(&mut self, offset: u64, bytes: &[u8], limit: usize) -> Vec<Event> {
        let piece = read_events(bytes);
        // A window full of anything but events would never be passed otherwise.
        let taken =
            if piece.complete == 0 && bytes.len() >= limit { bytes.len() } else { piece.complete };
        self.0 = offset + taken as u64;
        piece.events
    }
}

/// Reads the whole events of a piece of a log.
///
/// Understands UTF-8 and UTF-16; a piece that is neither is taken byte for byte as Latin-1.
pub fn read_events(bytes: &[u8]) -> LogPiece {
    let decoded = Decoded::new(bytes);
    let text: &str = &decoded.text;
    let mut events = Vec::new();
    let mut end = 0;
    while let Some((event, length)) = next_event(&text[end..]) {
        events.push(event);
        end += length;
    }
    let complete = if events.is_empty() { 0 } else { decoded.bytes_of(end) };
    LogPiece { events, complete }
}

/// The first whole event, and how much of the text it and what is before it take.
fn next_event(text: &str) -> Option<(Event, usize)> {
    let start = event_start(text)?;
    let (mut event, head) = read_head(&text[start..])?;
    let (body, length) = read_body(&text[start + head..])?;
    event.text = body;
    Some((event, start + head + length))
}

const OPEN: &str = "<event";
const CLOSE: &str = "</event>";
const CDATA: &str = "<![CDATA[";
const CDATA_END: &str = "]]>";
const NEXT_EVENT: &str = "\n<event date=";

fn event_start(text: &str) -> Option<usize> {
    text.match_indices(OPEN)
        .find(|(at, _)| text[at + OPEN.len()..].starts_with(|c: char| c.is_whitespace()))
        .map(|(at, _)| at)
}

/// Reads `<event name='value' … >`; the length includes the bracket.
fn read_head(text: &str) -> Option<(Event, usize)> {
    let mut event = Event::default();
    let mut rest = &text[OPEN.len()..];
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('>') {
            return Some((event, text.len() - after.len()));
        }
        let stop = rest.find(['=', '>'])?;
        if rest.as_bytes()[stop] == b'>' {
            rest = &rest[stop..];
            continue;
        }
        let name = rest[..stop].trim();
        let after = rest[stop + 1..].trim_start();
        let quote = after.chars().next()?;
        if quote != '\'' && quote != '"' {
            // Not a value: go on behind the sign, the bracket still ends the head.
            rest = after;
            continue;
        }
        let length = after[1..].find(quote)?;
        let value = &after[1..=length];
        match name {
            "date" => event.date = unescape(value),
            "severity" => event.severity = value.trim().parse().ok(),
            "source" => event.source = unescape(value),
            "module" => event.module = unescape(value),
            _ => {}
        }
        rest = &after[length + 2..];
    }
}

/// Reads the text of an event; the length includes `</event>`. An event that was torn off by a
/// crash ends where the next one starts.
fn read_body(text: &str) -> Option<(String, usize)> {
    let closed = read_closed_body(text);
    let range = closed.as_ref().map_or(text, |(_, length)| &text[..*length]);
    // What looks like the end may belong to the event after a torn one.
    let Some(torn) = range.find(NEXT_EVENT).map(|at| at + 1) else { return closed };
    let text = text[..torn].trim();
    Some((text.strip_prefix(CDATA).unwrap_or(text).to_owned(), torn))
}

fn read_closed_body(text: &str) -> Option<(String, usize)> {
    let mut body = String::new();
    let mut rest = text;
    while let Some(inside) = rest.trim_start().strip_prefix(CDATA) {
        let end = inside.find(CDATA_END)?;
        body.push_str(&inside[..end]);
        rest = &inside[end + CDATA_END.len()..];
    }
    let end = rest.find(CLOSE)?;
    body.push_str(&unescape(rest[..end].trim()));
    Some((body, text.len() - rest.len() + end + CLOSE.len()))
}

fn unescape(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    // `&amp;` comes last, so that nothing is unescaped twice.
    [("&lt;", "<"), ("&gt;", ">"), ("&apos;", "'"), ("&quot;", "\""), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Text that still knows how many bytes its parts were.
struct Decoded<'a> {
    text: Cow<'a, str>,
    form: Form,
    skipped: usize,
}

#[derive(Clone, Copy)]
enum Form {
    Utf8,
    Utf16,
    Latin1,
}

impl<'a> Decoded<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        if let Some(rest) = bytes.strip_prefix(&[0xFE, 0xFF]) {
            return Self::utf16(rest, 2, u16::from_be_bytes);
        }
        if let Some(rest) = bytes.strip_prefix(&[0xFF, 0xFE]) {
            return Self::utf16(rest, 2, u16::from_le_bytes);
        }
        // A piece from the middle of a file has no byte order mark.
        let sample = &bytes[..bytes.len().min(512)];
        let zeros = |parity: usize| {
            sample.iter().skip(parity).step_by(2).filter(|byte| **byte == 0).count() * 4
        };
        if sample.len() >= 4 && zeros(1) > sample.len() {
            return Self::utf16(bytes, 0, u16::from_le_bytes);
        }
        if sample.len() >= 4 && zeros(0) > sample.len() {
            return Self::utf16(bytes, 0, u16::from_be_bytes);
        }
        Self::utf8_or_latin1(bytes)
    }

    fn utf16(bytes: &[u8], skipped: usize, unit: fn([u8; 2]) -> u16) -> Self {
        let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        let text: String =
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        Self { text: Cow::Owned(text), form: Form::Utf16, skipped }
    }

    fn utf8_or_latin1(bytes: &'a [u8]) -> Self {
        // The piece may start inside a character, which has at most three following bytes.
        let skipped = match bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]) {
            Some(_) => 3,
            None => bytes.iter().take(3).take_while(|byte| (0x80..0xC0).contains(*byte)).count(),
        };
        let rest = &bytes[skipped..];
        match std::str::from_utf8(rest) {
            Ok(text) => Self { text: Cow::Borrowed(text), form: Form::Utf8, skipped },
            // It ends inside a character.
            Err(error) if error.error_len().is_none() => {
                let whole = String::from_utf8_lossy(&rest[..error.valid_up_to()]);
                Self { text: whole, form: Form::Utf8, skipped }
            }
            Err(_) => {
                let text: String = bytes.iter().copied().map(char::from).collect();
                Self { text: Cow::Owned(text), form: Form::Latin1, skipped: 0 }
            }
        }
    }

    /// How many bytes the first `end` bytes of the text were.
    fn bytes_of(&self, end: usize) -> usize {
        let text = &self.text[..end];
        let bytes = match self.form {
            Form::Utf8 => text.len(),
            Form::Utf16 => text.encode_utf16().count() * 2,
            Form::Latin1 => text.chars().count(),
        };
        self.skipped + bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "<event date='May 16 11:51:05' severity='4' hostName='PS-01' source='ConfigServer' module='AeXNetComms.dll' process='AeXNSAgent.exe' pid='1234' thread='5678' tickCount='99' ><![CDATA[Client policies updated]]></event>\r\n";
    const STATUS: &str = "<event date='May 16 11:51:09' severity='4' hostName='PS-01' source='Package Server' module='AeXNSCPackageServer.dll' process='AeXNSAgent.exe' pid='1234' thread='5678' tickCount='104' ><![CDATA[Package status sent\nfor 3 packages]]></event>\r\n";

    fn texts(bytes: &[u8]) -> Vec<String> {
        read_events(bytes).events.into_iter().map(|event| event.text).collect()
    }

    #[test]
    fn an_event_is_read_with_its_attributes_and_all_lines_of_its_text() {
        let piece = read_events(format!("{POLICY}{STATUS}").as_bytes());

        assert_eq!(
            piece.events[1],
            Event {
                date: "May 16 11:51:09".to_owned(),
                severity: Some(4),
                source: "Package Server".to_owned(),
                module: "AeXNSCPackageServer.dll".to_owned(),
                text: "Package status sent\nfor 3 packages".to_owned(),
            }
        );
        assert_eq!(piece.events.len(), 2);
    }

    #[test]
    fn the_published_form_is_read_though_the_piece_starts_and_ends_inside_an_event() {
        let log = include_bytes!("../../tests/fixtures/product/agent.log");

        let piece = read_events(log);

        let seen: Vec<(&str, &str, Option<u32>)> = piece
            .events
            .iter()
            .map(|event| (event.date.as_str(), event.source.as_str(), event.severity))
            .collect();
        assert_eq!(
            seen,
            [
                ("May 16 11:51:05", "CreateDirectoryPath", Some(2)),
                ("May 16 11:51:05", "EventTransport", Some(2)),
                ("Nov 08 14:23:41:011", "ConfigServer", Some(4)),
                ("Nov 08 14:23:44:920", "Package Server", Some(1)),
            ]
        );
        assert!(piece.events[2].text.contains("Server is busy"), "all lines of a text are its");
        assert!(log[piece.complete..].starts_with(b"\r\n<event date='Nov 08 14:23:45:000'"));
    }

    #[test]
    fn a_piece_cut_at_any_byte_gives_the_whole_events_before_the_cut_and_the_rest_later() {
        let log = format!("{POLICY}{STATUS}{POLICY}");
        let whole = texts(log.as_bytes());

        for cut in 0..=log.len() {
            let first = read_events(&log.as_bytes()[..cut]);
            let rest = read_events(&log.as_bytes()[first.complete..]);
            let seen: Vec<String> =
                first.events.into_iter().chain(rest.events).map(|event| event.text).collect();
            assert_eq!(seen, whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_piece_that_starts_inside_an_event_gives_the_events_after_it() {
        for start in 1..POLICY.len() {
            assert_eq!(
                texts(&format!("{POLICY}{STATUS}").as_bytes()[start..]),
                ["Package status sent\nfor 3 packages"],
                "from {start}"
            );
        }
    }

    #[test]
    fn other_encodings_are_read_and_their_bytes_counted() {
        let log = format!("{POLICY}{}", STATUS.replace("sent", "gesendet: fünf"));
        let utf16: Vec<u8> =
            log.encode_utf16().flat_map(u16::to_le_bytes).chain([0x3C, 0x00]).collect();
        let marked: Vec<u8> =
            [0xFE, 0xFF].into_iter().chain(log.encode_utf16().flat_map(u16::to_be_bytes)).collect();
        let latin1: Vec<u8> =
            log.chars().map(|c| u8::try_from(u32::from(c)).expect("latin")).collect();

        for (bytes, tail) in [(utf16, 6), (marked, 4), (latin1, 2)] {
            let piece = read_events(&bytes);
            assert_eq!(piece.events[1].text, "Package status gesendet: fünf\nfor 3 packages");
            assert_eq!(piece.complete, bytes.len() - tail);
        }
    }

    #[test]
    fn an_event_that_a_crash_tore_off_does_not_swallow_the_next_one() {
        let torn = STATUS.split("]]>").next().expect("a part");

        let log = format!("{torn}\n{POLICY}");

        assert_eq!(
            texts(log.as_bytes()),
            ["Package status sent\nfor 3 packages", "Client policies updated"]
        );
    }

    #[test]
    fn odd_forms_are_tolerated() {
        let log = "<event\tseverity=\"2\" odd date='x>y'>a &lt;b&gt;</event><events/><event ><![CDATA[1]]]]><![CDATA[>2]]></event>";

        let events = read_events(log.as_bytes()).events;

        assert_eq!((events[0].date.as_str(), events[0].text.as_str()), ("", "a <b>"));
        assert_eq!(events[1].text, "1]]>2");
    }

    #[test]
    fn a_mark_moves_behind_whole_events_only_and_starts_again_with_a_new_log() {
        let half = &STATUS[..40];
        let mut mark = LogMark::at_end(1000);

        let offset = mark.offset(1000 + 500);
        let events = mark.take(offset, format!("{POLICY}{half}").as_bytes(), 1 << 20);

        assert_eq!((offset, events.len()), (1000, 1));
        assert_eq!(mark, LogMark(1000 + POLICY.trim_end().len() as u64));
        assert_eq!(mark.offset(10), 0);
    }

    #[test]
    fn a_window_without_an_event_is_passed() {
        let mut mark = LogMark::at_end(0);

        assert!(mark.take(0, &[b'x'; 64], 64).is_empty());
        assert_eq!(mark, LogMark(64));
    }
}
