//! Of which examined server a row of the CMDB speaks. A name that several could have is nobody's.

use std::collections::BTreeMap;

use crate::itms::evidence::{ServerEvidence, StatusRow};
use crate::model::{Guid, is_same_server};

/// The servers by their names and GUIDs.
pub(super) struct Names<'a> {
    servers: &'a [ServerEvidence],
    guids: BTreeMap<Guid, usize>,
    /// By whole name and by short name, in small letters.
    names: BTreeMap<String, Vec<usize>>,
}

/// Whose a row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner<'a> {
    /// This server's, by its place.
    Server(usize),
    /// That of a server that was not examined.
    Nobody,
    /// It could be one of these: which, is not ours to guess.
    Several { name: &'a str, servers: Vec<usize> },
}

impl<'a> Names<'a> {
    pub(super) fn of(servers: &'a [ServerEvidence]) -> Self {
        let mut all = Self { servers, guids: BTreeMap::new(), names: BTreeMap::new() };
        for (number, server) in servers.iter().enumerate() {
            if let Some(guid) = server.guid {
                all.guids.entry(guid).or_insert(number);
            }
            for name in [server.host.as_str(), server.host.short()] {
                let known = all.names.entry(name.to_lowercase()).or_default();
                if known.last() != Some(&number) {
                    known.push(number);
                }
            }
        }
        all
    }

    /// The server that a row speaks of: by GUID, else by its whole name, else by a short name that
    /// only one server can have.
    pub(super) fn owner_of<'r>(&self, row: &'r StatusRow) -> Owner<'r> {
        if let Some(server) = self.guids.get(&row.server) {
            return Owner::Server(*server);
        }
        let Some(name) = row.server_name.as_deref().map(str::trim) else { return Owner::Nobody };
        let key = name.to_lowercase();
        let short = key.split('.').next().unwrap_or(&key);
        let is_same = |at: &&usize| is_same_server(self.servers[**at].host.as_str(), &key);
        let found = self.names.get(&key).or_else(|| self.names.get(short)).into_iter().flatten();
        let mut found: Vec<usize> = found.filter(is_same).copied().collect();
        if found.len() > 1 {
            // One that is known to be another resource is not meant.
            found.retain(|at| self.servers[*at].guid.is_none());
        }
        match found.as_slice() {
            [] => Owner::Nobody,
            [only] => Owner::Server(*only),
            _ => Owner::Several { name, servers: found },
        }
    }
}
