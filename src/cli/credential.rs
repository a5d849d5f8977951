//! `fleetmend credential`: which credentials an inventory names, how they stand, and the one logon
//! that proves one.

use std::fmt::Write;
use std::time::Duration;

use indexmap::IndexMap;

use super::args::{Cli, CredentialListArgs, CredentialTestArgs};
use super::error::Failure;
use super::fleet::{CredentialUse, Logon};
use super::{environment, files, fleet, launch, output, rejections};
use crate::event::RunResult;
use crate::model::{CredentialName, HostName, Rejection};
use crate::report::clean_line;
use crate::store::CredentialBook;
use crate::transport::{Connector, Deadline, NetworkConnector, TransportErrorKind};

/// The longest that the logon may take.
const LOGON: Duration = Duration::from_secs(30);

/// Lists the credentials that an inventory names, and how they stand on this controller.
pub(super) fn list(cli: &Cli, args: &CredentialListArgs) -> Result<RunResult, Failure> {
    let file = files::inventory(&args.inventory)?;
    let book = rejections::book(&launch::state_dir(cli)?)?;
    let uses = fleet::quiet_uses(&file)?;
    let mut names: IndexMap<CredentialName, Vec<&fleet::NamedUse>> = IndexMap::new();
    for one in &uses {
        names.entry(one.name.clone()).or_default().push(one);
    }
    if names.is_empty() {
        output::talk(
            "the inventory names no credential: give its hosts the variable `credential`\n",
        );
        return Ok(RunResult::Done);
    }
    let width = names.keys().map(|name| name.0.chars().count()).max().unwrap_or_default();
    let paint = environment::paint_stdout();
    let mut text = String::new();
    let mut rejected = None;
    for (name, uses) in &names {
        let hosts = match uses.len() {
            1 => "1 host".to_owned(),
            many => format!("{many} hosts"),
        };
        let found = uses.iter().find_map(|one| one.found.as_ref());
        let (user, standing) = match found {
            None => ("-".to_owned(), "not found: it is asked for at the terminal".to_owned()),
            Some(credential) => {
                let rejection = book.rejection(&book.version(credential)).map_err(|error| {
                    Failure::internal("could not read the book of credentials", &error)
                })?;
                let standing = match rejection {
                    None => paint.good("not rejected"),
                    Some(rejection) => {
                        rejected.get_or_insert(name);
                        let at = rejections::at(&rejection);
                        paint.bad(&format!("REJECTED by {} at {at}", rejection.host))
                    }
                };
                (clean_line(&credential.user, 60), standing)
            }
        };
        let _infallible = writeln!(text, "{:width$}  {user}  {hosts}  {standing}", name.0);
    }
    output::result(&text);
    if let Some(name) = rejected {
        output::talk(&format!(
            "no run tries a rejected one again until its password is another one, or one logon proves \
             it: fleetmend credential test {name} -i {}\n",
            args.inventory.display()
        ));
    }
    Ok(RunResult::Done)
}

/// Makes one logon with a credential, on one host over one protocol, whatever was rejected before.
/// One that succeeds lets runs use the credential again.
pub(super) async fn test(cli: &Cli, args: &CredentialTestArgs) -> Result<RunResult, Failure> {
    let file = files::inventory(&args.inventory)?;
    let name = CredentialName(args.name.clone());
    let book = rejections::book(&launch::state_dir(cli)?)?;
    let host = chosen(args, &fleet::quiet_uses(&file)?)?;
    let fleet = fleet::fleet(&file, |one| one.name == host)?;
    let one = fleet.uses.iter().find(|one| one.name == name).ok_or_else(|| {
        Failure::input(format!("could not find the credential `{name}` of {host}"))
    })?;
    let version = book.version(&one.target.credential);
    let unusable = |error| Failure::internal("could not use the book of credentials", &error);
    let Some(_right) = book.first_logon(&version).map_err(unusable)? else {
        return Err(Failure::input(format!(
            "another run makes its first logon with the credential `{name}` just now"
        ))
        .hint("wait a moment, then look: fleetmend credential list"));
    };
    log_on(one, &book, &version).await
}

/// The host of the test: the one that was named, else the first that uses the credential.
fn chosen(args: &CredentialTestArgs, uses: &[fleet::NamedUse]) -> Result<HostName, Failure> {
    let named: Vec<&fleet::NamedUse> = uses.iter().filter(|one| one.name.0 == args.name).collect();
    let known: Vec<&str> = {
        let mut known: Vec<&str> = uses.iter().map(|one| one.name.0.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        known
    };
    let Some(first) = named.first() else {
        return Err(Failure::input(format!(
            "no host of the inventory's file uses the credential `{}`",
            args.name
        ))
        .hint(format!("it names {}", known.join(", "))));
    };
    match &args.host {
        None => Ok(first.host.clone()),
        Some(wanted) => named
            .iter()
            .find(|one| one.host.as_str().eq_ignore_ascii_case(wanted))
            .map(|one| one.host.clone())
            .ok_or_else(|| {
                Failure::input(format!("{wanted} does not use the credential `{}`", args.name))
                    .hint(format!("{} does, for one", first.host))
            }),
    }
}

async fn log_on(
    one: &CredentialUse,
    book: &CredentialBook,
    version: &crate::model::CredentialVersion,
) -> Result<RunResult, Failure> {
    let CredentialUse { name, target, logon } = one;
    let deadline = Deadline::after(LOGON);
    let connector = NetworkConnector;
    let (protocol, result) = match logon {
        Logon::Windows => {
            let shell = connector.shell(target, deadline).await;
            let result = match shell {
                Ok(shell) => {
                    shell.close().await;
                    Ok(())
                }
                Err(error) => Err(error),
            };
            ("WinRM", result)
        }
        Logon::Cmdb => {
            let session = connector.sql(target, deadline).await;
            let result = match session {
                Ok(session) => {
                    session.close().await;
                    Ok(())
                }
                Err(error) => Err(error),
            };
            ("SQL", result)
        }
    };
    let user = clean_line(&target.credential.user, 60);
    let unusable = |error| Failure::internal("could not write the book of credentials", &error);
    let error = match result {
        Ok(()) => {
            let was_rejected = book.accept(version).map_err(unusable)?;
            let again = if was_rejected { "; runs may use it again" } else { "" };
            output::result(&format!(
                "{}: {} accepted {user} over {protocol}{again}\n",
                name, target.host
            ));
            return Ok(RunResult::Done);
        }
        Err(error) => error,
    };
    let chain = std::iter::successors(std::error::Error::source(&error), |error| error.source());
    let said: Vec<String> = chain.map(ToString::to_string).collect();
    let said = clean_line(&said.join(": "), 300);
    if error.kind == TransportErrorKind::AuthRejected {
        let rejection = Rejection {
            host: target.host.clone(),
            since: launch::wall_clock(),
            said: said.clone(),
        };
        book.reject(version, &rejection).map_err(unusable)?;
        output::result(&format!(
            "{name}: {} REJECTED {user} over {protocol}: {said}\nno run tries it again on this \
             controller until a test succeeds or the password is another one\n",
            target.host
        ));
    } else {
        output::result(&format!(
            "{name}: could not log on to {} over {protocol}: {said}\nthis says nothing of the \
             credential; try another host with --host\n",
            target.host
        ));
    }
    Ok(RunResult::UnreachableOnly)
}
