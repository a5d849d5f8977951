//! A diagnosis: what is wrong, where, how that is known, and who does what about it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Playbook, Verdict};
use crate::model::{Guid, HostName};

/// What an examination comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// When the examination was taken.
    pub taken: Timestamp,
    /// The shape of the matrix: it says where to look first.
    pub shape: Shape,
    /// What is wrong, the most urgent first. One place may have several independent causes.
    pub findings: Vec<Finding>,
    /// Servers by packages.
    pub matrix: Matrix,
}

impl Diagnosis {
    /// The verdicts that touch a server: its own, those of its packages' pairs, and those of
    /// packages and Notification Servers that explain why one of its pairs is not well. Each once,
    /// in the order of the findings.
    pub fn verdicts_of(&self, host: &HostName) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for finding in &self.findings {
            let is_own = finding.scope.host() == Some(host) || finding.servers.contains(host);
            if is_own && !verdicts.contains(&finding.verdict) {
                verdicts.push(finding.verdict);
            }
        }
        verdicts
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub verdict: Verdict,
    /// Where.
    pub scope: Scope,
    /// How much it matters.
    pub severity: Severity,
    /// How sure it is.
    pub certainty: Certainty,
    /// What shows it, a sentence each, with figures.
    pub evidence: Vec<String>,
    /// How many pairs are not well because of it.
    pub pairs: u32,
    /// The servers of these pairs, in the order of the examination.
    pub servers: Vec<HostName>,
    /// What to do.
    pub proposal: Proposal,
}

/// Where something is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Scope {
    /// A Notification Server.
    NotificationServer {
        /// Its name in the inventory.
        host: HostName,
    },
    /// A package, on every server.
    Package {
        /// The package.
        id: Guid,
        /// Its name, where it has one.
        name: Option<String>,
        /// The Notification Server that offers it.
        notification_server: HostName,
    },
    /// A package server.
    Server {
        /// Its name in the inventory.
        host: HostName,
    },
    /// A package on one package server.
    Pair {
        /// The server.
        host: HostName,
        /// The package.
        id: Guid,
        /// The package's name, where it has one.
        name: Option<String>,
    },
}

impl Scope {
    /// The package server that it is about, if it is about one.
    pub fn host(&self) -> Option<&HostName> {
        match self {
            Self::Server { host } | Self::Pair { host, .. } => Some(host),
            Self::NotificationServer { .. } | Self::Package { .. } => None,
        }
    }

    /// The package that it is about, if it is about one.
    pub fn package(&self) -> Option<Guid> {
        match self {
            Self::Package { id, .. } | Self::Pair { id, .. } => Some(*id),
            Self::NotificationServer { .. } | Self::Server { .. } => None,
        }
    }
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Packages are not delivered because of it.
    Error,
    /// It may become an error, or hides one.
    Warning,
    /// Good to know; nothing suffers from it now.
    Note,
}

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// What was seen leaves no other explanation.
    Proven,
    /// What was seen speaks for it, and some of what would prove it was not seen.
    Likely,
    /// It is one explanation among others.
    Possible,
}

/// What to do about a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Proposal {
    /// Run a playbook.
    Playbook {
        /// Which.
        playbook: Playbook,
        /// The one that comes after it in the articles' order, when it did not help.
        #[serde(skip_serializing_if = "Option::is_none")]
        afterwards: Option<Playbook>,
    },
    /// A person must act.
    Person {
        /// What to do, with the path in the console where there is one.
        instruction: String,
        /// The playbook that makes sense once that is done.
        #[serde(skip_serializing_if = "Option::is_none")]
        afterwards: Option<Playbook>,
    },
    /// Nothing is to be done now.
    Wait {
        /// Why, and when to look again.
        reason: String,
    },
}

impl Proposal {
    /// The playbook that is to be run now, if one is.
    pub fn playbook(&self) -> Option<Playbook> {
        match self {
            Self::Playbook { playbook, .. } => Some(*playbook),
            Self::Person { .. } | Self::Wait { .. } => None,
        }
    }
}

/// How what is not well lies over the matrix. It decides where causes are looked for first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// No pair was looked at: the CMDB has none, or could not be read.
    #[default]
    Unread,
    /// Every pair is well.
    AllWell,
    /// What is not well are packages that are well nowhere: look at the package and the Notification
    /// Server.
    PackageEverywhere,
    /// What is not well are servers on which nothing is well: look at these servers.
    ServerForEverything,
    /// Hardly a pair is well: look at the Notification Server and its queue.
    AllBad,
    /// Anything else: look at each pair.
    Mixed,
}

/// Servers by packages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matrix {
    /// The servers, in the order of the examination.
    pub servers: Vec<HostName>,
    /// The packages, by name.
    pub packages: Vec<MatrixPackage>,
    /// For each server, for each package.
    pub cells: Vec<Vec<Cell>>,
}

/// A package of the matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatrixPackage {
    /// The package.
    pub id: Guid,
    /// Its name, where it has one.
    pub name: Option<String>,
}

/// How a package is on a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cell {
    /// The server does not have it, and need not.
    #[default]
    #[serde(rename = "-")]
    Unassigned,
    /// It is well, as far as was seen.
    #[serde(rename = "ready")]
    Ready,
    /// It is not, and this is the first cause.
    #[serde(untagged)]
    Verdict(Verdict),
}
