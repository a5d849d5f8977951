//! `CoreSettings.config` of the Notification Server: single values that say why it behaves as it
//! does (KB 181405). It is never written; what else is in it is not looked at.

use super::xml::{Unreadable, walk};

/// Reads one setting; `None` when it is not set.
///
/// KB 181405 writes `MaxConcurrentPackageInfoRequest`, others with an `s`: both are the same.
///
/// # Errors
///
/// It is no whole XML document, or has the setting twice with different values.
pub fn read_setting(bytes: &[u8], name: &str) -> Result<Option<String>, Unreadable> {
    let is_it = |key: &str| {
        let key = key.to_lowercase();
        let name = name.to_lowercase();
        key.trim_end_matches('s') == name.trim_end_matches('s')
    };
    let mut found: Vec<String> = Vec::new();
    walk(bytes, |element, _| {
        if element.value(&["key", "name"]).is_some_and(is_it) {
            if let Some(value) = element.value(&["value"]) {
                found.push(value.trim().to_owned());
            } else if !element.text.is_empty() {
                found.push(element.text.clone());
            }
        } else if is_it(&element.name) && !element.has_children && !element.text.is_empty() {
            found.push(element.text.clone());
        }
        Ok(())
    })?;
    found.dedup();
    match found.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only.clone())),
        _ => {
            Err(Unreadable::because(format!("it has {name} with {} different values", found.len())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_found_by_its_key_or_its_name_and_nothing_else_is_said() {
        let text = b"<configuration><customSetting key='OwnerNSGuid' type='local' value='59067291' />\
            <appSettings><add key='MaxConcurrentPackageInfoRequests'><value>20</value></add></appSettings>\
            <customSetting key='AppIdentityPassword' value='secret' /></configuration>";

        assert_eq!(read_setting(text, "OwnerNSGuid"), Ok(Some("59067291".to_owned())));
        assert_eq!(
            read_setting(text, "MaxConcurrentPackageInfoRequest"),
            Ok(Some("20".to_owned()))
        );
        assert_eq!(
            read_setting(b"<c><ownerNsGuid>1</ownerNsGuid></c>", "OwnerNSGuid"),
            Ok(Some("1".to_owned()))
        );
        assert_eq!(read_setting(b"<c/>", "OwnerNSGuid"), Ok(None));
    }

    #[test]
    fn two_values_and_broken_files_are_unreadable() {
        let twice = b"<c><s key='OwnerNSGuid' value='1'/><s key='OwnerNSGuid' value='2'/></c>";

        assert!(read_setting(twice, "OwnerNSGuid").is_err());
        assert!(read_setting(b"<c>", "OwnerNSGuid").is_err());
    }
}
