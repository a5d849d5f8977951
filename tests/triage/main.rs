//! Diagnosis against the simulated fleet: the real collector looks at hundreds of worlds in memory, and
//! what it is told to be wrong is compared with what was made wrong.

mod booked;
mod collected;
mod cycles;
mod direct;
mod named;
mod network;
mod picture;
mod remains;
mod run;
mod scenario;
mod score;
mod variants;
mod world;
