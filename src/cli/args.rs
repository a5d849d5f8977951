//! What may be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::itms::evidence::AppliedCredential;

/// Repairs fleets of Altiris / Symantec ITMS package servers that have drifted from their
/// Notification Server.
#[derive(Debug, Parser)]
#[command(name = "fleetmend", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Start here:  fleetmend demo\n\nExit codes: 0 done, 2 some hosts failed within \
    budget, 3 budget tripped or a gate failed, 4 unreachable hosts only, 5 the change window closed, \
    6 stopped by the operator, 7 invalid input, 8 the Notification Server does not say Ready, \
    9 a confirmation was not given, 70 a bug."
)]
pub(super) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Where runs are kept [default: $FLEETMEND_STATE_DIR, else ~/.local/state/fleetmend]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Repair a simulated fleet, start to finish
    Demo(DemoArgs),
    /// Check playbooks and an inventory; connects to nothing
    Lint(LintArgs),
    /// Show the hosts of an inventory, or explain a variable
    Inventory(InventoryArgs),
    /// Say which servers and packages are not well, why, and what to run; changes nothing
    Diagnose(DiagnoseArgs),
    /// Run a playbook
    Run(RunArgs),
    /// Go on with a run that was stopped or killed
    Resume(ResumeArgs),
    /// Take back what a run changed
    Undo(UndoArgs),
    /// Print the recap of a run again
    Show(ShowArgs),
    /// Write all events of a run as NDJSON
    Export(ExportArgs),
    /// List the runs on this controller, prove that their journals are whole, or forget old ones
    Runs(RunsArgs),
    /// Credentials: how they stand on this controller, and the one logon that proves one
    #[command(subcommand)]
    Credential(CredentialCommand),
    /// Describe the actions that playbooks can use
    Actions(ActionsArgs),
    /// The simulated fleet, for rehearsals
    #[command(subcommand)]
    Lab(LabCommand),
}

/// `fleetmend demo`
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    #[command(flatten)]
    /// The fleet.
    pub lab: LabArgs,
    /// Run without the limit on requests at the Notification Server, to see what it is for
    #[arg(long, conflicts_with = "compare")]
    pub lift_limit: bool,
    /// Run twice, with and without the limit, and print both in one table
    #[arg(long)]
    pub compare: bool,
    /// Print events as NDJSON on standard output
    #[arg(long, conflicts_with = "compare")]
    pub json: bool,
}

/// What the simulated fleet is like.
#[derive(Debug, Clone, Args)]
pub(super) struct LabArgs {
    /// Package servers
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=2000))]
    pub servers: u16,
    /// The seed of everything random: the same seed gives the same fleet and faults
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// How many times faster than real time the fleet's world runs
    #[arg(long, default_value_t = 20.0)]
    pub speed: f64,
    /// A file of faults [default: the built-in mix]
    #[arg(long, value_name = "FILE")]
    pub faults: Option<PathBuf>,
}

/// `fleetmend lint`
#[derive(Debug, Args)]
pub(super) struct LintArgs {
    /// The playbooks
    #[arg(required = true, value_name = "PLAYBOOK")]
    pub playbooks: Vec<PathBuf>,
    /// The inventory
    #[arg(short, long, value_name = "FILE")]
    pub inventory: Option<PathBuf>,
}

/// `fleetmend inventory`
#[derive(Debug, Args)]
pub(super) struct InventoryArgs {
    /// The inventory
    #[arg(short, long, value_name = "FILE")]
    pub inventory: PathBuf,
    /// Which hosts, as in a playbook's `hosts`
    #[arg(default_value = "all")]
    pub pattern: String,
    /// Print hosts and variables as JSON
    #[arg(long)]
    pub json: bool,
    /// Show every value that a variable has for a host, and which one wins
    #[arg(long, num_args = 2, value_names = ["HOST", "VAR"], conflicts_with = "json")]
    pub explain: Option<Vec<String>>,
}

/// `fleetmend diagnose`
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all is well, 2 something is not, 4 the only findings are servers \
    that could not be reached, 6 stopped by the operator, 7 invalid input, 70 a bug."
)]
pub(super) struct DiagnoseArgs {
    /// The inventory
    #[arg(short, long, value_name = "FILE")]
    pub inventory: PathBuf,
    /// Which package servers, as in a playbook's `hosts`; Notification Servers are always looked at
    #[arg(default_value = "all")]
    pub pattern: String,
    /// Print the diagnosis as one JSON document
    #[arg(long, conflicts_with = "evidence")]
    pub json: bool,
    /// Print what was seen, from which the diagnosis is made, as one JSON document
    #[arg(long)]
    pub evidence: bool,
    /// Write the diagnosis as one HTML file with a map of servers and packages
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Under which credential the console has package services run [default: the variable
    /// `package_credential`; else servers are compared with each other]
    #[arg(long, value_enum, value_name = "KIND")]
    pub credential: Option<CredentialKind>,
    /// For how long a package may be on its way before that is a fault [default: 1 d]
    #[arg(long, value_name = "SPAN")]
    pub download_grace: Option<String>,
    /// Look again and again, and say what changed
    #[arg(long)]
    pub watch: bool,
    /// How long between two looks, as in `10 min`, in the fleet's time
    #[arg(long, default_value = "10 min", value_name = "SPAN", requires = "watch")]
    pub every: String,
    /// How many looks [default: until Ctrl-C]
    #[arg(long, value_name = "N", requires = "watch", value_parser = clap::value_parser!(u32).range(1..))]
    pub times: Option<u32>,
}

/// How package services reach their files (KB 179719).
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum CredentialKind {
    /// Anonymous access
    Anonymous,
    /// The application identity
    ApplicationIdentity,
    /// The Agent Connectivity Credential
    AgentConnectivity,
}

impl CredentialKind {
    /// As the evidence has it.
    pub(super) fn applied(self) -> AppliedCredential {
        match self {
            Self::Anonymous => AppliedCredential::Anonymous,
            Self::ApplicationIdentity => AppliedCredential::ApplicationIdentity,
            Self::AgentConnectivity => AppliedCredential::AgentConnectivity,
        }
    }
}

/// `fleetmend run`
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The playbook
    pub playbook: PathBuf,
    /// The inventory
    #[arg(short, long, value_name = "FILE")]
    pub inventory: PathBuf,
    /// Read and decide, but change nothing
    #[arg(long)]
    pub check: bool,
    /// Only these hosts, as in a playbook's `hosts`
    #[arg(long, value_name = "PATTERN")]
    pub limit: Option<String>,
    /// Set a variable; it wins over all others
    #[arg(short = 'e', long = "extra-var", value_name = "NAME=VALUE")]
    pub extra_vars: Vec<String>,
    /// Only tasks with one of these tags; several are given with commas
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub tags: Vec<String>,
    /// No tasks with one of these tags
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub skip_tags: Vec<String>,
    /// Refused: a run that was cut goes on with `resume`
    #[arg(long, value_name = "TASK", hide = true)]
    pub start_at_task: Option<String>,
    /// Answer a `confirm` of the playbook beforehand; with the text where one is to be typed
    #[arg(long, value_name = "NAME[=TEXT]")]
    pub approve: Vec<String>,
    /// Take hosts only in this change window, beside those of the plays: [DAYS] OPEN-CLOSE ZONE, as
    /// in 'tue,thu 22:00-02:00 Europe/Oslo'
    #[arg(long, value_name = "WINDOW", conflicts_with = "check")]
    pub window: Option<String>,
    /// Wait until the change window opens
    #[arg(long, conflicts_with = "check")]
    pub wait: bool,
    /// The seed of everything random [default: a random one]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Do not ask before hosts are changed
    #[arg(short = 'y', long)]
    pub yes: bool,
    /// Print events as NDJSON on standard output
    #[arg(long)]
    pub json: bool,
}

/// `fleetmend resume`
#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// The run: the first digits of its identifier
    pub run: String,
    /// Hosts that failed or could not be reached are taken up again, where they ended
    #[arg(long)]
    pub failed: bool,
    /// Steps in doubt on these hosts are run again
    #[arg(long, value_name = "HOST")]
    pub retry: Vec<String>,
    /// Steps in doubt on these hosts count as done
    #[arg(long, value_name = "HOST")]
    pub accept: Vec<String>,
    /// Answer a `confirm` of the playbook beforehand; with the text where one is to be typed
    #[arg(long, value_name = "NAME[=TEXT]")]
    pub approve: Vec<String>,
    /// Another change window than that of `run --window`
    #[arg(long, value_name = "WINDOW")]
    pub window: Option<String>,
    /// Wait until the change window opens
    #[arg(long)]
    pub wait: bool,
    /// Print events as NDJSON on standard output
    #[arg(long)]
    pub json: bool,
}

/// `fleetmend undo`
#[derive(Debug, Args)]
pub(super) struct UndoArgs {
    /// The run: the first digits of its identifier
    pub run: String,
    /// Only on these hosts
    #[arg(value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Do not ask before hosts are changed
    #[arg(short = 'y', long)]
    pub yes: bool,
    /// Print events as NDJSON on standard output
    #[arg(long)]
    pub json: bool,
}

/// `fleetmend show`
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The run: the first digits of its identifier
    pub run: String,
    /// Print its events as NDJSON
    #[arg(long)]
    pub json: bool,
}

/// `fleetmend export`
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The run: the first digits of its identifier
    pub run: String,
    /// Where they are written; the file must not be there yet [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `fleetmend runs`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct RunsArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub command: Option<RunsCommand>,
    /// Print them as JSON
    #[arg(long)]
    pub json: bool,
}

/// `fleetmend runs …`
#[derive(Debug, Subcommand)]
pub(super) enum RunsCommand {
    /// Prove that journals are what was written: the chain of hashes, and that each event can follow
    Verify {
        /// The runs: the first digits of their identifiers [default: all]
        runs: Vec<String>,
    },
    /// Forget old runs; they can neither be shown nor taken back any more
    Prune(PruneArgs),
    /// As `fleetmend show`
    #[command(hide = true)]
    Show(ShowArgs),
}

/// `fleetmend runs prune`
#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// Runs that began longer ago, as in `90 d`
    #[arg(long, value_name = "SPAN", default_value = "90 d")]
    pub older_than: String,
    /// So many of the newest are kept whatever their age
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub keep: usize,
    /// Forget those, too, which `resume` could go on with, and whose journals cannot be read
    #[arg(long)]
    pub unfinished: bool,
    /// Say which, but keep them
    #[arg(long)]
    pub check: bool,
    /// Do not ask before runs are forgotten
    #[arg(short = 'y', long)]
    pub yes: bool,
}

/// `fleetmend credential`
#[derive(Debug, Subcommand)]
pub(super) enum CredentialCommand {
    /// List the credentials that an inventory names, and which of them were rejected
    List(CredentialListArgs),
    /// Make one logon with a credential; one that succeeds lets runs use it again
    Test(CredentialTestArgs),
}

/// `fleetmend credential list`
#[derive(Debug, Args)]
pub(super) struct CredentialListArgs {
    /// The inventory
    #[arg(short, long, value_name = "FILE")]
    pub inventory: PathBuf,
}

/// `fleetmend credential test`
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 the logon succeeded, 4 it was rejected or the host could not be \
    reached, 7 invalid input, 70 a bug."
)]
pub(super) struct CredentialTestArgs {
    /// The credential's name, as the inventory has it
    pub name: String,
    /// The inventory
    #[arg(short, long, value_name = "FILE")]
    pub inventory: PathBuf,
    /// The host to log on to [default: the first that uses the credential]
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
}

/// `fleetmend actions`
#[derive(Debug, Args)]
pub(super) struct ActionsArgs {
    /// One action, in full
    pub name: Option<String>,
}

/// `fleetmend lab`
#[derive(Debug, Subcommand)]
pub(super) enum LabCommand {
    /// Start the simulated fleet, write an inventory for it, and stay up until Ctrl-C
    Up(LabUpArgs),
}

/// `fleetmend lab up`
#[derive(Debug, Args)]
pub(super) struct LabUpArgs {
    #[command(flatten)]
    /// The fleet.
    pub lab: LabArgs,
    /// Where its inventory, `lab.yml`, and its credentials are written
    #[arg(long, value_name = "DIR", default_value = "inventory")]
    pub dir: PathBuf,
    /// Take any free ports, so that several labs can be up; the inventory says which
    #[arg(long)]
    pub any_ports: bool,
    /// Print the lab's tally as JSON when it ends
    #[arg(long)]
    pub tally: bool,
    /// Live until standard input is closed, as the lab of a large demo does
    #[arg(long, hide = true)]
    pub child: bool,
}
