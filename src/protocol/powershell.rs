//! How a constant PowerShell script, its input and its result travel through a remote shell.
//!
//! The script is the `-EncodedCommand` argument: it needs no quoting and is the same for every
//! host. The input is one line of base64 JSON on standard input, the result one line
//! `FLEETMEND:` and base64 JSON on standard output: neither is touched by code pages, by the
//! console's width or by quoting. Both halves are here: the controller writes a command and reads
//! a result, a simulated machine does the opposite.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

/// The program, as `cmd.exe` finds it.
pub const PROGRAM: &str = "powershell.exe";
/// The program where no `cmd.exe` looks it up.
pub const PROGRAM_PATH: &str = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe";
/// What a result line begins with.
pub const RESULT_MARK: &str = "FLEETMEND:";

const SWITCHES: [&str; 5] =
    ["-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-EncodedCommand"];

/// A script's input or result could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// There is no line that begins with [`RESULT_MARK`].
    #[error("the output has no result line")]
    NoResult,
    /// There is more than one, so that none can be trusted.
    #[error("the output has more than one result line")]
    SeveralResults,
    /// The line is not base64.
    #[error("the line is not base64")]
    NotBase64(#[source] base64::DecodeError),
    /// The content is not JSON.
    #[error("the line is not JSON")]
    NotJson(#[source] serde_json::Error),
}

/// The arguments that make [`PROGRAM`] run a script.
pub fn arguments(script: &str) -> Vec<String> {
    let bytes: Vec<u8> = script.encode_utf16().flat_map(u16::to_le_bytes).collect();
    SWITCHES.iter().map(|switch| (*switch).to_owned()).chain([BASE64.encode(bytes)]).collect()
}

/// Reads the script back out of a command and its arguments; `None` when it is another command.
///
/// The arguments may come one by one or joined, in the command or beside it.
pub fn script_of(command: &str, arguments: &[String]) -> Option<String> {
    let mut words = command
        .split_ascii_whitespace()
        .chain(arguments.iter().flat_map(|argument| argument.split_ascii_whitespace()));
    let program = words.next()?.trim_matches('"');
    let name = program.rsplit(['\\', '/']).next().unwrap_or(program);
    if !name.eq_ignore_ascii_case("powershell.exe") && !name.eq_ignore_ascii_case("powershell") {
        return None;
    }
    words.find(|word| {
        ["-EncodedCommand", "-enc", "-e", "-ec"].iter().any(|name| word.eq_ignore_ascii_case(name))
    })?;
    let bytes = BASE64.decode(words.next()?).ok()?;
    let (units, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    String::from_utf16(&units.iter().map(|unit| u16::from_le_bytes(*unit)).collect::<Vec<_>>()).ok()
}

/// The bytes of standard input that carry a script's input.
pub fn write_input(input: &Value) -> Vec<u8> {
    let mut line = BASE64.encode(input.to_string()).into_bytes();
    line.extend_from_slice(b"\r\n");
    line
}

/// Reads a script's input out of its standard input.
///
/// # Errors
///
/// [`ExchangeError`] when it is not one line of base64 JSON.
pub fn read_input(stdin: &[u8]) -> Result<Value, ExchangeError> {
    decode(stdin)
}

/// The line of standard output that carries a result.
pub fn write_result(result: &Value) -> Vec<u8> {
    format!("{RESULT_MARK}{}\r\n", BASE64.encode(result.to_string())).into_bytes()
}

/// Finds and reads the result line in standard output.
///
/// # Errors
///
/// [`ExchangeError`] when there is not exactly one such line, or it is not base64 JSON.
pub fn read_result(stdout: &[u8]) -> Result<Value, ExchangeError> {
    let mut results = stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_prefix(RESULT_MARK.as_bytes()));
    let result = results.next().ok_or(ExchangeError::NoResult)?;
    if results.next().is_some() {
        return Err(ExchangeError::SeveralResults);
    }
    decode(result)
}

fn decode(line: &[u8]) -> Result<Value, ExchangeError> {
    let json = BASE64.decode(line.trim_ascii()).map_err(ExchangeError::NotBase64)?;
    serde_json::from_slice(&json).map_err(ExchangeError::NotJson)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_script_is_read_back_from_separate_and_from_joined_arguments() {
        let script = "'ü' | Out-String # 😀";
        let arguments = arguments(script);
        let joined = arguments.join(" ");

        assert_eq!(script_of(PROGRAM, &arguments).as_deref(), Some(script));
        assert_eq!(script_of(PROGRAM_PATH, std::slice::from_ref(&joined)).as_deref(), Some(script));
        assert_eq!(script_of(&format!("PowerShell {joined}"), &[]).as_deref(), Some(script));
        assert_eq!(script_of("cmd.exe", &arguments), None);
        assert_eq!(script_of(PROGRAM, &[]), None);
    }

    #[test]
    fn input_and_result_survive_whatever_else_is_printed() {
        let value = json!({"path": "C:\\Ü\n", "n": [1, null]});
        let mut stdout = b"noise\r\n".to_vec();
        stdout.extend(write_result(&value));
        stdout.extend(b"more FLEETMEND: noise\r\n");

        assert_eq!(read_result(&stdout).unwrap(), value);
        assert_eq!(read_input(&write_input(&value)).unwrap(), value);
    }

    #[test]
    fn no_result_two_results_and_a_cut_result_are_errors() {
        let line = write_result(&json!({"a": 1}));
        let twice = [line.clone(), line.clone()].concat();

        assert!(matches!(read_result(b"x\r\n"), Err(ExchangeError::NoResult)));
        assert!(matches!(read_result(&twice), Err(ExchangeError::SeveralResults)));
        assert!(read_result(&line[..line.len() - 6]).is_err());
    }
}
