//! What a simulated machine does with a command line.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::clock::LiveWorld;
use super::front::{CommandReply, CommandRequest, Machine};
use super::world::MachineId;
use crate::protocol::powershell;

/// How long Windows takes to start PowerShell, in the world's time.
const POWERSHELL: Duration = Duration::from_millis(700);
/// How long any other command takes, in the world's time.
const COMMAND: Duration = Duration::from_millis(50);

/// One machine of a live world, as its remote shells see it.
///
/// It knows the controller's own scripts by name, and a few plain commands. Everything else ends
/// with exit code 1 and `not simulated: …`, never with a silent success.
#[derive(Debug)]
pub struct LabMachine {
    world: Arc<LiveWorld>,
    id: MachineId,
}

impl LabMachine {
    /// The machine `id` of a world.
    pub fn new(world: Arc<LiveWorld>, id: MachineId) -> Self {
        Self { world, id }
    }

    fn script(&self, text: &str, stdin: &[u8]) -> CommandReply {
        let input = match powershell::read_input(stdin) {
            Ok(input) => input,
            Err(error) => return failed(&format!("the script's input could not be read: {error}")),
        };
        match self.world.with(|world| world.run_script(self.id, text, &input)) {
            Ok(result) => CommandReply {
                stdout: powershell::write_result(&result),
                ..CommandReply::default()
            },
            Err(text) => failed(&text),
        }
    }

    fn plain(&self, request: &CommandRequest) -> CommandReply {
        let line = std::iter::once(request.command.as_str())
            .chain(request.arguments.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(" ");
        let line = line.trim();
        let inner = ["cmd /c ", "cmd.exe /c "]
            .iter()
            .find_map(|shell| {
                let start = line.get(..shell.len())?;
                start.eq_ignore_ascii_case(shell).then(|| line[shell.len()..].trim())
            })
            .unwrap_or(line);
        let (program, rest) = inner.split_once(char::is_whitespace).unwrap_or((inner, ""));
        let program = program.trim_matches('"').to_ascii_lowercase();
        let rest = rest.trim();
        match (program.strip_suffix(".exe").unwrap_or(&program), rest) {
            ("hostname", "") => printed(&self.computer()),
            ("whoami", "") => printed(&request.user.to_lowercase()),
            ("ver", "") => printed("\r\nMicrosoft Windows [Version 10.0.17763.5936] (simulated)"),
            ("echo", text) => printed(text),
            ("schtasks", options) if is_csv_query(options) => printed(&self.tasks()),
            _ => failed(&format!("not simulated: `{line}`")),
        }
    }

    fn computer(&self) -> String {
        self.world.with(|world| world.computer(self.id))
    }

    /// `schtasks /query /fo csv`, as English Windows prints it.
    fn tasks(&self) -> String {
        let mut lines = vec!["\"TaskName\",\"Next Run Time\",\"Status\"".to_owned()];
        for (name, status) in self.world.with(|world| world.task_states(self.id)) {
            lines.push(format!("\"\\{name}\",\"N/A\",\"{status}\""));
        }
        lines.join("\r\n")
    }
}

fn is_csv_query(options: &str) -> bool {
    let options: Vec<String> =
        options.split_ascii_whitespace().map(str::to_ascii_lowercase).collect();
    options == ["/query", "/fo", "csv"]
}

fn printed(text: &str) -> CommandReply {
    CommandReply { stdout: format!("{text}\r\n").into_bytes(), ..CommandReply::default() }
}

fn failed(text: &str) -> CommandReply {
    CommandReply {
        stderr: format!("{text}\r\n").into_bytes(),
        exit_code: 1,
        ..CommandReply::default()
    }
}

#[async_trait]
impl Machine for LabMachine {
    async fn run(&self, request: CommandRequest) -> CommandReply {
        match powershell::script_of(&request.command, &request.arguments) {
            Some(text) => {
                tokio::time::sleep(self.world.to_real(POWERSHELL)).await;
                self.script(&text, &request.stdin)
            }
            None => {
                tokio::time::sleep(self.world.to_real(COMMAND)).await;
                self.plain(&request)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::lab::cmdb::Cmdb;
    use crate::lab::world::{FaultPlan, FleetSpec, World};
    use crate::model::TimeScale;

    fn machine() -> LabMachine {
        let spec = FleetSpec::new(3, 5, "2026-05-16T20:00:00Z".parse().unwrap());
        let world = World::new(spec, &FaultPlan::none());
        let live =
            LiveWorld::start(world, TimeScale::new(1000.0).unwrap(), Cmdb::new().unwrap()).unwrap();
        LabMachine::new(live, MachineId::NotificationServer)
    }

    fn request(command: &str, arguments: &[String], stdin: &[u8]) -> CommandRequest {
        CommandRequest {
            user: r"LAB\fleet-admin".to_owned(),
            command: command.to_owned(),
            arguments: arguments.to_vec(),
            stdin: stdin.to_vec(),
        }
    }

    async fn script(machine: &LabMachine, text: &str, input: &Value) -> CommandReply {
        let arguments = powershell::arguments(text);
        let stdin = powershell::write_input(input);
        machine.run(request(powershell::PROGRAM, &arguments, &stdin)).await
    }

    #[tokio::test]
    async fn a_script_is_known_by_its_first_line_and_answered_from_the_model() {
        let machine = machine();

        let reply = script(&machine, "# fleetmend host-facts 1\r\n$x = 1", &json!({})).await;
        let facts = powershell::read_result(&reply.stdout).unwrap();

        assert_eq!(facts["computer"], "SMP01");
        assert_eq!(facts["agent"], Value::Null);
        assert_eq!(reply.exit_code, 0);
    }

    #[tokio::test]
    async fn what_is_not_simulated_says_so_and_fails() {
        let machine = machine();

        let unknown = script(&machine, "Get-Process", &json!({})).await;
        let command = machine.run(request("format c:", &[], &[])).await;

        for reply in [unknown, command] {
            assert!(reply.stderr.starts_with(b"not simulated: "), "{reply:?}");
            assert_eq!((reply.exit_code, reply.stdout.len()), (1, 0));
        }
    }

    #[tokio::test]
    async fn a_few_plain_commands_answer_as_windows_does() {
        let machine = machine();
        let run = async |line: &str| {
            let reply = machine.run(request(line, &[], &[])).await;
            String::from_utf8(reply.stdout).unwrap()
        };

        assert_eq!(run("hostname").await, "SMP01\r\n");
        assert_eq!(run("cmd /c whoami").await, "lab\\fleet-admin\r\n");
        assert_eq!(run("echo hello  there").await, "hello  there\r\n");
        assert!(run("schtasks.exe /query /fo csv").await.contains("\"\\NS.Package Refresh.{"));
    }
}
