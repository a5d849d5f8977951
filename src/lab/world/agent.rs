//! One agent's own state: what it holds, what it believes, what it is doing.

use std::collections::{BTreeMap, VecDeque};

use super::conditions::HostConditions;
use super::fleet::PackageNo;
use super::iis::Cause;
use super::transport_faults::HeldFile;
use super::{PackageState, WorldTime};
use crate::lab::tree::Tree;

/// What an agent knows of one package assigned to it.
#[derive(Debug, Clone)]
pub(super) struct Holding {
    /// Where its snapshot.xml lies: asked for at every update.
    pub(super) snapshot_path: String,
    pub(super) state: PackageState,
    /// The state before that.
    pub(super) previous: PackageState,
    /// Since when it is in that state.
    pub(super) since: WorldTime,
    /// The version of the snapshot.xml it took in last.
    pub(super) version: u64,
    /// It takes that version for the current one whatever its policy says, until the file is gone.
    pub(super) is_stuck: bool,
    /// Something changed since it last reported the package.
    pub(super) is_unreported: bool,
}

impl Holding {
    /// A package that is current and ready.
    pub(super) fn ready(snapshot_path: String, version: u64) -> Self {
        Self {
            snapshot_path,
            state: PackageState::Ready,
            previous: PackageState::DownloadPending,
            since: WorldTime::START,
            version,
            is_stuck: false,
            is_unreported: false,
        }
    }
}

/// Who wanted a job done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Somebody called the agent.
    Asked,
    /// A schedule of the agent.
    Scheduled,
}

impl Origin {
    /// The cause that its requests are counted under.
    pub(super) fn cause(self, asked: Cause) -> Cause {
        match self {
            Self::Asked => asked,
            Self::Scheduled => Cause::Background,
        }
    }
}

/// Something an agent does, one after the other, and how far it is.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) step: Step,
    pub(super) origin: Origin,
    /// How often the present step has been refused.
    pub(super) refused: u32,
}

/// The next thing to do in a job.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Ask for the policies.
    FetchPolicy,
    /// Take them in.
    TakePolicy,
    /// Ask where a package is, if it is not current; `always` asks in any case.
    AskInfo { package: PackageNo, always: bool },
    /// Ask for its manifest, if there is need.
    AskSnapshot { package: PackageNo },
    /// Take in the manifest that the Notification Server now has.
    TakeSnapshot { package: PackageNo },
    /// The download ended: write manifest and content.
    Store { package: PackageNo, snapshot: Vec<u8> },
    /// Find out which packages are to be reported.
    CollectStatus,
    /// Post the basic inventory.
    SendInventory,
    /// Post the reports, one by one.
    Post { left: VecDeque<PackageNo>, sent: usize },
}

impl Job {
    pub(super) fn new(step: Step, origin: Origin) -> Self {
        Self { step, origin, refused: 0 }
    }
}

/// An agent and the disk of its machine.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) tree: Tree,
    pub(super) holdings: BTreeMap<PackageNo, Holding>,
    pub(super) conditions: HostConditions,
    /// Manifests that other programs keep open.
    pub(super) locks: Vec<(PackageNo, HeldFile)>,
    pub(super) current: Option<Job>,
    pub(super) jobs: VecDeque<Job>,
    /// Whether an event that lets it go on is already scheduled.
    pub(super) is_awake: bool,
}

impl Agent {
    pub(super) fn new(tree: Tree) -> Self {
        Self {
            tree,
            holdings: BTreeMap::new(),
            conditions: HostConditions::default(),
            locks: Vec::new(),
            current: None,
            jobs: VecDeque::new(),
            is_awake: false,
        }
    }
}
