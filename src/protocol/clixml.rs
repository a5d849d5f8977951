//! PowerShell's CLIXML on standard error, as readable text.
//!
//! `powershell.exe` with redirected output writes its error, warning, verbose and progress
//! records as XML after the line `#< CLIXML`. The text is wrapped at the console's width inside
//! records, control characters are written `_xHHHH_`, and the end may be missing.

/// Turns standard error of PowerShell into text: errors and warnings are kept, progress records
/// are dropped. What is not CLIXML is returned as it is.
///
/// Never fails: a cut document gives the text up to the cut.
pub fn readable(stderr: &str) -> String {
    const MARK: &str = "#< CLIXML";
    let Some(at) = stderr.find(MARK) else {
        return stderr.to_owned();
    };
    let mut text = stderr[..at].to_owned();
    // A program that PowerShell started may have written between two documents.
    for document in stderr[at..].split(MARK).skip(1) {
        push_records(&mut text, document);
    }
    text
}

fn push_records(text: &mut String, document: &str) {
    let mut rest = document;
    let mut first_error = true;
    while let Some(start) = rest.find("<S S=\"") {
        let after = &rest[start + "<S S=\"".len()..];
        let Some((stream, after)) = after.split_once("\">") else {
            return;
        };
        let (record, next) = match after.split_once("</S>") {
            Some((record, next)) => (record, next),
            // The document is cut inside this record; a reference cut in half is left out.
            None => (
                after.rfind('&').map_or(after, |cut| {
                    if after[cut..].contains(';') { after } else { &after[..cut] }
                }),
                "",
            ),
        };
        let label = match stream {
            "Error" | "error" => "",
            "Warning" | "warning" => "WARNING: ",
            "Verbose" | "verbose" => "VERBOSE: ",
            "Debug" | "debug" => "DEBUG: ",
            "Information" | "information" => "",
            _ => {
                rest = next;
                continue;
            }
        };
        if first_error && !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        first_error = false;
        text.push_str(label);
        push_unescaped(text, record);
        rest = next;
    }
}

/// Undoes XML references, then `_xHHHH_`, UTF-16 surrogate pairs included.
fn push_unescaped(text: &mut String, record: &str) {
    let decoded = quick_xml::escape::unescape(record).unwrap_or_else(|_| record.into());
    let mut units: Vec<u16> = Vec::new();
    let flush = |units: &mut Vec<u16>, text: &mut String| {
        text.push_str(&String::from_utf16_lossy(units));
        units.clear();
    };
    let mut rest = decoded.as_ref();
    while !rest.is_empty() {
        let unit = rest
            .strip_prefix("_x")
            .and_then(|after| Some((after.get(..4)?, after.get(4..)?.strip_prefix('_')?)))
            .and_then(|(hex, after)| Some((u16::from_str_radix(hex, 16).ok()?, after)));
        match unit {
            Some((unit, after)) => {
                // Records end in CR LF; text on this side has line feeds only.
                if unit != 0x0d {
                    units.push(unit);
                }
                rest = after;
            }
            None => {
                flush(&mut units, text);
                let next = rest.char_indices().skip(1).find(|(_, c)| *c == '_');
                let next = next.map_or(rest.len(), |(at, _)| at);
                text.push_str(&rest[..next]);
                rest = &rest[next..];
            }
        }
    }
    flush(&mut units, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "#< CLIXML\r\n<Objs Version=\"1.1.0.1\" xmlns=\"http://schemas.microsoft.com/powershell/2004/04\">";

    #[test]
    fn errors_and_warnings_are_text_and_progress_is_dropped() {
        let stderr = format!(
            "{HEAD}<Obj S=\"progress\" RefId=\"0\"><MS><I64 N=\"SourceId\">1</I64></MS></Obj>\
             <S S=\"Error\">The path &lt;C:\\x&gt; is gone._x000D__x000A_</S>\
             <S S=\"warning\">low_x0020_space_x000D__x000A_</S></Objs>"
        );

        assert_eq!(readable(&stderr), "The path <C:\\x> is gone.\nWARNING: low space\n");
    }

    #[test]
    fn a_document_cut_anywhere_gives_the_text_up_to_the_cut() {
        let stderr =
            format!("{HEAD}<S S=\"Error\">one &amp; ü _x000A_two_x000D__x000A_</S></Objs>");
        let whole = readable(&stderr);

        for (end, _) in stderr.char_indices() {
            let part = readable(&stderr[..end]);
            let common = part.chars().zip(whole.chars()).take_while(|(a, b)| a == b).count();
            // Only an unfinished `_xHHHH_` or the document's mark itself may differ at the end.
            assert!(end < HEAD.len() || part.chars().count() - common <= 7, "{end}: {part:?}");
        }
        assert_eq!(whole, "one & ü \ntwo\n");
    }

    #[test]
    fn plain_text_and_text_before_the_mark_are_kept() {
        assert_eq!(readable("access denied\r\n"), "access denied\r\n");
        assert_eq!(
            readable(&format!("first{HEAD}<S S=\"Error\">second</S></Objs>")),
            "first\nsecond"
        );
    }

    #[test]
    fn escapes_of_surrogate_pairs_and_what_only_looks_like_an_escape_are_read() {
        let stderr = format!("{HEAD}<S S=\"Error\">_xD83D__xDE00_ a_b _x12 _xZZZZ_ é_x0041_</S>");

        assert_eq!(readable(&stderr), "😀 a_b _x12 _xZZZZ_ éA");
    }
}
