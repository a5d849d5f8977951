//! Whether the configured credential has its rights on a folder (KB 179719).

use super::part::{seen, then, understood};
use crate::host::Reader;
use crate::itms::evidence::Seen;
use crate::model::{StepFailure, WindowsPath};
use crate::transport::SecurityInformation;
use crate::transport::security::{FileRights, SecurityDescriptor, Sid};

/// Whether an account has full control of a folder: by entries for itself, or for groups in which
/// everybody is who logs on. Its other groups are not known.
///
/// # Errors
///
/// A rejected logon.
pub(super) async fn has_full_control(
    at: &Reader<'_>,
    folder: &WindowsPath,
    sid: &Sid,
) -> Result<Seen<bool>, StepFailure> {
    let stored = seen(at.files().descriptor(folder, SecurityInformation::OWNER_GROUP_DACL).await)?;
    Ok(then(stored, |bytes| {
        let what = format!("the rights on {folder}");
        let descriptor = understood(&what, SecurityDescriptor::parse(&bytes));
        then(descriptor, |descriptor| Seen::Known(grants(&descriptor, sid)))
    }))
}

fn grants(descriptor: &SecurityDescriptor, sid: &Sid) -> bool {
    let identities = [sid.clone(), Sid::everyone(), Sid::authenticated_users()];
    descriptor.grants(&identities, FileRights::FULL_CONTROL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::security::AceFlags;

    #[test]
    fn an_account_has_its_rights_by_its_own_entry_or_by_one_for_all() {
        let sid: Sid = "S-1-5-21-1-2-3-1105".parse().expect("a SID");
        let plain = SecurityDescriptor::machine_default();
        let with = |sid: &Sid, mask| {
            plain.with_allow_ace(sid, mask, AceFlags::THIS_FOLDER_AND_BELOW).expect("it fits")
        };

        assert!(!grants(&plain, &sid));
        assert!(grants(&with(&sid, FileRights::FULL_CONTROL), &sid));
        assert!(!grants(&with(&sid, FileRights::READ), &sid));
        assert!(grants(&with(&Sid::authenticated_users(), FileRights::FULL_CONTROL), &sid));
    }
}
