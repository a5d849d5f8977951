//! Layer `scheduler`.
