//! fleetmend
fn main() {}
