//! What runs share of limits: the ledger that says who may draw when.
//!
//! Pure: time and identities are passed in. [`Bucket`] is the measure of one limit, within a run
//! and among runs. A [`Ledger`] holds the limits that several runs draw from, with their slots and
//! with the queue of those who wait. Where it is kept, and how one transaction makes an answer
//! hold, is behind [`SharedLimits`].

mod bucket;
mod contract;
mod keeper;
mod pool;

pub use bucket::{Bucket, Load};
pub use contract::{
    Answer, ClaimId, LimitKey, Moment, SharedDraw, SharedLimits, SharedLimitsError, SharedSpec,
    Word,
};
pub use keeper::Ledger;
pub use pool::SharedPool;
