//! Layer `store`.
