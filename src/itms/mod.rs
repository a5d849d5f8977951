//! What is known of the product itself, pure: versions, its log, what its agent's deeds look like.

pub mod agent_evidence;
pub mod agent_log;
pub mod evidence;
pub mod log_date;
pub mod package_status;
pub mod signature;
mod version;

pub use version::PackageVersion;
