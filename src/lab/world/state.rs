//! The states of a package on a package server.

use std::fmt;

/// A state, in the words of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PackageState {
    /// Everything is there, as far as the agent knows.
    Ready,
    /// The agent is about to fetch it.
    DownloadPending,
    /// It failed and is tried again later.
    RetryingDownload,
    /// The agent gave it up.
    Invalid,
    /// It is no longer assigned; its clean-up is under way.
    Deleted,
}

impl fmt::Display for PackageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ready => "Ready",
            Self::DownloadPending => "Download Pending",
            Self::RetryingDownload => "Retrying Download",
            Self::Invalid => "Invalid",
            Self::Deleted => "Deleted",
        })
    }
}
