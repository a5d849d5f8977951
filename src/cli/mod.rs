//! Arguments, screens, exit codes, signals, the environment: the edge of the program.

mod actions;
mod approvals;
mod args;
mod credential;
mod credentials;
mod demo;
mod diagnose;
mod environment;
mod error;
mod files;
mod fleet;
mod inventory;
mod keyboard;
mod lab;
mod launch;
mod lint;
mod logging;
mod names;
mod output;
mod past;
mod prompts;
mod prune;
mod rejections;
mod resume;
mod run;
mod runs;
mod show;
mod signals;
mod sources;
#[cfg(unix)]
mod terminal;
mod undo;
mod window;

use std::process::ExitCode;

use clap::Parser;

use crate::event::RunResult;
use args::{Cli, Command, CredentialCommand, LabCommand};
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
    // The panic itself has been told by the time it arrives here.
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| dispatch(&cli)));
    let Ok(ended) = ended else { return ExitCode::from(RunResult::Bug.exit_code()) };
    match ended {
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
        Command::Inventory(args) => block_on(inventory::inventory(cli, args)),
        Command::Run(args) => block_on(run::run(cli, args)),
        Command::Diagnose(args) => block_on(diagnose::diagnose(cli, args)),
        Command::Resume(args) => block_on(resume::resume(cli, args)),
        Command::Undo(args) => block_on(undo::undo(cli, args)),
        Command::Show(args) => show::show(cli, args),
        Command::Export(args) => show::export(cli, args),
        Command::Runs(args) => runs::runs(cli, args),
        Command::Credential(CredentialCommand::List(args)) => credential::list(cli, args),
        Command::Credential(CredentialCommand::Test(args)) => block_on(credential::test(cli, args)),
        Command::Demo(args) => block_on(demo::demo(cli, args)),
        Command::Lab(LabCommand::Up(args)) => block_on(lab::up(args)),
    }
}

/// Runs a command on a runtime of two threads: the driver on one, crypto beside it.
fn block_on(
    command: impl Future<Output = Result<RunResult, Failure>>,
) -> Result<RunResult, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal("could not start the runtime", &error))?;
    let result = runtime.block_on(command);
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    result
}
