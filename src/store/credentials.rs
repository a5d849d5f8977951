//! The rejected credentials of this controller: what was rejected once is tried by no run again.
//!
//! No password is kept. A version of a credential is known by a slow hash over the password, the
//! user and a salt of this state directory, so that equal passwords of two users, or in two state
//! directories, look different.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::lease::lock;
use super::state_dir::{StateDir, StateDirError};
use crate::model::{Credential, CredentialVersion, HostName, Rejection};

/// Rounds of the slow hash (PBKDF2, RFC 8018 section 5.2): some ten milliseconds for each guess.
const ROUNDS: u32 = 20_000;
/// The most rejections that are kept; the newest stay.
const MOST: u32 = 500;
/// The most characters of what a host said that are kept.
const SAID: usize = 300;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS credential_salt (
        id INTEGER PRIMARY KEY CHECK (id = 1), salt BLOB NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS rejected_credentials (
        user TEXT NOT NULL, hash TEXT NOT NULL, host TEXT NOT NULL, since TEXT NOT NULL,
        said TEXT NOT NULL, PRIMARY KEY (user, hash)
    ) STRICT;";

/// What is known of credentials on this controller. All processes that use the state directory
/// share it.
#[derive(Debug)]
pub struct CredentialBook {
    dir: StateDir,
    index: Mutex<Connection>,
    salt: [u8; 32],
    /// Hashes that were made, by a quick hash that never leaves this process.
    known: Mutex<HashMap<[u8; 32], String>>,
}

/// The right to make the first logon with a credential; it ends when it is dropped, or with the
/// process.
#[derive(Debug)]
pub struct FirstLogon {
    /// Held, not read: the operating system frees it with the process.
    _lock: File,
}

impl StateDir {
    /// Opens the book of rejected credentials.
    ///
    /// # Errors
    ///
    /// The index cannot be read or written, or the system has no randomness.
    pub fn credential_book(&self) -> Result<CredentialBook, StateDirError> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(|error| self.io(error.into()))?;
        let index = self.index()?;
        let opened = index.execute_batch(SCHEMA).and_then(|()| {
            let insert = "INSERT OR IGNORE INTO credential_salt (id, salt) VALUES (1, ?1)";
            index.execute(insert, [salt])?;
            index.query_row("SELECT salt FROM credential_salt", [], |row| row.get(0))
        });
        let salt = opened.map_err(|source| self.sqlite(source))?;
        Ok(CredentialBook {
            dir: self.clone(),
            index: Mutex::new(index),
            salt,
            known: Mutex::new(HashMap::new()),
        })
    }

    fn io(&self, source: std::io::Error) -> StateDirError {
        StateDirError::Io { path: self.database("state.db"), source }
    }

    fn sqlite(&self, source: rusqlite::Error) -> StateDirError {
        StateDirError::Sqlite { path: self.database("state.db"), source }
    }
}

impl CredentialBook {
    /// The version of a credential: its user and a hash of its password.
    pub fn version(&self, credential: &Credential) -> CredentialVersion {
        let user = credential.user.to_lowercase();
        let password = credential.password.expose().as_bytes();
        let quick: [u8; 32] = Sha256::new()
            .chain_update(self.salt)
            .chain_update(Sha256::digest(user.as_bytes()))
            .chain_update(password)
            .finalize()
            .into();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = known.entry(quick).or_insert_with(|| slow_hash(&self.salt, &user, password));
        CredentialVersion { user, hash: hash.clone() }
    }

    /// The rejection of this version; none if it may be tried.
    ///
    /// # Errors
    ///
    /// The index cannot be read.
    pub fn rejection(
        &self,
        version: &CredentialVersion,
    ) -> Result<Option<Rejection>, StateDirError> {
        self.with_index(|index| {
            let select = "SELECT host, since, said FROM rejected_credentials \
                          WHERE user = ?1 AND hash = ?2";
            let mut select = index.prepare_cached(select)?;
            let row = select.query_row((&version.user, &version.hash), |row| {
                let since: String = row.get(1)?;
                Ok(Rejection {
                    host: HostName::new(row.get::<_, String>(0)?),
                    // A time that cannot be read is no reason to try a password again.
                    since: since.parse().unwrap_or(jiff::Timestamp::UNIX_EPOCH),
                    said: row.get(2)?,
                })
            });
            row.optional()
        })
    }

    /// Keeps that a host rejected this version. The first rejection stays.
    ///
    /// # Errors
    ///
    /// The index cannot be written.
    pub fn reject(
        &self,
        version: &CredentialVersion,
        rejection: &Rejection,
    ) -> Result<(), StateDirError> {
        let said: String = rejection.said.chars().take(SAID).collect();
        let (host, since) = (rejection.host.as_str(), rejection.since.to_string());
        self.with_index(|index| {
            let insert = "INSERT OR IGNORE INTO rejected_credentials \
                          (user, hash, host, since, said) VALUES (?1, ?2, ?3, ?4, ?5)";
            index.execute(insert, (&version.user, &version.hash, host, since, said))?;
            let prune = "DELETE FROM rejected_credentials WHERE rowid NOT IN \
                         (SELECT rowid FROM rejected_credentials ORDER BY rowid DESC LIMIT ?1)";
            index.execute(prune, [MOST]).map(|_| ())
        })
    }

    /// A logon with this version succeeded when it was tested: it may be used again. Returns
    /// whether it was rejected before.
    ///
    /// # Errors
    ///
    /// The index cannot be written.
    pub fn accept(&self, version: &CredentialVersion) -> Result<bool, StateDirError> {
        self.with_index(|index| {
            let delete = "DELETE FROM rejected_credentials WHERE user = ?1 AND hash = ?2";
            index.execute(delete, (&version.user, &version.hash)).map(|rows| rows > 0)
        })
    }

    /// Takes the right to make the first logon with this version; `None` while another process has
    /// it.
    ///
    /// # Errors
    ///
    /// The file system refused.
    pub fn first_logon(
        &self,
        version: &CredentialVersion,
    ) -> Result<Option<FirstLogon>, StateDirError> {
        let path = self.lock_path(version);
        let io = |source| StateDirError::Io { path: path.clone(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        Ok(lock(&path).map_err(io)?.map(|lock| FirstLogon { _lock: lock }))
    }

    fn lock_path(&self, version: &CredentialVersion) -> PathBuf {
        let name = Sha256::new()
            .chain_update(Sha256::digest(version.user.as_bytes()))
            .chain_update(version.hash.as_bytes())
            .finalize();
        self.dir.database("logons").join(format!("{}.lock", hex(&name[..16])))
    }

    fn with_index<T>(
        &self,
        act: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateDirError> {
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        act(&index).map_err(|source| self.dir.sqlite(source))
    }
}

/// PBKDF2 with HMAC-SHA-256, one block of output.
fn slow_hash(salt: &[u8; 32], user: &str, password: &[u8]) -> String {
    let keyed = Hmac::<Sha256>::new_from_slice(password).expect("a key of any length is taken");
    let first = keyed.clone().chain_update(salt).chain_update(user.as_bytes());
    let mut block = Zeroizing::new([0_u8; 32]);
    block.copy_from_slice(&first.chain_update(1_u32.to_be_bytes()).finalize().into_bytes());
    let mut sum = *block;
    for _ in 1..ROUNDS {
        let next = keyed.clone().chain_update(*block).finalize().into_bytes();
        block.copy_from_slice(&next);
        sum.iter_mut().zip(*block).for_each(|(sum, byte)| *sum ^= byte);
    }
    hex(&sum)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn credential(user: &str, password: &str) -> Credential {
        Credential { user: user.to_owned(), password: Secret::new(password.to_owned()) }
    }

    fn rejection(host: &str) -> Rejection {
        Rejection {
            host: HostName::new(host),
            since: "2026-05-16T20:00:00Z".parse().expect("a time"),
            said: "wrong password".to_owned(),
        }
    }

    #[test]
    fn a_rejected_version_stays_rejected_for_all_processes_until_it_is_accepted() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = StateDir::open(dir.path()).expect("opened");
        let book = state.credential_book().expect("a book");
        let wrong = book.version(&credential("CORP\\Admin", "old"));
        book.reject(&wrong, &rejection("ps-1")).expect("kept");
        book.reject(&wrong, &rejection("ps-2")).expect("kept");

        let other = StateDir::open(dir.path()).expect("opened").credential_book().expect("a book");
        let same = other.version(&credential("corp\\ADMIN", "old"));
        assert_eq!(other.rejection(&same).expect("read"), Some(rejection("ps-1")));
        let changed = other.version(&credential("CORP\\admin", "new"));
        assert_eq!(other.rejection(&changed).expect("read"), None, "another secret may be tried");

        assert!(other.accept(&same).expect("written"));
        assert_eq!(book.rejection(&wrong).expect("read"), None);
        assert!(!other.accept(&same).expect("written"), "once");
    }

    #[test]
    fn neither_the_password_nor_an_equal_one_of_another_user_shows_in_the_index() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = StateDir::open(dir.path()).expect("opened");
        let book = state.credential_book().expect("a book");
        let (one, two) = (
            book.version(&credential("one", "Tr0ub4dor&3")),
            book.version(&credential("two", "Tr0ub4dor&3")),
        );
        book.reject(&one, &rejection("ps-1")).expect("kept");
        assert_ne!(one.hash, two.hash);
        drop(book);

        for entry in std::fs::read_dir(dir.path()).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                let bytes = std::fs::read(&path).expect("read");
                let is_there = bytes.windows(11).any(|part| part == b"Tr0ub4dor&3");
                assert!(!is_there, "{}", path.display());
            }
        }
        let elsewhere = tempfile::tempdir().expect("a directory");
        let elsewhere = StateDir::open(elsewhere.path()).expect("opened");
        let elsewhere = elsewhere.credential_book().expect("a book");
        assert_ne!(elsewhere.version(&credential("one", "Tr0ub4dor&3")).hash, one.hash);
    }

    #[test]
    fn one_process_at_a_time_makes_the_first_logon() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = StateDir::open(dir.path()).expect("opened");
        let (book, other) =
            (state.credential_book().expect("a book"), state.credential_book().expect("a book"));
        let version = book.version(&credential("one", "x"));

        let first = book.first_logon(&version).expect("looked at").expect("free");
        assert!(other.first_logon(&version).expect("looked at").is_none());
        drop(first);
        assert!(other.first_logon(&version).expect("looked at").is_some());
    }

    #[test]
    fn the_slow_hash_is_pbkdf2() {
        // Made with `hashlib.pbkdf2_hmac('sha256', b'password', bytes(32) + b'user', 20000)`.
        let expected = "448f103a87592afa3768e7e4816b33500b91b13c45661e423cc3beb7ba603db4";
        assert_eq!(slow_hash(&[0; 32], "user", b"password"), expected);
    }
}
