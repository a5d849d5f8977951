//! The program at a pseudo-terminal of its own, which `script` of util-linux makes.

#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::world::World;

/// How long the program may take to say something: a bound for a test that hangs, never waited for.
const BOUND: Duration = Duration::from_secs(60);

/// The program at a terminal of its own.
pub(crate) struct AtTerminal {
    child: Child,
    /// What the screen was sent, piece by piece.
    screen: mpsc::Receiver<Vec<u8>>,
    pub(crate) seen: String,
}

impl AtTerminal {
    pub(crate) fn start(world: &World, args: &[&str]) -> Self {
        Self::start_within(world, args, |program| format!("exec {program}"))
    }

    /// In a shell that outlives the program: it tells the number of its process first, and at the end
    /// how it left the terminal.
    pub(crate) fn start_in_shell(world: &World, args: &[&str]) -> Self {
        Self::start_within(world, args, |program| {
            format!(
                "trap : INT TERM HUP; (/bin/sh -c 'echo pid=$PPID.'; exec {program}); code=$?; \
                 stty -a; exit $code"
            )
        })
    }

    pub(crate) fn start_within(
        world: &World,
        args: &[&str],
        shell: impl Fn(&str) -> String,
    ) -> Self {
        let program = world.command(args);
        let quoted = std::iter::once(program.get_program()).chain(program.get_args());
        let quoted: Vec<String> =
            quoted.map(|word| format!("'{}'", word.to_str().expect("text"))).collect();
        let line = shell(&quoted.join(" "));
        let mut command = Command::new("/usr/bin/script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
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
    pub(crate) fn wait_for(&mut self, expected: &str) {
        while !self.seen.contains(expected) {
            match self.screen.recv_timeout(BOUND) {
                Ok(piece) => self.seen.push_str(&String::from_utf8_lossy(&piece)),
                Err(error) => panic!("no `{expected}` ({error}): {}", self.seen),
            }
        }
    }

    /// Sends signals to the program itself.
    pub(crate) fn signal(&self, signals: &[&str]) {
        let (_, rest) = self.seen.split_once("pid=").expect("it told its number");
        let (pid, _) = rest.split_once('.').expect("a number");
        for signal in signals {
            let sent = Command::new("/bin/kill").args([&format!("-{signal}"), pid]).status();
            assert!(sent.is_ok_and(|status| status.success()), "{signal} to {pid}");
        }
    }

    /// Closes the terminal.
    pub(crate) fn go_away(&mut self) {
        self.child.kill().expect("the terminal can be closed");
        self.child.wait().expect("it is gone");
    }

    pub(crate) fn press(&mut self, keys: &str) {
        let stdin = self.child.stdin.as_mut().expect("its input");
        stdin.write_all(keys.as_bytes()).and_then(|()| stdin.flush()).expect("the keys are taken");
    }

    /// Reads the screen to its end, and tells how the program ended.
    pub(crate) fn end(mut self) -> (String, Option<i32>) {
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
