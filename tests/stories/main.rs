//! Stories: the program as people run it, on files and against a lab.

mod adaptive;
mod at_terminal;
mod broken_files;
mod change_window;
mod clients;
mod cmdb;
mod cmdb_in_doubt;
mod crash_and_resume;
mod crash_points;
mod credentials;
mod diagnose;
mod disk_full;
mod estimate;
mod evidence;
mod first_run;
mod flow;
mod gates;
mod journal_fixtures;
mod linted;
mod loop_in_doubt;
mod mistyped;
mod past;
mod procedures;
mod resynchronize;
mod secrets;
mod shared_runs;
mod single_servers;
mod sources;
mod stop;
mod terminal;
mod undo;
mod windows;
#[path = "../sql_repair/wire.rs"]
#[expect(clippy::unwrap_used, reason = "a wire that cannot go on panics")]
mod wire;
mod world;
