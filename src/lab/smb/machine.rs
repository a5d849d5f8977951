//! What the SMB front knows of its machine.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::share::Shares;
use crate::lab::front::{Account, Accounts, Faults};
use crate::lab::tree::{Caller, Tree};
use crate::protocol::auth::Names;
use crate::protocol::security_descriptor::Sid;

/// Tells the machine's time as a FILETIME.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// One simulated machine, as its SMB front sees it.
#[derive(Clone)]
pub struct SmbMachine {
    /// The names it gives itself.
    pub names: Names,
    /// Who may log on.
    pub accounts: Accounts,
    /// Its files.
    pub tree: Tree,
    /// The shares besides `X$`, `ADMIN$` and `IPC$`.
    pub shares: Shares,
    /// Which faults apply.
    pub faults: Arc<dyn Faults>,
    /// Whether sessions must be encrypted; a client that cannot is refused.
    pub require_encryption: bool,
    /// Its time.
    pub clock: Clock,
}

impl fmt::Debug for SmbMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmbMachine").field("names", &self.names).finish_non_exhaustive()
    }
}

impl SmbMachine {
    /// The server's GUID: always the same for the same name.
    pub(super) fn guid(&self) -> [u8; 16] {
        let hash = Sha256::digest(self.names.computer.to_lowercase());
        *hash.first_chunk().expect("32 bytes")
    }

    /// Finds the account a client names: by domain, as `user@domain`, or, when the domain is
    /// none that the machine knows, as a local account, as Windows does.
    pub(super) fn account(&self, domain: &str, user: &str) -> Option<&Account> {
        let (user, domain) = match user.split_once('@') {
            Some((user, domain)) => (user, domain),
            None => (user, domain),
        };
        let is_known = |account: &Account| account.domain.eq_ignore_ascii_case(domain);
        let domain = match domain {
            dns if dns.eq_ignore_ascii_case(&self.names.dns_domain) => &self.names.domain,
            dns if dns.eq_ignore_ascii_case(&self.names.dns_computer) => &self.names.computer,
            _ if self.accounts.iter().any(is_known) => domain,
            _ => "",
        };
        self.accounts.find(domain, user)
    }

    /// All that an account belongs to. A SID that cannot be read gives no access.
    pub(super) fn caller(&self, account: &Account) -> Option<Caller> {
        let user: Sid = account.sid.parse().ok()?;
        let mut identities = vec![
            user.clone(),
            Sid::everyone(),
            Sid::authenticated_users(),
            Sid::network(),
            // Whoever has logged on is a member of Users, as Windows is installed.
            Sid::users(),
        ];
        identities.extend(account.groups.iter().filter_map(|sid| sid.parse().ok()));
        Some(Caller { user, identities: identities.into() })
    }
}
