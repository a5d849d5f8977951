//! Layer `action`.
