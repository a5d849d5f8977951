//! Layer `load`.
