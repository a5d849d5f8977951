//! Where files are kept that were moved away: on their own volume, closed to everybody but the
//! administrators, never under a folder of the product or a share.

use super::{Changer, Fence, Reader};
use crate::model::{FailureClass, RunId, StepFailure, WindowsPath};
use crate::transport::security::{AceKind, SecurityDescriptor, Sid};
use crate::transport::{SecurityInformation, TransportErrorKind};

/// The folders from the root of a volume to the runs.
const WAY: [&str; 3] = ["ProgramData", "fleetmend", "quarantine"];

/// A run's folder in the quarantine of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedRun {
    folder: WindowsPath,
}

impl QuarantinedRun {
    /// The folder of a run on a volume.
    pub fn of(run: RunId, drive: char) -> Option<Self> {
        let folder = store(drive)?.join(&run.full()).ok()?;
        Some(Self { folder })
    }

    /// Its path.
    pub fn folder(&self) -> &WindowsPath {
        &self.folder
    }

    /// The place of a file in it.
    ///
    /// # Errors
    ///
    /// The name could lead out of it.
    pub fn place(&self, relative: &str) -> Result<WindowsPath, StepFailure> {
        self.folder.join(relative).map_err(|error| {
            StepFailure::caused_by(
                FailureClass::Refused,
                "could not find a place in the quarantine",
                &error,
            )
        })
    }
}

/// The folder that holds the runs of a volume.
fn store(drive: char) -> Option<WindowsPath> {
    WindowsPath::root(drive)?.join(&WAY.join("\\")).ok()
}

fn no_volume(drive: char) -> StepFailure {
    StepFailure::new(FailureClass::Bug, format!("could not find the quarantine of `{drive}:`"))
}

impl Reader<'_> {
    /// The run whose quarantine on a volume is meant by its whole id or its first eight digits.
    ///
    /// # Errors
    ///
    /// `Refused` when there is none, or more than one; when a link leads to it, or when others than
    /// SYSTEM and the administrators could have put files there.
    pub async fn find_quarantined_run(&self, drive: char, id: &str) -> Result<RunId, StepFailure> {
        let refused = |reason: &str| {
            StepFailure::new(
                FailureClass::Refused,
                format!(
                    "could not find the quarantine of run {id} on {}: {reason}",
                    self.host().name
                ),
            )
        };
        let id = id.to_ascii_lowercase().replace('-', "");
        if id.len() < 8 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refused("a run is named by at least eight hexadecimal digits"));
        }
        let store = store(drive).ok_or_else(|| no_volume(drive))?;
        let entries = match self.files().list(&store).await {
            Err(error) if error.kind == TransportErrorKind::NotFound => Vec::new(),
            listed => listed?,
        };
        let runs: Vec<RunId> = entries
            .iter()
            .filter(|entry| entry.name.to_ascii_lowercase().starts_with(&id))
            .filter_map(|entry| uuid::Uuid::try_parse(&entry.name).ok().map(RunId::new))
            .collect();
        match runs.as_slice() {
            [only] => {
                self.check_kept(*only, drive).await?;
                Ok(*only)
            }
            [] => Err(refused("there is none")),
            _ => Err(refused("more than one run starts with these digits")),
        }
    }
}

impl Reader<'_> {
    /// Looks at a run's folder and those of ours above it: whoever can create folders in
    /// `ProgramData` could have made them.
    async fn check_kept(&self, run: RunId, drive: char) -> Result<(), StepFailure> {
        let fence = self.fence();
        let mut folder = WindowsPath::root(drive).ok_or_else(|| no_volume(drive))?;
        let run = run.full();
        for (depth, name) in WAY.iter().copied().chain([run.as_str()]).enumerate() {
            folder = folder.join(name).map_err(|_| no_volume(drive))?;
            if !fence.folder(&folder).await? {
                return Err(open(&folder, "it is not there"));
            }
            if depth > 0 {
                self.check_closed(&folder).await?;
            }
        }
        Ok(())
    }

    async fn check_closed(&self, folder: &WindowsPath) -> Result<(), StepFailure> {
        let parts = SecurityInformation::OWNER_GROUP_DACL;
        let bytes = self.files().descriptor(folder, parts).await?;
        let descriptor = SecurityDescriptor::parse(&bytes).map_err(|error| {
            StepFailure::caused_by(
                FailureClass::Refused,
                format!("could not understand who may use {folder}"),
                &error,
            )
        })?;
        match why_open(&descriptor) {
            None => Ok(()),
            Some(reason) => Err(open(folder, &reason)),
        }
    }
}

impl Changer<'_> {
    /// Makes a run's folder, and the folders above it, before the first file is moved there.
    ///
    /// # Errors
    ///
    /// `Refused` when one of the folders is a link, or is open to anybody but SYSTEM and the
    /// administrators: what is kept there could be read or exchanged.
    pub(super) async fn prepare_quarantine(
        &self,
        fence: &Fence<'_>,
        run: RunId,
        drive: char,
    ) -> Result<QuarantinedRun, StepFailure> {
        let quarantine = QuarantinedRun::of(run, drive).ok_or_else(|| no_volume(drive))?;
        let mut folder = WindowsPath::root(drive).ok_or_else(|| no_volume(drive))?;
        let run = run.full();
        for (depth, name) in WAY.iter().copied().chain([run.as_str()]).enumerate() {
            folder = folder.join(name).map_err(|_| no_volume(drive))?;
            let is_new = !fence.folder(&folder).await?;
            if is_new {
                let closed = SecurityDescriptor::administrators_only().encode();
                self.make_folder(&folder, Some(&closed)).await?;
            }
            // ProgramData is the system's own; what is below it is ours.
            if depth > 0 || is_new {
                self.check_closed(&folder).await?;
            }
            if is_new && !fence.folder(&folder).await? {
                return Err(open(&folder, "it went away again"));
            }
        }
        Ok(quarantine)
    }

    /// Makes the folders from a run's folder down to a place; they inherit its protection.
    pub(super) async fn prepare_place(
        &self,
        fence: &Fence<'_>,
        run: &QuarantinedRun,
        place: &WindowsPath,
    ) -> Result<(), StepFailure> {
        let depth = run.folder.components().count();
        let Some(parent) = place.parent() else { return Err(no_volume(place.drive())) };
        let mut folder = run.folder.clone();
        for name in parent.components().skip(depth) {
            folder = folder.join(name).map_err(|_| no_volume(place.drive()))?;
            if !fence.folder(&folder).await? {
                self.make_folder(&folder, None).await?;
            }
        }
        Ok(())
    }

    async fn make_folder(
        &self,
        folder: &WindowsPath,
        descriptor: Option<&[u8]>,
    ) -> Result<(), StepFailure> {
        let files = self.change_files().await?;
        let made = files.create_directory(folder, descriptor, self.deadline()).await;
        self.note_files(&made).await;
        match made {
            // Somebody else made it meanwhile: it is looked at like one that was there before.
            Err(error) if error.kind == TransportErrorKind::AlreadyExists => Ok(()),
            made => Ok(made?),
        }
    }
}

fn open(folder: &WindowsPath, reason: &str) -> StepFailure {
    StepFailure::new(
        FailureClass::Refused,
        format!("could not trust what is kept in {folder}: {reason}"),
    )
}

/// Why a folder is not safe to keep files in; `None` when it is.
fn why_open(descriptor: &SecurityDescriptor) -> Option<String> {
    let trusted = [Sid::system(), Sid::administrators()];
    match descriptor.owner() {
        Some(owner) if trusted.contains(owner) => {}
        Some(owner) => return Some(format!("it belongs to {owner}")),
        None => return Some("the server does not say to whom it belongs".to_owned()),
    }
    if !descriptor.is_protected() {
        return Some("it takes over rights from above".to_owned());
    }
    if descriptor.aces().is_empty() {
        return Some("its list of rights is empty or missing".to_owned());
    }
    let stranger = descriptor.aces().iter().find(|ace| {
        !matches!(ace.kind(), AceKind::Deny) && !ace.sid().is_some_and(|sid| trusted.contains(&sid))
    })?;
    Some(match stranger.sid() {
        Some(sid) => format!("{sid} has rights on it"),
        None => "somebody has rights on it that are not understood".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::memory::{MemoryHost, reader};
    use crate::transport::security::{AceFlags, Control, FileRights};

    #[test]
    fn only_a_protected_folder_of_the_administrators_is_closed() {
        let closed = SecurityDescriptor::administrators_only();
        assert_eq!(why_open(&closed), None);

        let flags = AceFlags::THIS_FOLDER_AND_BELOW;
        let shared = closed.with_allow_ace(&Sid::users(), FileRights::READ, flags).expect("fits");
        let unprotected = closed.clone().with_control(0, Control::DACL_PROTECTED);
        let strangers = closed.clone().with_owner(Some(Sid::users()));
        for open in [shared, unprotected, strangers, SecurityDescriptor::machine_default()] {
            assert!(why_open(&open).is_some(), "{open:?}");
        }
    }

    #[test]
    fn a_run_is_kept_on_the_volume_of_its_files_and_no_name_leads_out() {
        let run = RunId::new(uuid::Uuid::from_u128(7));
        let quarantine = QuarantinedRun::of(run, 'd').expect("a volume");

        assert_eq!(
            quarantine.folder().to_string(),
            "D:\\ProgramData\\fleetmend\\quarantine\\00000000000000000000000000000007"
        );
        assert!(quarantine.place("ps_delivery\\{A}\\snapshot.xml").is_ok());
        for hostile in ["..\\x", "a\\..\\..\\x", "x:y", "*"] {
            assert!(quarantine.place(hostile).is_err(), "{hostile}");
        }
    }

    #[tokio::test]
    async fn a_quarantine_that_somebody_else_made_is_not_restored_from() {
        let host = MemoryHost::package_server();
        let run = "0000000000000000000000000000000a";
        host.write(&format!("C:\\ProgramData\\fleetmend\\quarantine\\{run}\\x.xml"), "planted");
        let session = host.session(1);
        let at = reader(&session);

        let failure = at.find_quarantined_run('C', run).await.expect_err("it is open to all");

        assert_eq!(failure.class, FailureClass::Refused);
        let closed = SecurityDescriptor::administrators_only();
        for folder in ["", "\\quarantine", &format!("\\quarantine\\{run}")] {
            host.describe(&format!("C:\\ProgramData\\fleetmend{folder}"), &closed);
        }
        assert!(reader(&session).find_quarantined_run('C', run).await.is_ok());
    }
}
