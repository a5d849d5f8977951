//! The nouns of the trade: no clock, no I/O, no async.
