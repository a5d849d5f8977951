//! Layer `plan`.
