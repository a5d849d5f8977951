//! Whether `UrgentList.xml` may be taken away: only when it lists a package without a policy
//! (KB 181405). Otherwise the agent has good reason to hurry.

use super::agent_packages::PackageList;
use super::package_files::server_of;
use crate::host::{Reader, Role};
use crate::itms::Unreadable;
use crate::itms::package_status::PackageState;
use crate::itms::policy::read_policy;
use crate::model::{FailureClass, Guid, StepFailure};

/// The largest policy file that is read.
const LARGEST_POLICY: u64 = 16 << 20;

/// The most packages that a message names.
const NAMED: usize = 3;

/// The file's name.
pub(super) const URGENT_LIST: &str = "UrgentList.xml";

/// Who says which packages the server is to have; none where that could not be read.
#[derive(Debug, Default)]
pub(super) struct Assigned {
    /// The policies of its Notification Server.
    by_policy: Option<Vec<Guid>>,
    /// The agent's own list, without what it removes.
    by_agent: Option<Vec<Guid>>,
}

impl Assigned {
    /// Asks the policy file and the agent.
    pub(super) async fn read(at: &Reader<'_>) -> Result<Self, StepFailure> {
        let by_policy = policy_packages(at).await?;
        let by_agent = match PackageList::read(at).await {
            Ok(list) if list.package_server => Some(
                list.packages
                    .iter()
                    .filter(|entry| PackageState::of(&entry.status) != PackageState::Deleted)
                    .map(|entry| entry.id)
                    .collect(),
            ),
            Ok(_) => None,
            Err(failure) if failure.class == FailureClass::RemoteFault => None,
            Err(failure) => return Err(failure),
        };
        Ok(Self { by_policy, by_agent })
    }
}

async fn policy_packages(at: &Reader<'_>) -> Result<Option<Vec<Guid>>, StepFailure> {
    let Some(server) = server_of(at).await? else { return Ok(None) };
    let root = match at.root(Role::PsPolicies).await {
        Ok(root) => root,
        Err(failure) if failure.class == FailureClass::Refused => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let file = at.fence().to_read(&root, &format!("{server}.xml")).await?;
    if file.metadata().is_none_or(|metadata| metadata.size > LARGEST_POLICY) {
        return Ok(None);
    }
    let bytes = at.files().read(file.path(), LARGEST_POLICY).await?;
    Ok(read_policy(&bytes).ok().and_then(|policy| policy.packages))
}

/// Why the list must stay; `None` when a package in it has no policy. Pure.
pub(super) fn why_stay(
    listed: &Result<Vec<Guid>, Unreadable>,
    assigned: &Assigned,
) -> Option<String> {
    let listed = match listed {
        Ok(listed) => listed,
        Err(reason) => return Some(format!("{URGENT_LIST} is not understood: {reason}")),
    };
    let sources: Vec<&Vec<Guid>> = assigned.by_policy.iter().chain(&assigned.by_agent).collect();
    if sources.is_empty() {
        return Some(format!(
            "neither the policies nor the agent say whether the packages of {URGENT_LIST} have one"
        ));
    }
    let has_policy = |package: &Guid| sources.iter().any(|source| source.contains(package));
    if !listed.iter().all(has_policy) {
        return None;
    }
    let names: Vec<String> = listed.iter().take(NAMED).map(ToString::to_string).collect();
    Some(if listed.is_empty() {
        format!("{URGENT_LIST} lists no package")
    } else {
        format!("every package of {URGENT_LIST} has a policy ({})", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Guid = Guid::from_u128(0xA);
    const B: Guid = Guid::from_u128(0xB);

    fn stays(listed: &[Guid], policy: Option<&[Guid]>, agent: Option<&[Guid]>) -> bool {
        let assigned = Assigned {
            by_policy: policy.map(<[Guid]>::to_vec),
            by_agent: agent.map(<[Guid]>::to_vec),
        };
        why_stay(&Ok(listed.to_vec()), &assigned).is_some()
    }

    #[test]
    fn a_list_goes_only_for_a_package_that_neither_the_policies_nor_the_agent_know() {
        assert!(!stays(&[A, B], Some(&[A]), Some(&[A])));
        assert!(!stays(&[A], Some(&[B]), None));
        assert!(!stays(&[A], None, Some(&[])));

        assert!(stays(&[A, B], Some(&[A]), Some(&[B])), "one of the two knows each");
        assert!(stays(&[A], None, None), "nobody was asked");
        assert!(stays(&[], Some(&[]), Some(&[])), "it lists nothing");
    }

    #[test]
    fn a_list_that_is_not_understood_stays() {
        let unreadable = Err(Unreadable("it is not XML".to_owned()));
        let assigned = Assigned { by_policy: Some(Vec::new()), by_agent: None };

        let reason = why_stay(&unreadable, &assigned).expect("it stays");

        assert!(reason.contains("not understood: it is not XML"), "{reason}");
    }
}
