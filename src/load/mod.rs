//! YAML files into the model, with every mistake of a file at once.
//!
//! A file is read into a tree of nodes that know their place ([`yaml`]) and walked by hand, so
//! that each message can name the place, what is allowed there and the nearest name.

mod ambiguous;
mod budgets;
mod diagnostic;
mod fields;
mod flow;
mod gates;
mod handlers;
mod inventory;
mod lint;
mod params;
mod play;
mod playbook;
mod ranges;
mod render;
mod scalar;
mod secrets;
mod settings;
mod source;
mod task;
mod tasks;
mod templates;
mod variables;
mod window;
mod yaml;

#[cfg(test)]
mod tests;

pub use diagnostic::{Diagnostic, Severity, Snippet};
pub use inventory::{InventorySettings, LoadedInventory, load_inventory};
pub use playbook::{LoadedPlaybook, load_playbook, load_playbook_with};
pub use render::render;
pub use settings::{CmdbSettings, HostSettings, SettingError, WinrmSettings, WinrmTransport};
