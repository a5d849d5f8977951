//! The sessions that are open: one for each host in flight, and one for each CMDB.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::config::DriverConfig;
use crate::event::RunState;
use crate::host::{Session, SessionConfig};
use crate::model::{Elapsed, Host, HostName, PlayNo, WorkRow};

/// How long a session may lie idle, in real time.
const STALE: Duration = Duration::from_secs(4 * 60);

/// Sessions by host; those with a CMDB stay open for the whole run.
pub(super) struct Sessions {
    config: Arc<DriverConfig>,
    open: HashMap<HostName, Arc<Session>>,
    cmdbs: Vec<(HostName, Arc<Session>)>,
    /// Those of delegated steps, by play, apart from the host's own: they outlast its share of the
    /// play.
    delegated: HashMap<(PlayNo, HostName), Arc<Session>>,
    /// When a step last used a session of the host.
    used: HashMap<HostName, Elapsed>,
}

impl Sessions {
    pub(super) fn new(config: Arc<DriverConfig>) -> Self {
        let cmdbs = config
            .hosts
            .values()
            .filter(|host| config.endpoints.get(&host.name).is_some_and(|e| e.cmdb.is_some()))
            .map(|host| (host.name.clone(), Arc::new(make(&config, host, Arc::from([])))))
            .collect();
        Self {
            config,
            open: HashMap::new(),
            cmdbs,
            delegated: HashMap::new(),
            used: HashMap::new(),
        }
    }

    /// Notes that a step uses, or has just used, a session of the host.
    pub(super) fn note_use(&mut self, name: &HostName, now: Elapsed) {
        self.used.insert(name.clone(), now);
    }

    /// Takes out sessions of a host that nobody used for so long that the host, or a firewall
    /// between, may have ended them: after a pause, or after an operator took his time.
    pub(super) fn take_stale(&mut self, name: &HostName, now: Elapsed) -> Vec<Arc<Session>> {
        if self.used.get(name).is_none_or(|used| now.since(*used) < STALE) {
            return Vec::new();
        }
        let delegated = self.delegated.extract_if(|(_, host), _| host == name);
        let mut stale: Vec<_> = delegated.map(|(_, session)| session).collect();
        stale.extend(self.open.remove(name));
        stale
    }

    /// The session of a host in a play, made when first asked for.
    pub(super) fn get(
        &mut self,
        name: &HostName,
        play: PlayNo,
        state: &RunState,
    ) -> Option<Arc<Session>> {
        if let Some(session) = self.open.get(name) {
            return Some(Arc::clone(session));
        }
        let session = self.made(name, play, state)?;
        self.open.insert(name.clone(), Arc::clone(&session));
        Some(session)
    }

    /// The session of a host on which other hosts' tasks act, made when first asked for.
    pub(super) fn delegated(
        &mut self,
        name: &HostName,
        play: PlayNo,
        state: &RunState,
    ) -> Option<Arc<Session>> {
        let key = (play, name.clone());
        if let Some(session) = self.delegated.get(&key) {
            return Some(Arc::clone(session));
        }
        let session = self.made(name, play, state)?;
        self.delegated.insert(key, Arc::clone(&session));
        Some(session)
    }

    fn made(&self, name: &HostName, play: PlayNo, state: &RunState) -> Option<Arc<Session>> {
        let host = self.config.hosts.get(name)?;
        let work: Arc<[WorkRow]> = state
            .plays
            .get(&play)
            .and_then(|play| play.work.as_ref())
            .and_then(|work| work.by_host.get(name))
            .map_or_else(|| Arc::from([]), |rows| rows.clone().into());
        Some(Arc::new(make(&self.config, host, work)))
    }

    /// Takes a session out, to be closed by the caller.
    pub(super) fn remove(&mut self, name: &HostName) -> Option<Arc<Session>> {
        self.open.remove(name)
    }

    /// The Notification Servers whose CMDB can be asked.
    pub(super) fn notification_servers(&self) -> Vec<(HostName, Arc<Session>)> {
        self.cmdbs.clone()
    }

    /// Whether the host is a Notification Server whose CMDB can be asked.
    pub(super) fn has_cmdb(&self, name: &HostName) -> bool {
        self.cmdbs.iter().any(|(server, _)| server == name)
    }

    /// Closes whatever is open, all at once.
    pub(super) async fn close_all(&mut self) {
        let open = self.open.drain().map(|(_, session)| session);
        let open = open.chain(self.delegated.drain().map(|(_, session)| session));
        let all = open.chain(self.cmdbs.drain(..).map(|(_, session)| session));
        futures::future::join_all(all.map(|session| async move { session.close().await })).await;
    }
}

/// A session for a host with its work.
pub(super) fn make(config: &DriverConfig, host: &Host, work: Arc<[WorkRow]>) -> Session {
    let endpoints = config.endpoints.get(&host.name).cloned().unwrap_or_default();
    Session::new(SessionConfig {
        run: config.run,
        host: host.clone(),
        work,
        scale: config.scale,
        winrm: endpoints.winrm,
        smb: endpoints.smb,
        cmdb: endpoints.cmdb,
        connector: Arc::clone(&config.connector),
    })
    .with_cmdb_writer(endpoints.cmdb_writer)
    .with_unfinished(Arc::clone(&config.unfinished))
}
