//! Conversations with the `smb2` crate's client over loopback, and frames without a socket.
//! Samba's programs are in `tests/peers/smb_client.sh`.

mod client;
mod frames;

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::lab::front::{Account, Accounts, NoFaults};
use crate::lab::tree::Tree;
use crate::protocol::auth::Names;
use crate::protocol::security_descriptor::{AceFlags, FileRights, SecurityDescriptor, Sid};
use crate::secret::Secret;

/// 2026-11-21 as a FILETIME.
const NOW: u64 = 134_080_992_000_000_000;
const PASSWORD: &str = "Pa$$w0rd, long";

fn account(user: &str, sid: &str, groups: &[&str]) -> Account {
    Account {
        domain: "CORP".to_owned(),
        user: user.to_owned(),
        password: Secret::new(PASSWORD.to_owned()),
        sid: sid.to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    }
}

fn machine() -> SmbMachine {
    let tree = Tree::new(NOW);
    tree.write(r"C:\data\Snapshot.xml", "<snapshot/>", NOW).unwrap();
    tree.create_dir_all(r"C:\drop", NOW).unwrap();
    let open = SecurityDescriptor::machine_default()
        .with_allow_ace(&Sid::users(), FileRights::MODIFY, AceFlags::THIS_FOLDER_AND_BELOW)
        .unwrap();
    tree.set_descriptor(r"C:\drop", &open.encode()).unwrap();
    let shares = Shares::default();
    let share = |name: &str, path: &str| NamedShare {
        name: name.to_owned(),
        path: path.to_owned(),
        comment: "for tests".to_owned(),
    };
    shares.add(share("Everything", r"C:\"));
    shares.add(share("Drop", r"C:\drop"));
    SmbMachine {
        names: Names {
            computer: "PS001".to_owned(),
            domain: "CORP".to_owned(),
            dns_computer: "ps001.corp.example".to_owned(),
            dns_domain: "corp.example".to_owned(),
        },
        accounts: Accounts::new(vec![
            account("deploy", "S-1-5-21-1-2-3-1104", &["S-1-5-32-544"]),
            account("plain", "S-1-5-21-1-2-3-1105", &[]),
        ]),
        tree,
        shares,
        faults: Arc::new(NoFaults),
        require_encryption: false,
        clock: Arc::new(|| NOW),
    }
}

/// A listening machine; it stops when this is dropped.
struct Server {
    address: String,
    _stop: watch::Sender<bool>,
    _task: JoinHandle<()>,
}

async fn start(machine: SmbMachine) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(serve(listener, machine, stopped));
    Server { address, _stop: stop, _task: task }
}
