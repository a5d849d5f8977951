//! The simulated Notification Server, CMDB and package servers: a product feature, on loopback only.

pub mod clock;
pub mod cmdb;
pub mod front;
pub mod machine;
pub mod smb;
pub mod tds;
pub mod tree;
pub mod winrm;
pub mod world;
