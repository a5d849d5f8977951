//! Asks the CMDBs for the hosts of an inventory.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;

use super::cmdb::retrying;
use super::config::Endpoints;
use super::driver::in_time;
use crate::host::{Session, SessionConfig, package_servers};
use crate::model::{
    FailureClass, Host, HostName, ReadOnlySelect, RunId, SourcedServer, StepFailure, TimeScale,
};
use crate::transport::Connector;

/// What is asked of whom.
pub struct SourceQuestion {
    /// The hosts, in inventory order; those with a CMDB are asked.
    pub hosts: IndexMap<HostName, Host>,
    /// Where they answer.
    pub endpoints: HashMap<HostName, Endpoints>,
    /// How to read the sites, by the host whose CMDB is asked.
    pub site_queries: HashMap<HostName, ReadOnlySelect>,
    /// Makes connections.
    pub connector: Arc<dyn Connector>,
}

/// The package servers of all CMDBs, in the order of the hosts that have one.
///
/// # Errors
///
/// One of them could not be asked: fewer hosts than there are would look like all of them.
pub async fn ask_sources(question: SourceQuestion) -> Result<Vec<SourcedServer>, StepFailure> {
    let SourceQuestion { hosts, endpoints, site_queries, connector } = question;
    let mut found = Vec::new();
    let mut asked = false;
    for (name, host) in hosts {
        let Some(cmdb) = endpoints.get(&name).and_then(|endpoints| endpoints.cmdb.clone()) else {
            continue;
        };
        asked = true;
        let session = Session::new(SessionConfig {
            run: RunId::new(uuid::Uuid::nil()),
            host,
            work: Arc::from([]),
            scale: TimeScale::REAL,
            winrm: None,
            smb: None,
            cmdb: Some(cmdb),
            connector: Arc::clone(&connector),
        });
        let site_query = site_queries.get(&name);
        let answer =
            in_time(retrying(|deadline| {
                let session = &session;
                async move {
                    package_servers(&session.reader(deadline, Arc::from([])), site_query).await
                }
            }))
            .await;
        session.close().await;
        found.extend(answer?);
    }
    if asked {
        Ok(found)
    } else {
        Err(StepFailure::new(
            FailureClass::Refused,
            "could not ask for package servers: no host has a `cmdb` and a credential for it",
        ))
    }
}
