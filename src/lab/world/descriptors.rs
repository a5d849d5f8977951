//! The security descriptors of the lab's folders, and the accounts they speak of.

use crate::lab::tree::Tree;
use crate::protocol::security_descriptor::{AceFlags, FileRights, SecurityDescriptor, Sid};

/// The lab's domain: `S-1-5-21-1004336348-1177238915-682003330`.
const DOMAIN_PARTS: [u32; 4] = [21, 1_004_336_348, 1_177_238_915, 682_003_330];
/// The NetBIOS name of the lab's domain.
pub const NETBIOS_DOMAIN: &str = "LAB";
/// The account that the fleet is repaired with.
pub const ADMINISTRATOR: &str = "fleet-admin";
/// The Agent Connectivity Credential.
pub const CONNECTIVITY_ACCOUNT: &str = "svc-acc";

fn domain_sid(relative: u32) -> Sid {
    let [kind, a, b, c] = DOMAIN_PARTS;
    Sid::new(5, &[kind, a, b, c, relative]).expect("five parts are a valid identifier")
}

/// The identifier of an account by `LAB\name` or `name`; `None` if there is no such account.
pub(super) fn account(name: &str) -> Option<(String, Sid)> {
    let (domain, user) = name.split_once('\\').unwrap_or((NETBIOS_DOMAIN, name));
    let is_ours = domain.eq_ignore_ascii_case(NETBIOS_DOMAIN);
    let known = [(ADMINISTRATOR, 1104), (CONNECTIVITY_ACCOUNT, 1105)];
    if let Some((user, relative)) =
        known.into_iter().find(|(known, _)| is_ours && known.eq_ignore_ascii_case(user))
    {
        return Some((format!(r"{NETBIOS_DOMAIN}\{user}"), domain_sid(relative)));
    }
    let well_known = [
        ("SYSTEM", r"NT AUTHORITY\SYSTEM", Sid::system()),
        ("Administrators", r"BUILTIN\Administrators", Sid::administrators()),
        ("Users", r"BUILTIN\Users", Sid::users()),
        ("Everyone", "Everyone", Sid::everyone()),
    ];
    well_known
        .into_iter()
        .find(|(short, full, _)| {
            name.eq_ignore_ascii_case(full)
                || (user.eq_ignore_ascii_case(short) && !name.contains('\\'))
        })
        .map(|(_, full, sid)| (full.to_owned(), sid))
}

/// The security identifier of an account of the lab, by name, in its text form.
pub fn account_sid(name: &str) -> Option<String> {
    account(name).map(|(_, sid)| sid.to_string())
}

/// The descriptor of a package store: the machine's default, and full control for the Agent
/// Connectivity Credential unless it is missing.
pub(super) fn package_store(has_connectivity_account: bool) -> Vec<u8> {
    let plain = SecurityDescriptor::machine_default();
    if !has_connectivity_account {
        return plain.encode();
    }
    let (_, sid) = account(CONNECTIVITY_ACCOUNT).expect("the lab's own account");
    plain
        .with_allow_ace(&sid, FileRights::FULL_CONTROL, AceFlags::THIS_FOLDER_AND_BELOW)
        .expect("one more entry fits")
        .encode()
}

/// The descriptor of every other folder of the product.
pub(super) fn product_folder() -> Vec<u8> {
    SecurityDescriptor::machine_default().encode()
}

/// Whether the Agent Connectivity Credential has full control of a folder.
pub(super) fn grants_connectivity_account(tree: &Tree, folder: &str) -> bool {
    let (_, sid) = account(CONNECTIVITY_ACCOUNT).expect("the lab's own account");
    tree.descriptor(folder)
        .and_then(|bytes| SecurityDescriptor::parse(&bytes).ok())
        .is_some_and(|descriptor| descriptor.grants(&[sid], FileRights::FULL_CONTROL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_full_and_its_short_name() {
        let full = account(r"lab\SVC-ACC").map(|(name, sid)| (name, sid.to_string()));
        let expected = "S-1-5-21-1004336348-1177238915-682003330-1105";

        assert_eq!(full, Some((r"LAB\svc-acc".to_owned(), expected.to_owned())));
        assert_eq!(account("system").map(|(name, _)| name), Some(r"NT AUTHORITY\SYSTEM".into()));
        assert_eq!(account(r"OTHER\svc-acc"), None);
    }
}
