//! Layer `itms`.
