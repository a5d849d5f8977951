//! A command and what it printed.

use crate::protocol::powershell;

use super::WinRmError;

/// The longest command line `cmd.exe` takes, in UTF-16 units (KB830473).
const CMD_LIMIT: usize = 8_191;
/// The longest command line Windows takes (`CreateProcess`), its end included.
const PROCESS_LIMIT: usize = 32_766;

/// A command to run in a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// The program or command line.
    pub command: String,
    /// Its arguments; Windows joins them with spaces and quotes nothing.
    pub arguments: Vec<String>,
    /// Everything for its standard input, which then ends.
    pub stdin: Vec<u8>,
    /// Starts the program without `cmd.exe`; `command` must then be a full path.
    pub skip_cmd_shell: bool,
}

impl CommandLine {
    /// A command through `cmd.exe`, without input.
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            arguments: Vec::new(),
            stdin: Vec::new(),
            skip_cmd_shell: false,
        }
    }

    /// A constant PowerShell script with one line of input. A long one goes without `cmd.exe`.
    ///
    /// # Errors
    ///
    /// [`WinRmError::Settings`] when the script is too long for any command line, about 12,000
    /// characters.
    pub fn powershell(script: &str, stdin: Vec<u8>) -> Result<Self, WinRmError> {
        let mut line = Self {
            command: powershell::PROGRAM.to_owned(),
            arguments: powershell::arguments(script),
            stdin,
            skip_cmd_shell: false,
        };
        if line.length() > CMD_LIMIT {
            line.skip_cmd_shell = true;
            powershell::PROGRAM_PATH.clone_into(&mut line.command);
        }
        line.check()?;
        Ok(line)
    }

    fn length(&self) -> usize {
        let units = |text: &String| text.encode_utf16().count();
        units(&self.command) + self.arguments.iter().map(|a| 1 + units(a)).sum::<usize>()
    }

    /// Refuses what Windows would cut or refuse.
    pub(super) fn check(&self) -> Result<(), WinRmError> {
        let limit = if self.skip_cmd_shell { PROCESS_LIMIT } else { CMD_LIMIT };
        let length = self.length();
        if length > limit {
            return Err(WinRmError::Settings(format!(
                "the command line has {length} characters, {limit} are possible"
            )));
        }
        Ok(())
    }
}

/// What a command printed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandOutput {
    /// Standard output: the first bytes, up to the limit that is kept.
    pub stdout: Vec<u8>,
    /// Standard error, likewise.
    pub stderr: Vec<u8>,
    /// Output beyond the limit was read and dropped.
    pub is_cut: bool,
    /// An answer was lost on its way and asked for again. Nothing in [MS-WSMV] obliges a server to
    /// keep it, so some output may be missing.
    pub has_gap: bool,
    /// In how many answers standard output came.
    pub stdout_pieces: usize,
    /// The exit code; `None` where the server gave none.
    pub exit_code: Option<i32>,
}

/// How much output of one command is taken, both streams together, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimits {
    /// What is kept; the rest is read and dropped.
    pub kept: usize,
    /// What ends the command when it is exceeded.
    pub ended: usize,
}

impl Default for OutputLimits {
    fn default() -> Self {
        Self { kept: 8 * 1024 * 1024, ended: 64 * 1024 * 1024 }
    }
}

/// Gathers output under the limits.
#[derive(Debug)]
pub(super) struct OutputCollector {
    pub(super) output: CommandOutput,
    limits: OutputLimits,
    seen: usize,
}

impl OutputCollector {
    pub(super) fn new(limits: OutputLimits) -> Self {
        Self { output: CommandOutput::default(), limits, seen: 0 }
    }

    /// Takes a piece in; bytes are joined before anyone decodes them, so a piece may end inside a
    /// character.
    pub(super) fn push(&mut self, is_stdout: bool, data: &[u8]) -> Result<(), WinRmError> {
        let room =
            self.limits.kept.saturating_sub(self.output.stdout.len() + self.output.stderr.len());
        let kept = &data[..data.len().min(room)];
        let stream = if is_stdout { &mut self.output.stdout } else { &mut self.output.stderr };
        stream.extend_from_slice(kept);
        self.output.stdout_pieces += usize::from(is_stdout && !data.is_empty());
        self.output.is_cut |= kept.len() < data.len();
        self.seen += data.len();
        if self.seen > self.limits.ended {
            return Err(WinRmError::OutputLimit { limit: self.limits.ended });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_script_goes_through_cmd_a_long_one_without_it_and_a_huge_one_nowhere() {
        let short = CommandLine::powershell("'x'", Vec::new()).unwrap();
        let long = CommandLine::powershell(&"# comment\n".repeat(400), Vec::new()).unwrap();
        let huge = CommandLine::powershell(&"# comment\n".repeat(1_300), Vec::new());

        assert_eq!((short.command.as_str(), short.skip_cmd_shell), ("powershell.exe", false));
        assert_eq!((long.command.as_str(), long.skip_cmd_shell), (powershell::PROGRAM_PATH, true));
        assert!(matches!(huge, Err(WinRmError::Settings(_))));
    }

    #[test]
    fn output_is_kept_up_to_one_limit_and_the_command_ended_at_the_other() {
        let mut collector = OutputCollector::new(OutputLimits::default());
        let piece = vec![b'x'; 1024 * 1024];

        for _ in 0..64 {
            collector.push(true, &piece).unwrap();
        }

        assert_eq!(collector.output.stdout.len(), 8 * 1024 * 1024);
        assert!(collector.output.is_cut);
        assert!(matches!(collector.push(false, b"y"), Err(WinRmError::OutputLimit { .. })));
    }
}
