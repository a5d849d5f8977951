//! The playbooks that a diagnosis may propose, and when it must not.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A playbook of the collection, by its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Playbook {
    /// KB 179719, procedure 1.
    #[serde(rename = "reset-credentials.yml")]
    ResetCredentials,
    /// KB 179719, procedure 2.
    #[serde(rename = "resync-stale-packages.yml")]
    ResyncStalePackages,
    /// KB 181405, section 3.
    #[serde(rename = "manual-synchronization.yml")]
    ManualSynchronization,
    /// KB 181405, section 2.
    #[serde(rename = "rebuild-codebases.yml")]
    RebuildCodebases,
    /// KB 181405, section 2, the second table.
    #[serde(rename = "rebuild-package-status.yml")]
    RebuildPackageStatus,
    /// KB 181405, additional queries.
    #[serde(rename = "remove-duplicates.yml")]
    RemoveDuplicates,
    /// KB 181405, section 1.
    #[serde(rename = "fix-origin.yml")]
    FixOrigin,
    /// KB 181405, section 4.
    #[serde(rename = "fix-share-permissions.yml")]
    FixSharePermissions,
    /// KB 179719, procedure 1, step 6 alone.
    #[serde(rename = "fix-store-permissions.yml")]
    FixStorePermissions,
    /// KB 181405, section 5.
    #[serde(rename = "check-agent-versions.yml")]
    CheckAgentVersions,
    /// KB 181405, section 6.
    #[serde(rename = "check-nscap-permissions.yml")]
    CheckNscapPermissions,
    /// KB 181405, last section.
    #[serde(rename = "clear-urgent-list.yml")]
    ClearUrgentList,
    /// KB 180568.
    #[serde(rename = "update-distribution-points.yml")]
    UpdateDistributionPoints,
    /// KB 433153; reads only.
    #[serde(rename = "redownload-loop.yml")]
    RedownloadLoop,
    /// KB 433153, the location.
    #[serde(rename = "fix-alternate-location.yml")]
    FixAlternateLocation,
    /// The everyday one: a new configuration and the package status again.
    #[serde(rename = "update-and-resend.yml")]
    UpdateAndResend,
    /// All sections of KB 181405 in its order.
    #[serde(rename = "resynchronize.yml")]
    Resynchronize,
    /// A stopped agent, and stopped application pools (KB 422201).
    #[serde(rename = "start-services.yml")]
    StartServices,
    /// KB 205352.
    #[serde(rename = "restart-event-dispatcher.yml")]
    RestartEventDispatcher,
    /// TECH140644: one server's copy, without a new version.
    #[serde(rename = "redownload-packages.yml")]
    RedownloadPackages,
}

impl Playbook {
    /// Every playbook.
    pub const ALL: [Self; 20] = [
        Self::ResetCredentials,
        Self::ResyncStalePackages,
        Self::ManualSynchronization,
        Self::RebuildCodebases,
        Self::RebuildPackageStatus,
        Self::RemoveDuplicates,
        Self::FixOrigin,
        Self::FixSharePermissions,
        Self::FixStorePermissions,
        Self::CheckAgentVersions,
        Self::CheckNscapPermissions,
        Self::ClearUrgentList,
        Self::UpdateDistributionPoints,
        Self::RedownloadLoop,
        Self::FixAlternateLocation,
        Self::UpdateAndResend,
        Self::Resynchronize,
        Self::StartServices,
        Self::RestartEventDispatcher,
        Self::RedownloadPackages,
    ];

    /// Whether it works on the packages of its variable `packages`.
    pub fn takes_packages(self) -> bool {
        matches!(
            self,
            Self::FixOrigin
                | Self::RebuildCodebases
                | Self::RebuildPackageStatus
                | Self::RedownloadLoop
                | Self::RedownloadPackages
                | Self::UpdateDistributionPoints
        )
    }

    /// Its file in `playbooks/`.
    pub fn file(self) -> &'static str {
        match self {
            Self::ResetCredentials => "reset-credentials.yml",
            Self::ResyncStalePackages => "resync-stale-packages.yml",
            Self::ManualSynchronization => "manual-synchronization.yml",
            Self::RebuildCodebases => "rebuild-codebases.yml",
            Self::RebuildPackageStatus => "rebuild-package-status.yml",
            Self::RemoveDuplicates => "remove-duplicates.yml",
            Self::FixOrigin => "fix-origin.yml",
            Self::FixSharePermissions => "fix-share-permissions.yml",
            Self::FixStorePermissions => "fix-store-permissions.yml",
            Self::CheckAgentVersions => "check-agent-versions.yml",
            Self::CheckNscapPermissions => "check-nscap-permissions.yml",
            Self::ClearUrgentList => "clear-urgent-list.yml",
            Self::UpdateDistributionPoints => "update-distribution-points.yml",
            Self::RedownloadLoop => "redownload-loop.yml",
            Self::FixAlternateLocation => "fix-alternate-location.yml",
            Self::UpdateAndResend => "update-and-resend.yml",
            Self::Resynchronize => "resynchronize.yml",
            Self::StartServices => "start-services.yml",
            Self::RestartEventDispatcher => "restart-event-dispatcher.yml",
            Self::RedownloadPackages => "redownload-packages.yml",
        }
    }

    /// What running it does to a fleet.
    fn weight(self) -> Weight {
        match self {
            Self::CheckAgentVersions | Self::CheckNscapPermissions | Self::RedownloadLoop => {
                Weight::Reads
            }
            Self::RemoveDuplicates
            | Self::ClearUrgentList
            | Self::FixSharePermissions
            | Self::FixAlternateLocation
            | Self::RestartEventDispatcher => Weight::Local,
            Self::FixOrigin => Weight::Owner,
            Self::UpdateAndResend
            | Self::ResetCredentials
            | Self::FixStorePermissions
            | Self::StartServices => Weight::Events,
            Self::RedownloadPackages => Weight::OneServer,
            Self::UpdateDistributionPoints
            | Self::RebuildCodebases
            | Self::RebuildPackageStatus => Weight::Rebuilds,
            Self::ResyncStalePackages | Self::ManualSynchronization | Self::Resynchronize => {
                Weight::NewVersions
            }
        }
    }
}

impl fmt::Display for Playbook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.file())
    }
}

/// What a playbook does, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// It changes nothing.
    Reads,
    /// It changes one place and causes no requests.
    Local,
    /// It says whose a package is.
    Owner,
    /// It causes requests and events.
    Events,
    /// It has one server fetch a package again, which causes requests and events.
    OneServer,
    /// It has the Notification Server build what it has anew, which causes requests and events.
    Rebuilds,
    /// It moves snapshots: every server and every client downloads the new version (KB 181405).
    NewVersions,
}

/// What holds where a playbook would be run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent facts")]
pub struct Circumstances {
    /// The event queue stands still.
    pub queue_stands: bool,
    /// The event queue is long.
    pub queue_is_long: bool,
    /// A parent that exists is the authority on the package.
    pub parent_owns_it: bool,
    /// `PackageStatus.xml` says Deleted: the agent's own removal is under way.
    pub is_being_removed: bool,
    /// Something outside of the product deletes the package's files.
    pub is_in_deletion_loop: bool,
    /// The package is on its way.
    pub is_downloading: bool,
    /// The Notification Server turns requests away.
    pub is_busy: bool,
    /// Hardly a pair of the fleet is well.
    pub is_all_bad: bool,
    /// The Notification Server makes new versions of the package by itself.
    pub is_churning: bool,
}

/// Whether running a playbook may be proposed; otherwise why not.
///
/// # Errors
///
/// The reason, as the end of a sentence that begins "not now: ".
pub fn may_propose(playbook: Playbook, at: &Circumstances) -> Result<(), &'static str> {
    let weight = playbook.weight();
    if matches!(weight, Weight::Reads | Weight::Local) {
        return Ok(());
    }
    if weight != Weight::Events && at.parent_owns_it {
        return Err("a parent owns the package, and its requests go there");
    }
    if weight == Weight::Owner {
        return Ok(());
    }
    if at.queue_stands {
        return Err("the event queue stands still, and this makes more events");
    }
    if at.queue_is_long {
        return Err("the event queue is long, and this makes more events");
    }
    if at.is_busy {
        return Err("the Notification Server turns requests away, and this makes more of them");
    }
    if !matches!(weight, Weight::OneServer | Weight::NewVersions) {
        return Ok(());
    }
    let reasons = [
        (at.is_being_removed, "the agent is removing the package"),
        (at.is_in_deletion_loop, "something deletes the package's files, and would again"),
        (at.is_churning, "the package gets new versions by itself, and this is another one"),
        (at.is_downloading, "the package is being downloaded, and would be again"),
        (at.is_all_bad, "hardly a pair is well, so that every server would download at once"),
    ];
    match reasons.into_iter().find(|(holds, _)| *holds) {
        Some((_, reason)) => Err(reason),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_same_in_text_and_in_json() {
        for playbook in Playbook::ALL {
            let json = serde_json::to_string(&playbook).expect("a word");
            assert_eq!(json, format!("\"{playbook}\""));
        }
    }

    #[test]
    fn snapshots_are_never_moved_where_that_does_harm() {
        type Set = fn(&mut Circumstances);
        let harmful: [Set; 9] = [
            |at| at.queue_stands = true,
            |at| at.queue_is_long = true,
            |at| at.parent_owns_it = true,
            |at| at.is_being_removed = true,
            |at| at.is_in_deletion_loop = true,
            |at| at.is_downloading = true,
            |at| at.is_busy = true,
            |at| at.is_all_bad = true,
            |at| at.is_churning = true,
        ];
        for set in harmful {
            let mut at = Circumstances::default();
            set(&mut at);
            for playbook in [
                Playbook::ResyncStalePackages,
                Playbook::ManualSynchronization,
                Playbook::Resynchronize,
                Playbook::RedownloadPackages,
            ] {
                assert!(may_propose(playbook, &at).is_err(), "{playbook} at {at:?}");
            }
        }
    }

    #[test]
    fn what_only_reads_is_always_allowed_and_without_harm_everything_is() {
        let worst = Circumstances {
            queue_stands: true,
            queue_is_long: true,
            parent_owns_it: true,
            is_being_removed: true,
            is_in_deletion_loop: true,
            is_downloading: true,
            is_busy: true,
            is_all_bad: true,
            is_churning: true,
        };
        for playbook in Playbook::ALL {
            assert_eq!(may_propose(playbook, &Circumstances::default()), Ok(()), "{playbook}");
        }
        assert_eq!(may_propose(Playbook::RedownloadLoop, &worst), Ok(()));
        assert!(may_propose(Playbook::UpdateAndResend, &worst).is_err());
        assert!(may_propose(Playbook::FixOrigin, &worst).is_err());
    }

    #[test]
    fn a_queue_that_stands_holds_back_all_that_makes_events() {
        let at = Circumstances { queue_stands: true, ..Circumstances::default() };
        for playbook in [
            Playbook::UpdateAndResend,
            Playbook::ResetCredentials,
            Playbook::FixStorePermissions,
            Playbook::RebuildCodebases,
            Playbook::UpdateDistributionPoints,
            Playbook::StartServices,
            Playbook::RedownloadPackages,
        ] {
            assert!(may_propose(playbook, &at).is_err(), "{playbook}");
        }
        assert_eq!(may_propose(Playbook::RestartEventDispatcher, &at), Ok(()));
    }
}
