//! Layer `transport`.
