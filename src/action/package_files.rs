//! Files named by a package's GUID, as playbooks write them: `{package}/snapshot.xml`; and those of
//! no package that are named for themselves.

use futures::future::join_all;
use serde::Deserialize;

use super::urgent_list::URGENT_LIST;
use crate::host::{Fence, FencedFile, Reader, Role, Root};
use crate::model::{FailureClass, Guid, StepFailure, WindowsPath};
use crate::transport::TransportErrorKind;

/// What stands for the package's GUID in braces.
const PLACEHOLDER: &str = "{package}";

/// What stands for the name of the agent's Notification Server.
const SERVER: &str = "{ns}";

/// How many files are looked at at once; one after the other would cost a round trip each.
const AT_ONCE: usize = 16;

/// The name of a file below a role's folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct FilePattern(String);

impl TryFrom<String> for FilePattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let rest = text.replace(PLACEHOLDER, "").replace(SERVER, "");
        if rest.contains(['{', '}']) {
            return Err(format!(
                "`{text}` holds braces: `{PLACEHOLDER}` stands for a package's GUID, `{SERVER}` for \
                 the name of the agent's Notification Server"
            ));
        }
        // A short name would stand for a file whose real name the rules are about.
        if rest.contains('~') {
            return Err(format!("`{text}` holds a tilde: short names are not understood"));
        }
        let sample =
            text.replace(PLACEHOLDER, &Guid::from_u128(0).to_string()).replace(SERVER, "server");
        let root = WindowsPath::root('C').ok_or("no drive")?;
        root.join(&sample)
            .map_err(|error| format!("`{text}` is no name of a file: {}", error.reason))?;
        Ok(Self(text.replace('/', "\\")))
    }
}

impl FilePattern {
    /// Whether it names a file of each package.
    pub(super) fn is_per_package(&self) -> bool {
        self.0.contains(PLACEHOLDER)
    }

    /// Whether it is the file of that name, and of no package.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name)
    }

    /// Whether one of its folders has that name.
    pub(super) fn has_part(&self, name: &str) -> bool {
        self.0.split('\\').any(|part| part.eq_ignore_ascii_case(name))
    }

    /// The file of a package.
    fn of(&self, package: Guid) -> String {
        self.0.replace(PLACEHOLDER, &package.to_string())
    }

    /// For `{package}.xml`: what comes after the GUID.
    fn suffix(&self) -> Option<&str> {
        let suffix = self.0.strip_prefix(PLACEHOLDER)?;
        (suffix.starts_with('.') && !suffix.contains('\\')).then_some(suffix)
    }

    /// Whether a name on disk is this file of the package, in another spelling: without braces, or
    /// with a language, `{GUID.EN_US}.xml` (KB 181405).
    fn is_twin(&self, name: &str, package: Guid) -> bool {
        let Some(suffix) = self.suffix() else { return false };
        let upper = name.to_uppercase();
        let Some(stem) = upper.strip_suffix(&suffix.to_uppercase()) else { return false };
        let stem = match stem.strip_prefix('{') {
            Some(rest) => match rest.strip_suffix('}') {
                Some(stem) => stem,
                None => return false,
            },
            None => stem,
        };
        let Some(rest) = stem.strip_prefix(&package.bare()) else { return false };
        let is_language = |rest: &str| {
            rest.strip_prefix('.').is_some_and(|language| {
                (2..=11).contains(&language.len())
                    && language.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            })
        };
        rest.is_empty() || is_language(rest)
    }
}

/// A name with the package that it belongs to.
type Named = (Option<Guid>, String);

/// The names that patterns give for packages: those spelled as the product spells them, and the
/// twins among `names`, what a folder holds.
pub(super) fn names_of(
    patterns: &[FilePattern],
    packages: &[Guid],
    names: &[String],
) -> Vec<Named> {
    let mut found: Vec<Named> = Vec::new();
    let mut add = |package: Option<Guid>, name: String| {
        if !found.iter().any(|(_, known)| known.eq_ignore_ascii_case(&name)) {
            found.push((package, name));
        }
    };
    for pattern in patterns {
        if !pattern.is_per_package() {
            add(None, pattern.0.clone());
            continue;
        }
        for package in packages {
            add(Some(*package), pattern.of(*package));
            for name in names.iter().filter(|name| pattern.is_twin(name, *package)) {
                add(Some(*package), name.clone());
            }
        }
    }
    found
}

/// What a folder holds directly, where names have twins: at the Notification Server only.
pub(super) async fn twins_in(
    at: &Reader<'_>,
    role: Role,
    folder: &WindowsPath,
) -> Result<Vec<String>, StepFailure> {
    if role != Role::NsSnapshots {
        return Ok(Vec::new());
    }
    match at.files().list(folder).await {
        Err(error) if error.kind == TransportErrorKind::NotFound => Ok(Vec::new()),
        listed => Ok(listed?.into_iter().map(|entry| entry.name).collect()),
    }
}

/// Admits files at the fence, several at once; in the order of the names.
pub(super) async fn admit(
    fence: &Fence<'_>,
    root: &Root,
    names: &[Named],
) -> Result<Vec<(Option<Guid>, FencedFile)>, StepFailure> {
    let mut files = Vec::with_capacity(names.len());
    for some in names.chunks(AT_ONCE) {
        let admitted = join_all(some.iter().map(|(_, name)| fence.file(root, name))).await;
        for ((package, _), file) in some.iter().zip(admitted) {
            files.push((*package, file?));
        }
    }
    Ok(files)
}

/// The patterns with the name of the agent's Notification Server filled in, if the role can be
/// served with them.
///
/// # Errors
///
/// `Refused` when the role's files are only read, when a name stands for no package where it must,
/// or for a file that nobody may take away.
pub(super) async fn movable(
    at: &Reader<'_>,
    role: Role,
    patterns: &[FilePattern],
) -> Result<Vec<FilePattern>, StepFailure> {
    let patterns = filled_in(at, patterns).await?;
    let server = match role {
        Role::PsPolicies => server_of(at).await?,
        _ => None,
    };
    match objection(role, &patterns, server.as_deref()) {
        Some(failure) => Err(failure),
        None => Ok(patterns),
    }
}

/// The patterns with the name of the agent's Notification Server filled in.
///
/// # Errors
///
/// `Refused` when one is needed and the host has none.
pub(super) async fn filled_in(
    at: &Reader<'_>,
    patterns: &[FilePattern],
) -> Result<Vec<FilePattern>, StepFailure> {
    if !patterns.iter().any(|pattern| pattern.0.contains(SERVER)) {
        return Ok(patterns.to_vec());
    }
    let Some(server) = server_of(at).await? else {
        return Err(StepFailure::new(
            FailureClass::Refused,
            format!("could not fill in `{SERVER}`: no agent here names its Notification Server"),
        ));
    };
    Ok(patterns.iter().map(|it| FilePattern(it.0.replace(SERVER, &server))).collect())
}

/// The name of the agent's Notification Server, as the host has it.
pub(super) async fn server_of(at: &Reader<'_>) -> Result<Option<String>, StepFailure> {
    let facts = at.facts().await?;
    Ok(facts.agent.as_ref().and_then(|agent| agent.ns.clone()).filter(|name| !name.is_empty()))
}

/// Why a role cannot be served with these files; `None` when it can. Pure.
fn objection(role: Role, patterns: &[FilePattern], server: Option<&str>) -> Option<StepFailure> {
    let refuse = |reason: &str| {
        Some(StepFailure::new(
            FailureClass::Refused,
            format!("could not use these files of {role}: {reason}"),
        ))
    };
    if !role.may_change() {
        return refuse("they are only read");
    }
    match role {
        Role::PsStatus => {
            let is_known =
                |pattern: &FilePattern| pattern.is_per_package() || pattern.is_named(URGENT_LIST);
            if !patterns.iter().all(is_known) {
                return refuse(&format!(
                    "each name must hold `{PLACEHOLDER}` or be `{URGENT_LIST}`"
                ));
            }
        }
        Role::PsPolicies => {
            let Some(server) = server else {
                return refuse("no agent here names its Notification Server");
            };
            let own = format!("{server}.xml");
            if !patterns.iter().all(|pattern| pattern.is_named(&own)) {
                return refuse(&format!("only {own} is the agent's, `{SERVER}.xml`"));
            }
        }
        _ if !patterns.iter().all(FilePattern::is_per_package) => {
            return refuse(&format!("each name must hold `{PLACEHOLDER}`"));
        }
        _ => {}
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Guid = Guid::from_u128(0xA);

    fn pattern(text: &str) -> FilePattern {
        FilePattern::try_from(text.to_owned()).expect(text)
    }

    #[test]
    fn a_pattern_names_a_file_inside_and_has_no_other_placeholder() {
        for wrong in [
            "",
            "../x",
            "{package}/PACKAG~1.XML",
            "{package}/..",
            "{pkg}.xml",
            "*.xml",
            "{package}/",
            "C:\\x",
            "a:b",
        ] {
            assert!(FilePattern::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
        assert_eq!(pattern("{package}/snapshot.xml").of(A), format!("{A}\\snapshot.xml"));
    }

    #[test]
    fn other_spellings_of_a_package_at_the_notification_server_are_found() {
        let bare = A.bare();
        let others = Guid::from_u128(0xB).to_string();
        let names = [
            format!("{A}.xml").to_lowercase(),
            format!("{{{bare}.EN_US}}.xml"),
            format!("{bare}.xml"),
            format!("{A}.xml.bak"),
            format!("{others}.xml"),
            format!("{{{bare}.}}.xml"),
            format!("{{{bare}x}}.xml"),
        ];

        let found = names_of(&[pattern("{package}.xml")], &[A], &names);

        let found: Vec<String> = found.into_iter().map(|(_, name)| name).collect();
        assert_eq!(
            found,
            [format!("{A}.xml"), format!("{{{bare}.EN_US}}.xml"), format!("{bare}.xml"),]
        );
    }

    #[test]
    fn a_file_of_no_package_is_named_once() {
        let found = names_of(&[pattern("smp01.corp.example.xml")], &[A, Guid::from_u128(2)], &[]);

        assert_eq!(found, [(None, "smp01.corp.example.xml".to_owned())]);
    }

    #[test]
    fn of_files_of_no_package_only_the_urgent_list_and_the_agents_own_policies_are_moved() {
        let is_taken =
            |role, name: &str, server| objection(role, &[pattern(name)], server).is_none();
        let server = Some("smp01.corp.example");

        assert!(is_taken(Role::PsPolicies, "SMP01.corp.example.xml", server));
        assert!(is_taken(Role::PsStatus, "urgentlist.xml", None));
        assert!(is_taken(Role::PsStatus, "{package}/PackageStatus.xml", None));
        assert!(is_taken(Role::PsDelivery, "{package}/snapshot.xml", None));
        for (role, name, server) in [
            (Role::PsPolicies, "other.xml", server),
            (Role::PsPolicies, "{package}.xml", server),
            (Role::PsPolicies, "smp01.corp.example.xml", None),
            (Role::PsStatus, "other.xml", None),
            (Role::PsStatus, "sub/UrgentList.xml", None),
            (Role::PsDelivery, "x.xml", None),
            (Role::NsSnapshots, "x.xml", None),
            (Role::AgentLog, "agent.log", None),
        ] {
            assert!(!is_taken(role, name, server), "{role} {name}");
        }
    }
}
