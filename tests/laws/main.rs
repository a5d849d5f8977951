//! Laws: what must hold for every playbook, fleet and timing, on a virtual clock.

mod adaptive;
mod budgets;
mod case;
mod dependencies;
mod formats;
mod journal;
mod layering;
mod playbooks;
mod procedures;
mod resuming;
mod scheduling;
mod sharing;
mod tables;
mod windows;
mod world;
