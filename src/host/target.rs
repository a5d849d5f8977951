//! Whether a host is what the product calls a package server.

use super::Reader;
use crate::model::{FailureClass, Guid, StepFailure};

impl Reader<'_> {
    /// Refuses a host that is no package server: on a client computer the same files and the same
    /// agent belong to a user, and resynchronizing those is what KB 181405, section 3, advises
    /// against.
    ///
    /// A host is one when its agent has the package server plug-in; where that does not show, when
    /// the CMDB lists the very machine that answers: as the server of the step's work, or in a source
    /// of the inventory. A machine whose agent has another GUID than the inventory or the CMDB has for
    /// the host is another one: names go on to live on new machines.
    ///
    /// # Errors
    ///
    /// `Refused`: nothing was changed. Or the host could not be asked.
    pub async fn expect_package_server(&self) -> Result<(), StepFailure> {
        let facts = self.facts().await?;
        let agent = facts.agent.as_ref();
        let machine = agent.and_then(|agent| agent.machine_guid);
        let declared = self.host().guid();
        if let (Some(machine), Some(declared)) = (machine, declared)
            && machine != declared
        {
            return Err(StepFailure::new(
                FailureClass::Refused,
                format!(
                    "another machine answers under this name: its agent's GUID is {machine}, and the \
                     host's is {declared}"
                ),
            ));
        }
        let has_plug_in = agent
            .and_then(|agent| agent.plugin_version.as_deref())
            .is_some_and(|version| !version.trim().is_empty());
        // The rows of a Notification Server are those of all its package servers.
        let own = self.work().first().map(|row| row.server.guid);
        let is_of_work = facts.notification_server.is_none()
            && own.is_some()
            && self.work().iter().all(|row| Some(row.server.guid) == own);
        let is_machine = |guid: Option<Guid>| guid.is_some() && guid == machine;
        let is_listed = (is_of_work && is_machine(own))
            || (self.host().is_sourced_package_server() && is_machine(declared));
        if has_plug_in || is_listed {
            return Ok(());
        }
        Err(StepFailure::new(
            FailureClass::Refused,
            "not a package server: the agent has no package server plug-in, and the CMDB does not \
             list the machine by its GUID; client computers are left alone",
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::host::memory::{AGENT, MemoryHost, reader};
    use crate::model::{FailureClass, Guid, Vars};

    fn host(plug_in: Option<&str>) -> std::sync::Arc<MemoryHost> {
        machine(plug_in, None)
    }

    fn machine(plug_in: Option<&str>, guid: Option<Guid>) -> std::sync::Arc<MemoryHost> {
        let host = MemoryHost::package_server();
        host.answer(
            "host-facts",
            json!({
                "computer": "PC-01", "domain": "", "time_utc": null,
                "program_data": "C:\\ProgramData", "program_files": "C:\\Program Files",
                "agent": { "install_dir": AGENT, "plugin_version": plug_in,
                    "machine_guid": guid.map(|guid| guid.to_string()) },
                "notification_server": null,
            }),
        );
        host
    }

    #[tokio::test]
    async fn a_client_computer_is_refused_and_a_package_server_is_not() {
        for (plug_in, is_one) in [(Some("8.6"), true), (None, false), (Some(" "), false)] {
            let session = host(plug_in).session(1);

            let result = reader(&session).expect_package_server().await;

            assert_eq!(result.is_ok(), is_one, "{plug_in:?}");
            if let Err(failure) = result {
                assert_eq!(failure.class, FailureClass::Refused);
                assert!(failure.message.starts_with("not a package server"), "{failure}");
            }
        }
    }

    /// The CMDB lists the host with the first GUID; the machine says that it has `guid`.
    async fn asked(plug_in: Option<&str>, guid: Option<Guid>) -> Result<(), String> {
        let vars: Vars = [
            ("itms_guid".to_owned(), json!(Guid::from_u128(1).to_string())),
            ("itms_package_server".to_owned(), json!(true)),
        ]
        .into_iter()
        .collect();
        let session = machine(plug_in, guid).session_of(1, vars);
        let result = reader(&session).expect_package_server().await;
        result.map_err(|failure| failure.message)
    }

    #[tokio::test]
    async fn what_the_cmdb_lists_is_looked_at_all_the_same() {
        let [own, other] = [1, 2].map(Guid::from_u128);

        for plug_in in [None, Some("8.6")] {
            let refused = asked(plug_in, Some(other)).await.expect_err("another machine");
            assert!(refused.starts_with("another machine answers under this name"), "{refused}");
        }
        let refused = asked(None, None).await.expect_err("nothing says that it is the one");
        assert!(refused.starts_with("not a package server"), "{refused}");
        assert_eq!(asked(None, Some(own)).await, Ok(()), "the very machine is listed");
        assert_eq!(asked(Some("8.6"), None).await, Ok(()));
    }
}
