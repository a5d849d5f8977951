//! Layer `expression`.
