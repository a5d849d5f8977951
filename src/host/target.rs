//! Whether a host is what the product calls a package server.

use super::Reader;
use crate::model::{FailureClass, StepFailure};

impl Reader<'_> {
    /// Refuses a host that is no package server: on a client computer the same files and the same
    /// agent belong to a user, and resynchronizing those is what KB 181405, section 3, advises
    /// against.
    ///
    /// A host is one when its agent has the package server plug-in, or when the CMDB lists it: as
    /// the server of the step's work, or in a source of the inventory.
    ///
    /// # Errors
    ///
    /// `Refused`: nothing was changed. Or the host could not be asked.
    pub async fn expect_package_server(&self) -> Result<(), StepFailure> {
        if self.host().is_sourced_package_server() {
            return Ok(());
        }
        let facts = self.facts().await?;
        let agent = facts.agent.as_ref();
        let has_plug_in = agent
            .and_then(|agent| agent.plugin_version.as_deref())
            .is_some_and(|version| !version.trim().is_empty());
        // The rows of a Notification Server are those of all its package servers.
        let own = self.work().first().map(|row| row.server.guid);
        let is_listed = own.is_some() && self.work().iter().all(|row| Some(row.server.guid) == own);
        if has_plug_in || (is_listed && facts.notification_server.is_none()) {
            return Ok(());
        }
        Err(StepFailure::new(
            FailureClass::Refused,
            "not a package server: the agent has no package server plug-in, and the CMDB does not \
             list the host; client computers are left alone",
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::host::memory::{AGENT, MemoryHost, reader};
    use crate::model::FailureClass;

    fn host(plug_in: Option<&str>) -> std::sync::Arc<MemoryHost> {
        let host = MemoryHost::package_server();
        host.answer(
            "host-facts",
            json!({
                "computer": "PC-01", "domain": "", "time_utc": null,
                "program_data": "C:\\ProgramData", "program_files": "C:\\Program Files",
                "agent": { "install_dir": AGENT, "plugin_version": plug_in },
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
}
