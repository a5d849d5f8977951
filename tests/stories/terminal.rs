//! A question at a real terminal: `script` of util-linux has the program talk to a pseudo-terminal,
//! where it asks, is answered by keys, and can be left.

#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::world::{SmallLab, World, text};

/// How long the program may take to say something: a bound for a test that hangs, never waited for.
const BOUND: Duration = Duration::from_secs(60);
const PLAYBOOK: &str = "\
- hosts: notification_servers
  tasks:
    - name: Hands at the console
      confirm: { name: acc-restored, say: The credential was set again, type: REPLACE }
    - name: Afterwards
      assert: { that: 'true' }
";

/// The program at a terminal of its own.
struct AtTerminal {
    child: Child,
    /// What the screen was sent, piece by piece.
    screen: mpsc::Receiver<Vec<u8>>,
    seen: String,
}

impl AtTerminal {
    fn start(world: &World, args: &[&str]) -> Self {
        let program = world.command(args);
        let quoted = std::iter::once(program.get_program()).chain(program.get_args());
        let quoted: Vec<String> =
            quoted.map(|word| format!("'{}'", word.to_str().expect("text"))).collect();
        let mut command = Command::new("/usr/bin/script");
        command.args([
            "--quiet",
            "--return",
            "--command",
            &format!("exec {}", quoted.join(" ")),
            "/dev/null",
        ]);
        command
            .env_clear()
            .envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("TERM", "xterm").env("SHELL", "/bin/sh");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("`script` of util-linux is installed");
        let mut out = child.stdout.take().expect("its output");
        let (pieces, screen) = mpsc::channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut piece) {
                if pieces.send(piece[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, screen, seen: String::new() }
    }

    /// Reads the screen until it shows a text.
    fn wait_for(&mut self, expected: &str) {
        while !self.seen.contains(expected) {
            match self.screen.recv_timeout(BOUND) {
                Ok(piece) => self.seen.push_str(&String::from_utf8_lossy(&piece)),
                Err(error) => panic!("no `{expected}` ({error}): {}", self.seen),
            }
        }
    }

    fn press(&mut self, keys: &str) {
        let stdin = self.child.stdin.as_mut().expect("its input");
        stdin.write_all(keys.as_bytes()).and_then(|()| stdin.flush()).expect("the keys are taken");
    }

    /// Reads the screen to its end, and tells how the program ended.
    fn end(mut self) -> (String, Option<i32>) {
        while let Ok(piece) = self.screen.recv_timeout(BOUND) {
            self.seen.push_str(&String::from_utf8_lossy(&piece));
        }
        let ended = self.child.try_wait().expect("a state");
        if ended.is_none() {
            let _gone = self.child.kill();
        }
        (self.seen.clone(), self.child.wait().expect("it ended").code())
    }
}

/// A lab, and a playbook that asks.
fn ground(network: u8) -> (SmallLab, World, String) {
    let lab = SmallLab::start(1, 66, 400.0, "faults: []", network);
    let world = World::new();
    let path = world.path().join("confirm.yml").display().to_string();
    std::fs::write(&path, PLAYBOOK).expect("written");
    (lab, world, path)
}

/// Answers the question of a run or of a resumed one by keys.
fn answer(world: &World, args: &[&str], keys: &str) -> (String, Option<i32>) {
    let mut program = AtTerminal::start(world, args);
    program.wait_for("type \"REPLACE\" to confirm: ");
    program.press(keys);
    program.end()
}

/// The run of a world in which there is one, and its answers: what was said, and how.
fn answers(world: &World) -> (String, Vec<(String, String)>) {
    let listed = world.run(&["runs", "--json"]).stdout;
    let runs: Value = serde_json::from_str(&listed).expect("a list");
    let run = text(&runs[0], "run").to_owned();
    let (events, _) = world.events(&["show", "--json", &run]);
    let answered = events.iter().filter(|event| text(event, "event") == "confirm_answered");
    let said = |event: &Value| {
        let answer = &event["answer"];
        (text(answer, "reply").to_owned(), text(answer, "by").to_owned())
    };
    (run, answered.map(said).collect())
}

#[test]
fn what_a_terminal_declines_is_asked_again_by_resume_and_goes_on_when_it_is_typed() {
    let (lab, world, path) = ground(66);

    let (screen, code) =
        answer(&world, &["run", "--yes", &path, "-i", &lab.inventory()], "replace\n");
    assert_eq!(code, Some(9), "{screen}");
    assert!(screen.contains("A CONFIRMATION WAS NOT GIVEN"), "{screen}");
    let (run, _) = answers(&world);
    let (screen, code) = answer(&world, &["resume", &run], "REPLACE\n");

    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("at the terminal"), "{screen}");
    let (_, said) = answers(&world);
    let terminal = |reply: &str| (reply.to_owned(), "terminal".to_owned());
    assert_eq!(said, [terminal("declined"), terminal("confirmed")]);
}

#[test]
fn a_question_at_a_terminal_can_be_left_by_ctrl_c_and_the_run_goes_on_later() {
    let (lab, world, path) = ground(67);

    let (screen, code) = answer(&world, &["run", "--yes", &path, "-i", &lab.inventory()], "\u{3}");

    assert_eq!(code, Some(6), "{screen}");
    assert!(screen.contains("STOPPED BY THE OPERATOR"), "{screen}");
    let (run, said) = answers(&world);
    assert_eq!(said, [], "nobody answered");
    let resumed = world.run(&["resume", &run, "--approve", "acc-restored=REPLACE"]);
    assert_eq!(resumed.code, Some(0), "{}{}", resumed.stdout, resumed.stderr);
}
