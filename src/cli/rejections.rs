//! The rejected credentials of this controller, as the guard of connections asks for them, and as
//! an operator is told of them.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::error::Failure;
use super::fleet::{CredentialUse, Fleet};
use super::launch;
use crate::engine::{BookError, FirstLogonRight, GuardedConnector, RejectionBook};
use crate::model::{Credential, CredentialVersion, HostName, Rejection};
use crate::report::clean_line;
use crate::store::{CredentialBook, StateDir};
use crate::transport::{Connector, NetworkConnector};

/// The book of a state directory, with the wall clock.
struct Kept(CredentialBook);

impl RejectionBook for Kept {
    fn version(&self, credential: &Credential) -> CredentialVersion {
        self.0.version(credential)
    }

    fn rejection(&self, version: &CredentialVersion) -> Result<Option<Rejection>, BookError> {
        Ok(self.0.rejection(version)?)
    }

    fn reject(
        &self,
        version: &CredentialVersion,
        host: &HostName,
        said: &str,
    ) -> Result<(), BookError> {
        let (host, said) = (host.clone(), said.to_owned());
        let rejection = Rejection { host, since: launch::wall_clock(), said };
        Ok(self.0.reject(version, &rejection)?)
    }

    fn first_logon(
        &self,
        version: &CredentialVersion,
    ) -> Result<Option<FirstLogonRight>, BookError> {
        let right = self.0.first_logon(version)?;
        Ok(right.map(|right| Box::new(right) as FirstLogonRight))
    }
}

/// The connector of the network, guarded by what this controller knows of rejected credentials.
///
/// # Errors
///
/// A credential of these hosts was rejected before: nothing is connected to.
pub(super) fn connector(
    state_dir: &StateDir,
    fleet: &Fleet,
    inventory: &Path,
) -> Result<Arc<dyn Connector>, Failure> {
    let book = book(state_dir)?;
    let mut seen = HashSet::new();
    let is_news = |one: &&CredentialUse| seen.insert(book.version(&one.target.credential));
    for one in fleet.uses.iter().filter(is_news) {
        if let Some(rejection) = rejection(&book, one)? {
            return Err(refused(one, &rejection, inventory));
        }
    }
    Ok(Arc::new(GuardedConnector::with_book(Arc::new(NetworkConnector), Arc::new(Kept(book)))))
}

/// Opens the book of rejected credentials.
///
/// # Errors
///
/// The state directory refused.
pub(super) fn book(state_dir: &StateDir) -> Result<CredentialBook, Failure> {
    state_dir
        .credential_book()
        .map_err(|error| Failure::internal("could not open the book of credentials", &error))
}

/// The rejection of the credential that is used here, if it was rejected.
///
/// # Errors
///
/// The book cannot be read.
pub(super) fn rejection(
    book: &CredentialBook,
    one: &CredentialUse,
) -> Result<Option<Rejection>, Failure> {
    book.rejection(&book.version(&one.target.credential))
        .map_err(|error| Failure::internal("could not read the book of credentials", &error))
}

fn refused(one: &CredentialUse, rejection: &Rejection, inventory: &Path) -> Failure {
    let CredentialUse { name, target, .. } = one;
    let mut failure = Failure::input(format!(
        "did not connect to anything: the credential `{name}` ({}) was rejected by {} at {}",
        target.credential.user,
        rejection.host,
        at(rejection),
    ))
    .hint(format!(
        "another try could lock the account. Set the right password, or have the account unlocked \
         and prove it with one logon: fleetmend credential test {name} -i {}",
        inventory.display()
    ));
    if !rejection.said.is_empty() {
        failure.causes.push(clean_line(&rejection.said, 300));
    }
    failure
}

/// When a logon was rejected, to the second.
pub(super) fn at(rejection: &Rejection) -> String {
    rejection.since.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
