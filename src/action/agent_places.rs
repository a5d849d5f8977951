//! Where the files are that show what the agent did.

use super::agent_effect::AgentPlaces;
use crate::host::{Reader, Role};
use crate::model::{FailureClass, StepFailure, WindowsPath};

/// Finds the agent's log and policy file; `None` when there is no agent.
pub(super) async fn find_places(at: &Reader<'_>) -> Result<Option<AgentPlaces>, StepFailure> {
    let facts = at.facts().await?;
    let Some(agent) = &facts.agent else { return Ok(None) };
    let log = file_in(at, Role::AgentLog, "agent.log").await?;
    let policy = match &agent.ns {
        Some(server) => file_in(at, Role::PsPolicies, &format!("{server}.xml")).await?,
        None => None,
    };
    Ok(Some(AgentPlaces { log, policy }))
}

/// A file of a role's folder; `None` when the host has no such folder, or not one alone.
async fn file_in(
    at: &Reader<'_>,
    role: Role,
    name: &str,
) -> Result<Option<WindowsPath>, StepFailure> {
    match at.root(role).await {
        // The name of a server comes from the host: one that is no file name is no evidence.
        Ok(root) => Ok(root.path.join(name).ok()),
        Err(failure) if failure.class == FailureClass::Refused => Ok(None),
        Err(failure) => Err(failure),
    }
}
