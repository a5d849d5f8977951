//! Where the machines of a lab listen: loopback only.
//!
//! On Linux all of 127.0.0.0/8 is loopback, so that each machine has an address of its own and all
//! share the same ports, as real ones do. Elsewhere they share 127.0.0.1 and differ by port.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use thiserror::Error;
use tokio::net::TcpListener;

use super::world::MachineId;

/// How often other ports are tried when one is taken on some of the addresses.
const ATTEMPTS: u32 = 8;

/// Where one machine can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// The address.
    pub address: Ipv4Addr,
    /// The port of WinRM.
    pub winrm: u16,
    /// The port of SMB.
    pub smb: u16,
    /// The port of its web server.
    pub http: u16,
}

/// The ports that all machines of a lab share; 0 means any that is free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LabPorts {
    /// WinRM.
    pub winrm: u16,
    /// SMB.
    pub smb: u16,
    /// The SQL Server.
    pub sql: u16,
    /// The web servers.
    pub http: u16,
}

/// The listeners of one machine.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) machine: MachineId,
    pub(super) endpoint: Endpoint,
    /// What listens; nothing on a machine that is switched off.
    pub(super) listeners: Option<Listeners>,
}

/// What listens on one machine.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) winrm: TcpListener,
    pub(super) smb: TcpListener,
    pub(super) http: TcpListener,
}

/// A machine of the lab could not listen.
#[derive(Debug, Error)]
#[error("could not listen on {address}")]
pub struct ListenError {
    /// Where.
    pub address: SocketAddrV4,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// The address of the machine with this number, counted from `first`; network and broadcast
/// addresses of a /24 are left out, as people would.
fn numbered(first: Ipv4Addr, number: u32) -> Ipv4Addr {
    let base = u32::from(first) & 0xFFFF_FF00;
    let offset = (u32::from(first) & 0xFF).saturating_sub(1) + number;
    // The first octet stays 127 whatever is asked for.
    let address = (base + ((offset / 254) << 8) + offset % 254 + 1) & 0x00FF_FFFF;
    Ipv4Addr::from(0x7F00_0000 | address)
}

/// Opens the listeners of all machines. `first` is the address of the first one; machines that are
/// switched off have an address where nothing listens.
///
/// With `ports` of 0 the first machine gets any that are free, and the others the same ones.
pub(super) async fn open(
    first: Ipv4Addr,
    machines: &[(MachineId, bool)],
    ports: LabPorts,
) -> Result<Vec<Opened>, ListenError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match try_open(first, machines, ports).await {
            Err(error) if attempt < ATTEMPTS && error.source.kind() == io::ErrorKind::AddrInUse => {
            }
            result => return result,
        }
    }
}

async fn try_open(
    first: Ipv4Addr,
    machines: &[(MachineId, bool)],
    ports: LabPorts,
) -> Result<Vec<Opened>, ListenError> {
    let own_addresses = cfg!(target_os = "linux");
    // Machines that share an address cannot share ports.
    let (mut winrm_port, mut smb_port, mut http_port) =
        if own_addresses { (ports.winrm, ports.smb, ports.http) } else { (0, 0, 0) };
    let mut opened = Vec::with_capacity(machines.len());
    for (number, (machine, is_on)) in (0..).zip(machines) {
        let address = if own_addresses { numbered(first, number) } else { Ipv4Addr::LOCALHOST };
        let (winrm, winrm_bound) = bind(address, winrm_port).await?;
        let (smb, smb_bound) = bind(address, smb_port).await?;
        let (http, http_bound) = bind(address, http_port).await?;
        let endpoint = Endpoint { address, winrm: winrm_bound, smb: smb_bound, http: http_bound };
        if own_addresses {
            (winrm_port, smb_port, http_port) = (endpoint.winrm, endpoint.smb, endpoint.http);
        }
        let listeners = is_on.then_some(Listeners { winrm, smb, http });
        opened.push(Opened { machine: *machine, endpoint, listeners });
    }
    Ok(opened)
}

/// Opens one listener, and says which port it has.
async fn bind(address: Ipv4Addr, port: u16) -> Result<(TcpListener, u16), ListenError> {
    let address = SocketAddrV4::new(address, port);
    let failed = |source| ListenError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    Ok((listener, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_counted_through_and_never_leave_loopback() {
        let first = Ipv4Addr::new(127, 87, 0, 1);

        assert_eq!(numbered(first, 0), first);
        assert_eq!(numbered(first, 253), Ipv4Addr::new(127, 87, 0, 254));
        assert_eq!(numbered(first, 254), Ipv4Addr::new(127, 87, 1, 1));
        assert_eq!(numbered(Ipv4Addr::new(10, 0, 0, 1), 0), Ipv4Addr::new(127, 0, 0, 1));
        assert!((0..100_000).all(|number| numbered(first, number).is_loopback()));
    }

    #[tokio::test]
    async fn a_machine_that_is_off_has_an_address_and_no_listener() {
        let machines = [(MachineId::NotificationServer, true), (MachineId::Server(0), false)];

        let opened =
            open(Ipv4Addr::new(127, 87, 9, 1), &machines, LabPorts::default()).await.unwrap();

        assert!(opened[0].listeners.is_some());
        assert!(opened[1].listeners.is_none());
        let off = opened[1].endpoint;
        assert!(tokio::net::TcpStream::connect((off.address, off.winrm)).await.is_err());
    }
}
