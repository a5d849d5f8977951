//! Finds the user and password behind a credential's name.

use std::collections::BTreeMap;
use std::path::Path;

use super::environment;
use super::error::{Failure, FailureKind};
use crate::model::{Credential, CredentialName};
use crate::secret::Secret;

/// Looks a credential up: in the environment (`FLEETMEND_FLEET_ADMIN_USER` and `_PASSWORD` for
/// `fleet-admin`), then in the lab's own file, else at the terminal.
///
/// # Errors
///
/// It is nowhere, and nobody can be asked.
pub(super) fn find(
    name: &CredentialName,
    lab: &BTreeMap<String, Credential>,
) -> Result<Credential, Failure> {
    let prefix = variable_prefix(name);
    let user = environment::variable(&format!("{prefix}_USER"));
    let password = environment::variable(&format!("{prefix}_PASSWORD"));
    match (user, password) {
        (Some(user), Some(password)) => Ok(Credential { user, password: Secret::new(password) }),
        (Some(user), None) => ask_password(name, &prefix, user),
        (None, _) => match lab.get(&name.0) {
            Some(credential) => Ok(credential.clone()),
            None => ask_user(name, &prefix),
        },
    }
}

/// As [`find`], but nobody is asked at the terminal.
pub(super) fn find_quietly(
    name: &CredentialName,
    lab: &BTreeMap<String, Credential>,
) -> Option<Credential> {
    let prefix = variable_prefix(name);
    let user = environment::variable(&format!("{prefix}_USER"));
    let password = environment::variable(&format!("{prefix}_PASSWORD"));
    match user.zip(password) {
        Some((user, password)) => Some(Credential { user, password: Secret::new(password) }),
        None => lab.get(&name.0).cloned(),
    }
}

/// `FLEETMEND_FLEET_ADMIN` for `fleet-admin`.
fn variable_prefix(name: &CredentialName) -> String {
    let upper = name.0.to_ascii_uppercase();
    let safe: String =
        upper.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("FLEETMEND_{safe}")
}

fn missing(name: &CredentialName, prefix: &str) -> Failure {
    Failure::input(format!("could not find the credential `{name}`"))
        .hint(format!("set {prefix}_USER and {prefix}_PASSWORD, or run at a terminal to be asked"))
}

fn ask_user(name: &CredentialName, prefix: &str) -> Result<Credential, Failure> {
    if !environment::can_ask() {
        return Err(missing(name, prefix));
    }
    super::output::talk(&format!("user for credential `{name}` (DOMAIN\\user or user@domain): "));
    let mut user = String::new();
    std::io::stdin()
        .read_line(&mut user)
        .map_err(|error| Failure::internal("could not read the terminal", &error))?;
    match user.trim() {
        "" => Err(missing(name, prefix)),
        user => ask_password(name, prefix, user.to_owned()),
    }
}

fn ask_password(name: &CredentialName, prefix: &str, user: String) -> Result<Credential, Failure> {
    if !environment::can_ask() {
        return Err(missing(name, prefix));
    }
    #[cfg(unix)]
    super::terminal::keep();
    let password =
        rpassword::prompt_password(format!("password of {user}: ")).map_err(unanswered)?;
    Ok(Credential { user, password: Secret::new(password) })
}

/// No password was typed: Ctrl-C is a key there, and ends the program as it does elsewhere.
fn unanswered(error: std::io::Error) -> Failure {
    let failure = Failure::internal("could not read the terminal", &error);
    if error.kind() != std::io::ErrorKind::Interrupted {
        return failure;
    }
    Failure { kind: FailureKind::Stopped, message: "nothing was changed".to_owned(), ..failure }
}

/// Reads the file that a lab wrote for itself: a JSON object of `name: {user, password}`. It must
/// belong to its owner alone.
///
/// # Errors
///
/// It cannot be read, others may read it, or it is not such a file.
pub(super) fn read_lab_file(path: &Path) -> Result<BTreeMap<String, Credential>, Failure> {
    let shown = path.display();
    let refuse =
        |what: &str| Failure::input(format!("could not use the lab's credentials {shown}: {what}"));
    let metadata = std::fs::metadata(path).map_err(|error| {
        refuse("it cannot be read")
            .because(&error)
            .hint("the lab that wrote this inventory has ended: start `fleetmend lab up` again")
    })?;
    if !is_private(&metadata) {
        return Err(refuse("others may read it").hint(format!("chmod 600 {shown}")));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| refuse("it cannot be read").because(&error))?;
    let text = zeroize::Zeroizing::new(text);
    let file: BTreeMap<String, LabCredential> =
        serde_json::from_str(&text).map_err(|_| refuse("it is not a file that a lab wrote"))?;
    Ok(file
        .into_iter()
        .map(|(name, entry)| {
            (name, Credential { user: entry.user, password: Secret::new(entry.password) })
        })
        .collect())
}

#[derive(serde::Deserialize)]
struct LabCredential {
    user: String,
    password: String,
}

#[cfg(unix)]
fn is_private(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o077 == 0
}

#[cfg(not(unix))]
fn is_private(_metadata: &std::fs::Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_named_after_its_variables() {
        let prefix = variable_prefix(&CredentialName("fleet-admin".to_owned()));

        assert_eq!(prefix, "FLEETMEND_FLEET_ADMIN");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_command_that_mends_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("credentials.json");
        std::fs::write(&path, r#"{"lab-admin": {"user": "LAB\\admin", "password": "x"}}"#)
            .expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("mode");

        let refused = read_lab_file(&path).expect_err("refused");
        assert!(refused.hint.is_some_and(|hint| hint.starts_with("chmod 600")));

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("mode");
        let found = read_lab_file(&path).expect("read");
        assert_eq!(found["lab-admin"].user, "LAB\\admin");
    }
}
