//! `distribution_points`: the Notification Server updates the distribution points of some packages.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::patience::Patience;
use super::{Action, Applied, ParamDoc, ParamKind, Replay, Verdict};
use crate::event::Undo;
use crate::host::{Changer, Reader, Role};
use crate::model::{Cost, FailureClass, Guid, StepFailure, WindowsPath};
use crate::transport::HttpForm;

/// The page of the ASDK (Symantec Administrator SDK 8.0, SoftwarePackageManagementService).
const PAGE: &str =
    "/Altiris/ASDK.SMF/SoftwarePackageManagementService.asmx/UpdateDistributionPoints";
/// How often the snapshots are looked at, in the world's time.
const POLL: Duration = Duration::from_secs(5);
/// The most packages of one step: each may become a download at every package server.
const MOST: usize = 50;

/// The action.
pub(super) struct DistributionPoints;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    packages: Vec<Guid>,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// The host is not a Notification Server.
    NotHere,
    /// It is.
    Here,
}

/// What will be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// The packages whose distribution points are updated.
    update_packages: Vec<Guid>,
}

#[async_trait]
impl Action for DistributionPoints {
    type Params = Params;
    type State = State;
    type Change = Change;

    const NAME: &'static str = "distribution_points";
    const SUMMARY: &'static str =
        "Lets the Notification Server update the distribution points of some packages.";
    const DOC: &'static str = "\
Asks the Notification Server for each of the packages to write its codebases and its
snapshot anew, as *Update distribution points* in the console does: the narrow way, where
`scheduled_task` with `NS.Package Distribution Point Update` goes over all packages
(KB 180568). Done when the snapshot file of each package is newer than before the call.

The page belongs to the Administrator SDK (ASDK), which must be installed. Where it is
missing, use `scheduled_task: NS.Package Distribution Point Update`. The request goes over
plain HTTP with the logon of WinRM; its content, a package's GUID, can be read on the way.
A server that offers HTTPS alone is refused.

A new snapshot is a new version: every package server downloads the package again, and
clients after them (KB 181405 section 3). So at most 50 packages, the affected ones.

Cost: one request for each package now. What the package servers ask for afterwards is
drawn where they are told of it. Rights: the ASDK's right on the packages, and an
administrator over SMB to see the snapshots. Undo: none; the earlier snapshot may be no
more. After a crash in the middle the operator is asked.";
    const EXAMPLE: &'static str = "\
- name: Update the distribution points of the stale packages
  distribution_points: { packages: '{{ work.package_ids }}' }";
    const PARAMS: &'static [ParamDoc] = &[ParamDoc {
        name: "packages",
        kind: ParamKind::Guids,
        required: true,
        doc: "The packages.",
    }];
    const REPLAY: Replay = Replay::Ask;
    const WITHIN_SECONDS: u64 = 1800;

    async fn probe(_: &Params, at: &Reader<'_>) -> Result<State, StepFailure> {
        let facts = at.facts().await?;
        if facts.notification_server.is_none() {
            return Ok(State::NotHere);
        }
        // Without the folder nothing would show the effect.
        at.root(Role::NsSnapshots).await?;
        Ok(State::Here)
    }

    fn decide(params: &Params, state: &State) -> Verdict<Change> {
        let refuse = |text: String| Verdict::Refuse(StepFailure::new(FailureClass::Refused, text));
        let mut packages = params.packages.clone();
        packages.sort_unstable();
        packages.dedup();
        match (state, packages.len()) {
            (State::NotHere, _) => refuse("not a Notification Server".to_owned()),
            (State::Here, 0) => Verdict::Unchanged {
                note: "no packages".to_owned(),
                value: json!({ "packages": [] }),
            },
            (State::Here, count) if count > MOST => {
                refuse(format!("{count} packages are more than the {MOST} of one step"))
            }
            (State::Here, _) => Verdict::Change(Change { update_packages: packages }),
        }
    }

    fn cost(change: &Change) -> Cost {
        Cost::ns_iis(u32::try_from(change.update_packages.len()).unwrap_or(u32::MAX), 0)
    }

    fn describe(change: &Change) -> Vec<String> {
        change
            .update_packages
            .iter()
            .map(|package| format!("update the distribution points of the package {package}"))
            .collect()
    }

    async fn apply(change: &Change, at: &Changer<'_>) -> Result<Applied, StepFailure> {
        let root = at.root(Role::NsSnapshots).await?;
        let mut waiting = Vec::with_capacity(change.update_packages.len());
        for package in &change.update_packages {
            let path = root
                .path
                .join(&format!("{package}.xml"))
                .map_err(|error| StepFailure::from_error(FailureClass::Bug, &error))?;
            let before = modified(at, &path).await?;
            waiting.push(Waiting { package: *package, path, before });
        }
        let mut trouble = None;
        for package in &change.update_packages {
            match ask(*package, at).await {
                Ok(()) => {}
                // The snapshot will tell.
                Err(failure) if failure.class == FailureClass::InDoubt => trouble = Some(failure),
                Err(failure) => return Err(failure),
            }
        }
        let all = waiting.len();
        let patience = Patience::of_step(at);
        loop {
            let mut left = Vec::with_capacity(waiting.len());
            for one in waiting {
                match modified(at, &one.path).await {
                    Ok(now) if now > one.before => {}
                    Ok(_) => left.push(one),
                    // Another try with a rejected logon could lock the account.
                    Err(failure) if failure.class == FailureClass::AuthRejected => {
                        return Err(failure);
                    }
                    Err(failure) => {
                        trouble = Some(failure);
                        left.push(one);
                    }
                }
            }
            if left.is_empty() {
                let note = if all == 1 {
                    "updated 1 package".to_owned()
                } else {
                    format!("updated {all} packages")
                };
                let value = json!({ "packages": change.update_packages });
                return Ok(Applied { note, value, was_so_already: false });
            }
            if !patience.pause(at, POLL).await {
                return Err(never_seen(&left, trouble));
            }
            waiting = left;
        }
    }

    fn invert(_: &Change) -> Undo {
        Undo::Impossible(
            "the snapshots of before are not kept: the packages have a new version".into(),
        )
    }
}

/// A package whose new snapshot was not seen yet.
struct Waiting {
    package: Guid,
    path: WindowsPath,
    before: Option<u64>,
}

async fn modified(at: &Reader<'_>, path: &WindowsPath) -> Result<Option<u64>, StepFailure> {
    Ok(at.files().metadata(path).await?.map(|metadata| metadata.modified))
}

/// Asks for one package.
async fn ask(package: Guid, at: &Changer<'_>) -> Result<(), StepFailure> {
    let form = HttpForm { path: PAGE, fields: vec![("PackageGuid", package.bare())] };
    let answer = at.post_form(&form).await?;
    let what = format!("could not update the distribution points of the package {package}");
    match answer.status {
        200..=299 => Ok(()),
        404 => Err(StepFailure::new(FailureClass::RemoteFault, what).with_causes(vec![
            format!("the server has no page {PAGE}: the ASDK is not installed"),
            "`scheduled_task: NS.Package Distribution Point Update` needs no ASDK".to_owned(),
        ])),
        status => {
            let said = String::from_utf8_lossy(&answer.body);
            let said: String = said.trim().chars().take(500).collect();
            let causes = [format!("the server answers {status}"), said];
            let causes = causes.into_iter().filter(|cause| !cause.is_empty()).collect();
            Err(StepFailure::new(FailureClass::RemoteFault, what).with_causes(causes))
        }
    }
}

fn never_seen(left: &[Waiting], trouble: Option<StepFailure>) -> StepFailure {
    let names: Vec<String> = left.iter().take(5).map(|one| one.package.to_string()).collect();
    let more = if left.len() > names.len() { ", …" } else { "" };
    let message = format!(
        "asked for the distribution points and did not see a newer snapshot in time of {}{more}",
        names.join(", ")
    );
    let causes = trouble.map(|trouble| vec![trouble.to_string()]).unwrap_or_default();
    StepFailure::new(FailureClass::InDoubt, message).with_causes(causes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(packages: Vec<Guid>, state: &State) -> Verdict<Change> {
        DistributionPoints::decide(&Params { packages }, state)
    }

    #[test]
    fn each_package_is_a_request_and_is_asked_for_once() {
        let (a, b) = (Guid::from_u128(1), Guid::from_u128(2));
        let Verdict::Change(change) = decide(vec![b, a, b], &State::Here) else {
            panic!("a change")
        };

        assert_eq!(change.update_packages, [a, b]);
        assert_eq!(DistributionPoints::cost(&change), Cost::ns_iis(2, 0));
        assert_eq!(DistributionPoints::describe(&change).len(), 2);
        assert!(matches!(DistributionPoints::invert(&change), Undo::Impossible(_)));
    }

    #[test]
    fn a_package_server_and_a_whole_catalogue_are_refused() {
        let many = (0..51).map(Guid::from_u128).collect();

        assert!(matches!(decide(vec![Guid::from_u128(1)], &State::NotHere), Verdict::Refuse(_)));
        assert!(matches!(decide(many, &State::Here), Verdict::Refuse(_)));
        assert!(matches!(decide(Vec::new(), &State::Here), Verdict::Unchanged { .. }));
    }
}
