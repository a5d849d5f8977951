//! One authenticated, protected connection and its trees.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use smb2::client::{Cipher, Connection, Session, Tree};
use smb2::msg::logoff::LogoffRequest;
use smb2::types::{Command, Dialect, TreeId};
use tokio::sync::Mutex;

use super::error::{Phase, from_client};
use super::name::share_of;
use crate::model::HostName;
use crate::transport::{Deadline, Target, TransportError, TransportErrorKind};

/// A host's file system over one SMB connection.
///
/// After a deadline passed, or an operation was abandoned in the middle, the connection is dropped:
/// the server closes what was open on it, and every later call is `Unreachable`.
pub struct SmbFiles {
    pub(super) host: HostName,
    pub(super) connection: Connection,
    keys: Option<Keys>,
    trees: Mutex<HashMap<char, TreeId>>,
}

/// What encryption needs.
struct Keys {
    encryption: Vec<u8>,
    decryption: Vec<u8>,
    cipher: Cipher,
}

/// Connects and logs on with NTLMv2. Messages are always signed, and encrypted when the server
/// agreed on a cipher.
///
/// SMB 3.0 and 3.0.2 (Windows Server 2012), and Samba in every dialect, agree on encryption by a
/// capability that `smb2` 0.39 does not send; they are signed only, and one that requires
/// encryption denies access.
///
/// # Errors
///
/// `Unreachable`, `TimedOut`, `AuthRejected`, `AccessDenied`; `Refused` when the server's answers
/// are not protected as they must be.
pub async fn connect(target: &Target, deadline: Deadline) -> Result<SmbFiles, TransportError> {
    let what = || format!("could not connect to {} over SMB, port {}", target.host, target.port);
    match deadline.of(dial(target, deadline)).await {
        Ok(result) => result,
        Err(passed) => Err(TransportError::caused_by(TransportErrorKind::TimedOut, what(), passed)),
    }
}

async fn dial(target: &Target, deadline: Deadline) -> Result<SmbFiles, TransportError> {
    let what = || format!("could not connect to {} over SMB, port {}", target.host, target.port);
    let address = if target.address.contains(':') {
        format!("[{}]:{}", target.address, target.port)
    } else {
        format!("{}:{}", target.address, target.port)
    };
    let error = |error| from_client(Phase::Looking, what(), error);
    let mut connection = Connection::connect(&address, deadline.left()).await.map_err(error)?;
    // Each operation has a deadline of its own; nothing else may extend or revive it.
    connection.set_response_timeout(None);
    connection.set_keepalive(None);
    connection.set_compression_requested(false);
    connection.negotiate().await.map_err(error)?;

    let (domain, user) = target.credential.domain_and_user();
    let password = target.credential.password.expose();
    let session =
        Session::setup(&mut connection, user, password, domain).await.map_err(|error| {
            from_client(
                Phase::Looking,
                format!(
                    "could not log on to {} over SMB as {}",
                    target.host, target.credential.user
                ),
                error,
            )
        })?;
    if !session.should_sign && !session.should_encrypt {
        return Err(TransportError::new(
            TransportErrorKind::Refused,
            format!(
                "could not protect the SMB connection to {}: it would not be signed",
                target.host
            ),
        ));
    }
    let keys = keys_of(&connection, &session);
    if let Some(keys) = &keys
        && !connection.should_encrypt()
    {
        connection.activate_encryption(
            keys.encryption.clone(),
            keys.decryption.clone(),
            keys.cipher,
        );
    }
    Ok(SmbFiles { host: target.host.clone(), connection, keys, trees: Mutex::new(HashMap::new()) })
}

/// The keys and the cipher that both sides agreed on.
fn keys_of(connection: &Connection, session: &Session) -> Option<Keys> {
    let parameters = connection.params()?;
    let cipher = match parameters.dialect {
        Dialect::Smb3_1_1 => parameters.cipher?,
        _ => return None,
    };
    Some(Keys {
        encryption: session.encryption_key.clone()?,
        decryption: session.decryption_key.clone()?,
        cipher,
    })
}

impl SmbFiles {
    /// Whether what is sent and received is encrypted, not only signed.
    pub fn is_encrypted(&self) -> bool {
        self.connection.should_encrypt()
    }

    /// The tree of a drive's administrative share, connected on first use.
    pub(super) async fn tree(&self, drive: char, what: &str) -> Result<TreeId, TransportError> {
        let mut trees = self.trees.lock().await;
        if let Some(tree) = trees.get(&drive) {
            return Ok(*tree);
        }
        let share = share_of(drive);
        let mut connection = self.connection.clone();
        let tree = Tree::connect(&mut connection, &share)
            .await
            .map_err(|error| from_client(Phase::Looking, what, error))?;
        if tree.encrypt_data && !self.connection.should_encrypt() {
            let Some(keys) = &self.keys else {
                return Err(TransportError::new(
                    TransportErrorKind::Refused,
                    format!(
                        "{what}: the share {share} must be encrypted and no cipher was agreed on"
                    ),
                ));
            };
            connection.activate_encryption(
                keys.encryption.clone(),
                keys.decryption.clone(),
                keys.cipher,
            );
        }
        trees.insert(drive, tree.tree_id);
        Ok(tree.tree_id)
    }

    /// Runs an operation under a deadline. When it passes, or the caller goes away in the middle,
    /// the connection is dropped: a request without an owner must not linger on it.
    pub(super) async fn within<T>(
        &self,
        phase: Phase,
        what: &str,
        deadline: Deadline,
        operation: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        let mut fuse = Fuse { connection: &self.connection, is_armed: true };
        let result = deadline.of(operation).await;
        match result {
            Ok(result) => {
                fuse.is_armed = false;
                result
            }
            Err(passed) => Err(TransportError::caused_by(phase.timeout(), what, passed)),
        }
    }

    /// Logs off, but does not wait long for the answer.
    pub(super) async fn end(&self) {
        if !self.connection.is_disconnected() {
            let farewell = self.connection.execute(Command::Logoff, &LogoffRequest, None);
            // A server that does not answer a farewell is no reason to wait.
            let _ = Deadline::after(Duration::from_secs(2)).of(farewell).await;
        }
        self.connection.mark_dead();
    }
}

/// Drops the connection when it is dropped itself before it is disarmed.
struct Fuse<'a> {
    connection: &'a Connection,
    is_armed: bool,
}

impl Drop for Fuse<'_> {
    fn drop(&mut self) {
        if self.is_armed {
            self.connection.mark_dead();
        }
    }
}
