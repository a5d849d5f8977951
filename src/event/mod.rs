//! Layer `event`.
