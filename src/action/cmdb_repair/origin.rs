//! Which identifier is this server's own, and whose packages may become its own. Pure.

use super::params::{OriginWanted, refused};
use super::sight::OriginSight;
use crate::model::{Guid, StepFailure};

/// This server's identifier, if both ways of KB 181405, section 1, agree on exactly one.
pub(super) fn local_id(seen: &OriginSight, owner: Guid) -> Result<i64, StepFailure> {
    match (seen.this_server.as_slice(), seen.owner.as_slice()) {
        ([one], [other]) if one == other => Ok(*one),
        ([one], [other]) => Err(refused(format!(
            "this server's identifier is {one} by vThisNS and {other} by the OwnerNSGuid {owner}: \
             they must be the same"
        ))),
        (first, second) => Err(refused(format!(
            "this server's identifier is not clear: vThisNS gives {} of them and the OwnerNSGuid \
             {owner} gives {}; each must give exactly one",
            first.len(),
            second.len()
        ))),
    }
}

/// Refuses packages of a server that is a parent, or of which nobody says that it is none any more:
/// a parent is the authority for what it replicated (KB 181405, section 1).
pub(super) fn may_be_taken_over(
    id: i64,
    seen: &OriginSight,
    said: &OriginWanted,
) -> Result<(), StepFailure> {
    let server = seen.servers.iter().find(|server| server.id == id).ok_or_else(|| {
        refused(format!("a package comes from server {id}, which OriginNSSourceNS does not know"))
    })?;
    let name = server.name.as_deref().unwrap_or("without a name");
    let guid = server.guid.ok_or_else(|| {
        refused(format!("the server {id} ({name}) has no GUID in OriginNSSourceNS"))
    })?;
    if seen.parents.hold(server.name.as_deref()) == Some(true) || said.live.contains(&guid) {
        return Err(refused(format!(
            "a package comes from {name} {guid}, a parent: it is repaired there"
        )));
    }
    if !said.left.contains(&guid) {
        return Err(refused(format!(
            "a package comes from {name} {guid}: if that server is no parent any more, name it in \
             `left_hierarchy`"
        )));
    }
    Ok(())
}
