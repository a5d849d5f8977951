//! Readers of events: the live screen, plain lines, JSON, the recap; and of diagnoses.

mod clean;
mod confirm;
mod diagnosis;
mod failures;
mod hosts;
mod json;
mod lines;
mod paint;
mod recap;
mod screen;
mod trouble;
mod window;

pub use clean::{clean, clean_line, file_name};
pub use diagnosis::{Examination, changes, diagnosis_json, diagnosis_page, diagnosis_text};
pub use failures::{FailureGroup, group_failures};
pub use hosts::fold_hosts;
pub use json::{JsonLines, json_line};
pub use lines::PlainLines;
pub use paint::Paint;
pub use recap::recap;
pub use screen::{Frame, Screen, frame};
pub use trouble::journal_trouble;
