//! Arguments, screens, exit codes, signals, the environment: the edge of the program.

mod actions;
mod args;
mod credentials;
mod environment;
mod error;
mod files;
mod inventory;
mod lint;
mod logging;
mod output;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use crate::event::RunResult;
use args::{Cli, Command};
use error::Failure;

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap prints help to standard output and mistakes to standard error.
            let _closed = error.print();
            return ExitCode::from(if error.use_stderr() { 7 } else { 0 });
        }
    };
    logging::install();
    match dispatch(&cli) {
        Ok(result) => ExitCode::from(result.exit_code()),
        Err(failure) => {
            output::talk(&failure.render(environment::paint_stderr()));
            ExitCode::from(failure.exit_code())
        }
    }
}

fn dispatch(cli: &Cli) -> Result<RunResult, Failure> {
    match &cli.command {
        Command::Actions(args) => actions::actions(args),
        Command::Lint(args) => lint::lint(args),
        Command::Inventory(args) => inventory::inventory(args),
        _ => Err(Failure::input("this command is not built yet")),
    }
}
