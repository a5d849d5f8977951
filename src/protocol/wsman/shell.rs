//! The messages of a remote shell: what is asked and what is answered.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::fault::Fault;
use super::xml::{Element, push_element};
use super::{WsmanError, duration, uri};

/// Opens a shell ([MS-WSMV] 3.1.4.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateShell {
    /// The identifier the client wishes, an upper-case GUID. A client that chose it can delete the
    /// shell even if the answer was lost.
    pub shell_id: Option<String>,
    /// `WINRS_NOPROFILE`: the user's profile is not loaded.
    pub no_profile: bool,
    /// `WINRS_CODEPAGE`: 65001 is UTF-8; without it the console's own code page is used.
    pub code_page: Option<u32>,
    /// The directory commands start in.
    pub working_directory: Option<String>,
    /// How long the server keeps the shell without a request; Windows allows 60 s and more.
    pub idle_timeout: Option<Duration>,
}

/// Starts a command in a shell ([MS-WSMV] 3.1.4.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartCommand {
    /// The program or the command line.
    pub command: String,
    /// Its arguments; Windows joins them with spaces and quotes nothing.
    pub arguments: Vec<String>,
    /// `WINRS_CONSOLEMODE_STDIN`: standard input is a console, not a pipe.
    pub console_stdin: bool,
    /// `WINRS_SKIP_CMD_SHELL`: the program is started without `cmd.exe`, so that its command
    /// line may have 32,767 instead of 8,191 characters.
    pub skip_cmd_shell: bool,
}

/// Gives a running command input ([MS-WSMV] 3.1.4.13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendInput {
    /// The command it is for.
    pub command_id: String,
    /// The bytes.
    pub data: Vec<u8>,
    /// No more will follow: the command reads the end of its standard input.
    pub end: bool,
}

/// What a `Signal` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalCode {
    /// The process is ended and its resources are released.
    Terminate,
    /// Control-C reaches the process.
    CtrlC,
}

impl SignalCode {
    fn uri(self) -> &'static str {
        match self {
            Self::Terminate => {
                "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/signal/terminate"
            }
            Self::CtrlC => "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/signal/ctrl_c",
        }
    }

    fn read(text: &str) -> Option<Self> {
        // Clients differ in the case of the last word.
        [Self::Terminate, Self::CtrlC]
            .into_iter()
            .find(|code| code.uri().eq_ignore_ascii_case(text))
    }
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Open a shell.
    Create(CreateShell),
    /// Start a command.
    Command(StartCommand),
    /// Wait for output of this command.
    Receive {
        /// The command.
        command_id: String,
    },
    /// Send it input.
    Send(SendInput),
    /// Signal it.
    Signal {
        /// The command.
        command_id: String,
        /// What is asked of it.
        code: SignalCode,
    },
    /// Delete the shell with everything in it.
    Delete,
    /// Ask what the server is, also without authentication.
    Identify,
    /// A request this codec does not cover; servers answer it with a fault.
    Other {
        /// Its action address.
        action: String,
    },
}

impl Request {
    /// The word by which logs and faults name the request.
    pub fn name(&self) -> &str {
        match self {
            Self::Create(_) => "Create",
            Self::Command(_) => "Command",
            Self::Receive { .. } => "Receive",
            Self::Send(_) => "Send",
            Self::Signal { .. } => "Signal",
            Self::Delete => "Delete",
            Self::Identify => "Identify",
            Self::Other { action } => action.rsplit('/').next().unwrap_or(action),
        }
    }

    /// The action address; empty for `Identify`, which has none.
    pub(super) fn action(&self) -> &str {
        match self {
            Self::Create(_) => "http://schemas.xmlsoap.org/ws/2004/09/transfer/Create",
            Self::Command(_) => "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/Command",
            Self::Receive { .. } => {
                "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/Receive"
            }
            Self::Send(_) => "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/Send",
            Self::Signal { .. } => "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/Signal",
            Self::Delete => "http://schemas.xmlsoap.org/ws/2004/09/transfer/Delete",
            Self::Identify => "",
            Self::Other { action } => action,
        }
    }

    /// The `OptionSet` the header carries for this request.
    pub(super) fn options(&self) -> Vec<(&'static str, String)> {
        let flag = |set: bool| if set { "TRUE" } else { "FALSE" }.to_owned();
        match self {
            Self::Create(create) => {
                let mut options = vec![("WINRS_NOPROFILE", flag(create.no_profile))];
                if let Some(page) = create.code_page {
                    options.push(("WINRS_CODEPAGE", page.to_string()));
                }
                options
            }
            Self::Command(start) => vec![
                ("WINRS_CONSOLEMODE_STDIN", flag(start.console_stdin)),
                ("WINRS_SKIP_CMD_SHELL", flag(start.skip_cmd_shell)),
            ],
            // As the clients of Windows itself send it.
            Self::Receive { .. } => vec![("WSMAN_CMDSHELL_OPTION_KEEPALIVE", flag(true))],
            Self::Send(_)
            | Self::Signal { .. }
            | Self::Delete
            | Self::Identify
            | Self::Other { .. } => Vec::new(),
        }
    }

    pub(super) fn write(&self, out: &mut String) {
        match self {
            Self::Create(create) => {
                match &create.shell_id {
                    Some(id) => {
                        out.push_str("<rsp:Shell ShellId=\"");
                        super::xml::push_text(out, id);
                        out.push_str("\">");
                    }
                    None => out.push_str("<rsp:Shell>"),
                }
                if let Some(directory) = &create.working_directory {
                    push_element(out, "rsp:WorkingDirectory", "", directory);
                }
                if let Some(idle) = create.idle_timeout {
                    push_element(out, "rsp:IdleTimeOut", "", &duration::write(idle));
                }
                push_element(out, "rsp:InputStreams", "", "stdin");
                push_element(out, "rsp:OutputStreams", "", "stdout stderr");
                out.push_str("</rsp:Shell>");
            }
            Self::Command(start) => {
                out.push_str("<rsp:CommandLine>");
                push_element(out, "rsp:Command", "", &start.command);
                for argument in &start.arguments {
                    push_element(out, "rsp:Arguments", "", argument);
                }
                out.push_str("</rsp:CommandLine>");
            }
            Self::Receive { command_id } => {
                out.push_str("<rsp:Receive><rsp:DesiredStream CommandId=\"");
                super::xml::push_text(out, command_id);
                out.push_str("\">stdout stderr</rsp:DesiredStream></rsp:Receive>");
            }
            Self::Send(input) => {
                out.push_str("<rsp:Send><rsp:Stream Name=\"stdin\" CommandId=\"");
                super::xml::push_text(out, &input.command_id);
                out.push_str(if input.end { "\" End=\"true\">" } else { "\">" });
                BASE64.encode_string(&input.data, out);
                out.push_str("</rsp:Stream></rsp:Send>");
            }
            Self::Signal { command_id, code } => {
                out.push_str("<rsp:Signal CommandId=\"");
                super::xml::push_text(out, command_id);
                out.push_str("\">");
                push_element(out, "rsp:Code", "", code.uri());
                out.push_str("</rsp:Signal>");
            }
            Self::Identify => out.push_str("<wsmid:Identify/>"),
            Self::Delete | Self::Other { .. } => {}
        }
    }

    /// Reads the body of a request by its action.
    pub(super) fn read(
        action: &str,
        options: &[(String, String)],
        body: &Element,
    ) -> Result<Self, WsmanError> {
        let option = |name: &str| {
            options.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
        };
        let is_set = |name: &str| {
            option(name).is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
        };
        let shell = |name: &str| body.child(uri::SHELL, name);
        let part = action.strip_prefix(uri::SHELL).and_then(|part| part.strip_prefix('/'));
        match part.or_else(|| action.strip_prefix(uri::TRANSFER)).unwrap_or_default() {
            "/Create" => {
                let content = shell("Shell");
                let text = |name| content.and_then(|shell| shell.child_text(uri::SHELL, name));
                Ok(Self::Create(CreateShell {
                    shell_id: content
                        .and_then(|shell| shell.attribute("ShellId"))
                        .map(str::to_owned),
                    no_profile: is_set("WINRS_NOPROFILE"),
                    code_page: option("WINRS_CODEPAGE").and_then(|page| page.parse().ok()),
                    working_directory: text("WorkingDirectory").map(str::to_owned),
                    idle_timeout: text("IdleTimeOut").and_then(duration::read),
                }))
            }
            "/Delete" => Ok(Self::Delete),
            "Command" => {
                let line = shell("CommandLine")
                    .ok_or(WsmanError::Message("a Command without a CommandLine"))?;
                Ok(Self::Command(StartCommand {
                    command: line
                        .child(uri::SHELL, "Command")
                        .map(|command| command.text.clone())
                        .ok_or(WsmanError::Message("a CommandLine without a Command"))?,
                    arguments: line
                        .children(uri::SHELL, "Arguments")
                        .map(|argument| argument.text.clone())
                        .collect(),
                    console_stdin: is_set("WINRS_CONSOLEMODE_STDIN"),
                    skip_cmd_shell: is_set("WINRS_SKIP_CMD_SHELL"),
                }))
            }
            "Receive" => Ok(Self::Receive {
                command_id: shell("Receive")
                    .and_then(|receive| receive.child(uri::SHELL, "DesiredStream"))
                    .and_then(|stream| stream.attribute("CommandId"))
                    .ok_or(WsmanError::Message("a Receive without a CommandId"))?
                    .to_owned(),
            }),
            "Send" => {
                let mut input = None;
                for stream in shell("Send").into_iter().flat_map(|send| &send.children) {
                    let command_id = stream
                        .attribute("CommandId")
                        .ok_or(WsmanError::Message("a Send without a CommandId"))?;
                    let input = input.get_or_insert_with(|| SendInput {
                        command_id: command_id.to_owned(),
                        data: Vec::new(),
                        end: false,
                    });
                    decode_stream(stream, &mut input.data)?;
                    input.end |= is_true(stream.attribute("End"));
                }
                input.map(Self::Send).ok_or(WsmanError::Message("a Send without a Stream"))
            }
            "Signal" => {
                let signal =
                    shell("Signal").ok_or(WsmanError::Message("a Signal without a Signal"))?;
                Ok(Self::Signal {
                    command_id: signal
                        .attribute("CommandId")
                        .ok_or(WsmanError::Message("a Signal without a CommandId"))?
                        .to_owned(),
                    code: signal
                        .child_text(uri::SHELL, "Code")
                        .and_then(SignalCode::read)
                        .ok_or(WsmanError::Message("a Signal with an unknown code"))?,
                })
            }
            _ => Ok(Self::Other { action: action.to_owned() }),
        }
    }
}

/// Whether a command still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandState {
    /// It was accepted and has not started.
    Pending,
    /// It runs, or output of it is left.
    Running,
    /// It has ended and all its output was delivered; the exit code, where there is one.
    Done(Option<i32>),
}

/// The stream a piece of output belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The answer to a `Receive`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The command it belongs to.
    pub command_id: String,
    /// Pieces of output in order; a piece may end inside a UTF-8 character.
    pub output: Vec<(OutputStream, Vec<u8>)>,
    /// Whether more will follow.
    pub state: CommandState,
}

/// What `Identify` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd`.
    pub protocol: String,
    /// `Microsoft Corporation`, or whoever built the server.
    pub vendor: String,
    /// The version; Windows hides its own before authentication.
    pub version: String,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// A shell was opened.
    Created {
        /// Its identifier.
        shell_id: String,
    },
    /// A command was started.
    Started {
        /// Its identifier.
        command_id: String,
    },
    /// Output, possibly none.
    Received(Received),
    /// Input was taken.
    Sent,
    /// The signal was delivered.
    Signalled,
    /// The shell is gone.
    Deleted,
    /// What the server is.
    Identified(Identity),
    /// The request was refused or failed.
    Fault(Fault),
}

impl Response {
    pub(super) fn action(&self) -> &'static str {
        match self {
            Self::Created { .. } => "http://schemas.xmlsoap.org/ws/2004/09/transfer/CreateResponse",
            Self::Started { .. } => {
                "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/CommandResponse"
            }
            Self::Received(_) => {
                "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/ReceiveResponse"
            }
            Self::Sent => "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/SendResponse",
            Self::Signalled => {
                "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/SignalResponse"
            }
            Self::Deleted => "http://schemas.xmlsoap.org/ws/2004/09/transfer/DeleteResponse",
            Self::Identified(_) => "",
            Self::Fault(_) => uri::FAULT_ACTION,
        }
    }

    pub(super) fn write(&self, out: &mut String, machine: &str) {
        match self {
            Self::Created { shell_id } => {
                out.push_str("<x:ResourceCreated>");
                push_element(out, "a:Address", "", uri::ANONYMOUS);
                out.push_str("<a:ReferenceParameters>");
                push_element(out, "w:ResourceURI", "", uri::CMD_SHELL);
                out.push_str("<w:SelectorSet>");
                push_element(out, "w:Selector", " Name=\"ShellId\"", shell_id);
                out.push_str("</w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>");
                out.push_str("<rsp:Shell>");
                push_element(out, "rsp:ShellId", "", shell_id);
                push_element(out, "rsp:ResourceUri", "", uri::CMD_SHELL);
                push_element(out, "rsp:InputStreams", "", "stdin");
                push_element(out, "rsp:OutputStreams", "", "stdout stderr");
                out.push_str("</rsp:Shell>");
            }
            Self::Started { command_id } => {
                out.push_str("<rsp:CommandResponse>");
                push_element(out, "rsp:CommandId", "", command_id);
                out.push_str("</rsp:CommandResponse>");
            }
            Self::Received(received) => write_received(received, out),
            Self::Sent => out.push_str("<rsp:SendResponse/>"),
            Self::Signalled => out.push_str("<rsp:SignalResponse/>"),
            Self::Deleted => {}
            Self::Identified(identity) => {
                out.push_str("<wsmid:IdentifyResponse>");
                push_element(out, "wsmid:ProtocolVersion", "", &identity.protocol);
                push_element(out, "wsmid:ProductVendor", "", &identity.vendor);
                push_element(out, "wsmid:ProductVersion", "", &identity.version);
                out.push_str("</wsmid:IdentifyResponse>");
            }
            Self::Fault(fault) => fault.write(out, machine),
        }
    }

    /// Reads the body of an answer. The body decides, not the action: servers spell that freely.
    pub(super) fn read(action: &str, body: &Element) -> Result<Self, WsmanError> {
        let Some(first) = body.children.first() else {
            return if action.ends_with("/DeleteResponse") {
                Ok(Self::Deleted)
            } else {
                Err(WsmanError::Message("an answer without a body"))
            };
        };
        let shell_id = || {
            body.child(uri::TRANSFER, "ResourceCreated")
                .and_then(|created| created.child(uri::ADDRESSING, "ReferenceParameters"))
                .and_then(|parameters| parameters.child(uri::WSMAN, "SelectorSet"))
                .and_then(|set| {
                    set.children(uri::WSMAN, "Selector")
                        .find(|selector| selector.attribute("Name") == Some("ShellId"))
                })
                .map(|selector| selector.text.trim())
                .or_else(|| {
                    let shell = body.child(uri::SHELL, "Shell")?;
                    shell.child_text(uri::SHELL, "ShellId").or_else(|| shell.attribute("ShellId"))
                })
                .filter(|id| !id.is_empty())
                .map(str::to_owned)
        };
        match (first.namespace.as_str(), first.name.as_str()) {
            (uri::SOAP, "Fault") => Ok(Self::Fault(Fault::read(first))),
            (uri::TRANSFER, "ResourceCreated") | (uri::SHELL, "Shell") => shell_id()
                .map(|shell_id| Self::Created { shell_id })
                .ok_or(WsmanError::Message("a created shell without an identifier")),
            (uri::SHELL, "CommandResponse") => first
                .child_text(uri::SHELL, "CommandId")
                .filter(|id| !id.is_empty())
                .map(|id| Self::Started { command_id: id.to_owned() })
                .ok_or(WsmanError::Message("a started command without an identifier")),
            (uri::SHELL, "ReceiveResponse") => read_received(first).map(Self::Received),
            (uri::SHELL, "SendResponse") => Ok(Self::Sent),
            (uri::SHELL, "SignalResponse") => Ok(Self::Signalled),
            (uri::IDENTITY, "IdentifyResponse") => {
                let text =
                    |name| first.child_text(uri::IDENTITY, name).unwrap_or_default().to_owned();
                Ok(Self::Identified(Identity {
                    protocol: text("ProtocolVersion"),
                    vendor: text("ProductVendor"),
                    version: text("ProductVersion"),
                }))
            }
            (_, _) => Err(WsmanError::Message("an answer of an unknown kind")),
        }
    }
}

const STATE_DONE: &str =
    "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/CommandState/Done";
const STATE_RUNNING: &str =
    "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/CommandState/Running";
const STATE_PENDING: &str =
    "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/CommandState/Pending";

fn write_received(received: &Received, out: &mut String) {
    let stream = |out: &mut String, name: &str, end: bool, data: &[u8]| {
        out.push_str("<rsp:Stream Name=\"");
        out.push_str(name);
        out.push_str("\" CommandId=\"");
        super::xml::push_text(out, &received.command_id);
        out.push_str(if end { "\" End=\"true\">" } else { "\">" });
        BASE64.encode_string(data, out);
        out.push_str("</rsp:Stream>");
    };
    out.push_str("<rsp:ReceiveResponse>");
    for (kind, data) in &received.output {
        let name = match kind {
            OutputStream::Stdout => "stdout",
            OutputStream::Stderr => "stderr",
        };
        stream(out, name, false, data);
    }
    let (state, exit_code) = match received.state {
        CommandState::Pending => (STATE_PENDING, None),
        CommandState::Running => (STATE_RUNNING, None),
        CommandState::Done(exit_code) => {
            stream(out, "stdout", true, &[]);
            stream(out, "stderr", true, &[]);
            (STATE_DONE, exit_code)
        }
    };
    out.push_str("<rsp:CommandState CommandId=\"");
    super::xml::push_text(out, &received.command_id);
    out.push_str(&format!("\" State=\"{state}\">"));
    if let Some(code) = exit_code {
        push_element(out, "rsp:ExitCode", "", &code.to_string());
    }
    out.push_str("</rsp:CommandState></rsp:ReceiveResponse>");
}

fn read_received(body: &Element) -> Result<Received, WsmanError> {
    let mut output = Vec::new();
    let mut command_id = String::new();
    for stream in body.children(uri::SHELL, "Stream") {
        let kind = match stream.attribute("Name") {
            Some("stdout") => OutputStream::Stdout,
            Some("stderr") => OutputStream::Stderr,
            Some(_) | None => continue,
        };
        let mut data = Vec::new();
        decode_stream(stream, &mut data)?;
        if !data.is_empty() {
            output.push((kind, data));
        }
        command_id = stream.attribute("CommandId").unwrap_or_default().to_owned();
    }
    let state = body.child(uri::SHELL, "CommandState");
    if let Some(id) = state.and_then(|state| state.attribute("CommandId")) {
        command_id = id.to_owned();
    }
    let name = state
        .and_then(|state| state.attribute("State"))
        .and_then(|state| state.rsplit('/').next())
        .unwrap_or("Running");
    let state = match name {
        "Done" => CommandState::Done(
            // Windows writes some exit codes as unsigned numbers, 0xC0000005 for one.
            match state.and_then(|state| state.child_text(uri::SHELL, "ExitCode")) {
                None => None,
                Some(text) => Some(
                    text.parse::<i32>()
                        .or_else(|_| text.parse::<u32>().map(|code| code.cast_signed()))
                        .map_err(|_| WsmanError::Message("an exit code that is no number"))?,
                ),
            },
        ),
        "Pending" => CommandState::Pending,
        "Running" => CommandState::Running,
        _ => return Err(WsmanError::Message("an unknown command state")),
    };
    Ok(Received { command_id, output, state })
}

fn is_true(attribute: Option<&str>) -> bool {
    attribute.is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
}

fn decode_stream(stream: &Element, data: &mut Vec<u8>) -> Result<(), WsmanError> {
    let wrong = |_| WsmanError::Message("a stream that is not base64");
    if stream.text.contains(|c: char| c.is_ascii_whitespace()) {
        let text: String = stream.text.split_ascii_whitespace().collect();
        BASE64.decode_vec(text, data).map_err(wrong)
    } else {
        BASE64.decode_vec(&stream.text, data).map_err(wrong)
    }
}
