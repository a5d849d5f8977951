//! Layer `lab`.
