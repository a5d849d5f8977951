//! Exchanging a security descriptor for another one, and only if it is the one that was seen.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Changer, Role};
use crate::model::{FailureClass, StepFailure, WindowsPath};
use crate::transport::SecurityInformation;
use crate::transport::security::{Control, Dacl, SecurityDescriptor};

/// Which folder it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The role's own.
    #[default]
    Root,
    /// A package's folder below it, or one inside that.
    Package,
    /// Where the agent keeps a package outside of its store.
    Alternate,
}

/// A role's folder gets another list of rights; with both lists, so that it can be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorChange {
    /// The role.
    pub role: Role,
    /// Which folder it is.
    #[serde(default)]
    pub place: Place,
    /// The folder.
    pub path: WindowsPath,
    /// The descriptor before, self-relative, Base64.
    pub before: String,
    /// The descriptor after, self-relative, Base64.
    pub after: String,
}

impl DescriptorChange {
    /// Takes two descriptors of the role's own folder.
    pub fn new(role: Role, path: WindowsPath, before: &[u8], after: &[u8]) -> Self {
        let [before, after] = [before, after].map(|bytes| STANDARD.encode(bytes));
        Self { role, place: Place::Root, path, before, after }
    }

    /// The same for a folder at another place.
    #[must_use]
    pub fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// The change that takes this one back.
    #[must_use]
    pub fn inverse(&self) -> Self {
        Self { before: self.after.clone(), after: self.before.clone(), ..self.clone() }
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DescriptorWritten {
    /// It was written.
    Now,
    /// It was there already.
    Already,
}

impl Changer<'_> {
    /// Writes the list of rights of a folder, if it is still the one that was seen.
    ///
    /// Windows and Samba store what they are given in a form of their own, so that lists are
    /// compared by their entries, in order, and by whether they are closed to inheritance.
    ///
    /// # Errors
    ///
    /// `Drifted` when the folder has moved, or its list is neither the one before nor the one after.
    pub async fn exchange_descriptor(
        &self,
        change: &DescriptorChange,
    ) -> Result<DescriptorWritten, StepFailure> {
        let drifted = |reason: &str| {
            StepFailure::new(
                FailureClass::Drifted,
                format!("could not change the rights on {}: {reason}", change.path),
            )
        };
        let root = self.root(change.role).await?;
        let fence = self.fence();
        let is_there = match change.place {
            Place::Root if root.path != change.path => {
                return Err(drifted(&format!("{} is now {}", change.role, root.path)));
            }
            Place::Root => fence.root(&root).await.map(|()| true)?,
            Place::Package => fence.package_folder(&root, &change.path).await?,
            Place::Alternate => fence.alternate(&change.path).await?,
        };
        if !is_there {
            return Err(drifted("it is gone"));
        }
        let before = decode(change, &change.before)?;
        let after = decode(change, &change.after)?;
        let parts = SecurityInformation::DACL;
        let stored = self.files().descriptor(&change.path, parts).await?;
        let now = parse(change, &stored)?;
        if is_same(&now, &after) {
            return Ok(DescriptorWritten::Already);
        }
        if !is_same(&now, &before) {
            return Err(drifted("they have changed since they were looked at"));
        }
        // Without the request the server would forget that the inherited entries are inherited.
        let wanted = if after.control().has(Control::DACL_AUTO_INHERITED) {
            after.with_control(Control::DACL_AUTO_INHERIT_REQUIRED, 0)
        } else {
            after
        };
        let files = self.change_files().await?;
        let written = files
            .set_descriptor(&change.path, parts, &stored, &wanted.encode(), self.deadline())
            .await;
        self.note_files(&written).await;
        written?;
        Ok(DescriptorWritten::Now)
    }
}

fn decode(change: &DescriptorChange, text: &str) -> Result<SecurityDescriptor, StepFailure> {
    let bytes = STANDARD.decode(text).map_err(|error| {
        StepFailure::caused_by(
            FailureClass::Bug,
            format!("could not read the recorded rights on {}", change.path),
            &error,
        )
    })?;
    parse(change, &bytes)
}

fn parse(change: &DescriptorChange, bytes: &[u8]) -> Result<SecurityDescriptor, StepFailure> {
    SecurityDescriptor::parse(bytes).map_err(|error| {
        StepFailure::caused_by(
            FailureClass::Refused,
            format!("could not understand the rights on {}", change.path),
            &error,
        )
    })
}

/// Whether two descriptors give the same rights: the same entries in the same order, or the same
/// absence of a list.
fn is_same(a: &SecurityDescriptor, b: &SecurityDescriptor) -> bool {
    let lists = match (a.dacl(), b.dacl()) {
        (Dacl::List(a), Dacl::List(b)) => a.aces() == b.aces(),
        (a, b) => a == b,
    };
    lists && a.is_protected() == b.is_protected()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::security::{AceFlags, FileRights, Sid};

    #[test]
    fn descriptors_are_the_same_by_their_entries_and_not_by_their_bytes() {
        let one = SecurityDescriptor::machine_default();
        let other = one.clone().with_owner(None).with_control(Control::DACL_AUTO_INHERITED, 0);
        assert!(is_same(&one, &other));

        let flags = AceFlags::THIS_FOLDER_AND_BELOW;
        let more = one.with_allow_ace(&Sid::network(), FileRights::READ, flags).expect("fits");
        assert!(!is_same(&one, &more));
        assert!(!is_same(&one, &one.clone().with_control(Control::DACL_PROTECTED, 0)));
        assert!(!is_same(&one.clone().with_dacl(Dacl::Null), &one));
    }

    #[test]
    fn taking_a_change_back_twice_is_the_change() {
        let path = "C:\\Store".parse().expect("path");
        let change = DescriptorChange::new(Role::PsDelivery, path, b"before", b"after");

        assert_eq!(change.inverse().inverse(), change);
        assert_ne!(change.inverse(), change);
    }
}
