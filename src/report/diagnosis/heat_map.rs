//! The map of servers and packages, as HTML without scripts: a row of SVG for each server.

use std::fmt::Write;

use super::kind::Kind;
use super::rows::count;
use crate::report::clean;

/// The side of a cell, in pixels: the smallest, and the largest.
const SMALLEST: usize = 12;
const LARGEST: usize = 22;
/// How wide and how high the cells are together, where that is possible, in pixels.
const WIDTH: usize = 920;
const HEIGHT: usize = 1000;
/// The height of the heads of columns, in pixels.
const HEAD: usize = 148;

/// The map.
pub(super) struct HeatMap {
    /// The packages: label and full text.
    pub(super) columns: Vec<(String, String)>,
    /// The servers.
    pub(super) rows: Vec<HeatRow>,
}

/// A server's row.
pub(super) struct HeatRow {
    /// Its name, without what all share.
    pub(super) label: String,
    /// Its full name.
    pub(super) title: String,
    /// A cell for each column.
    pub(super) cells: Vec<Cell>,
}

/// A pair of server and package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    /// The server does not have the package.
    Absent,
    /// All is well.
    Well,
    /// Something is not.
    Bad(Kind, String),
}

/// What every map needs once in a page: the marks.
pub(super) fn marks() -> String {
    let mut text =
        String::from("<svg class='marks' width='0' height='0' aria-hidden='true'><defs>");
    for kind in Kind::ALL {
        let (colour, mark) = kind.look();
        let _infallible = write!(
            text,
            "<symbol id='{}' viewBox='0 0 12 12'><rect width='11' height='11' rx='2' \
             fill='{colour}'/><g fill='none' stroke-width='1.5' \
             stroke-linecap='round'>{mark}</g></symbol>",
            kind.id()
        );
    }
    text.push_str("</defs></svg>");
    text
}

/// A mark by itself, for legends.
pub(super) fn mark(kind: Kind) -> String {
    format!("<svg class='mark' width='14' height='14'><use href='#{}'/></svg>", kind.id())
}

impl HeatMap {
    /// Writes the map.
    pub(super) fn html(&self) -> String {
        let by_width = WIDTH / self.columns.len().max(1);
        let by_height = HEIGHT / self.rows.len().max(1);
        let cell = by_width.min(by_height).clamp(SMALLEST, LARGEST);
        let width = self.columns.len() * cell + HEAD;
        let mut text = format!(
            "<svg class='marks' width='0' height='0' aria-hidden='true'><pattern id='gap' width='{cell}' \
             height='{cell}' patternUnits='userSpaceOnUse'><rect x='{}' width='1.5' \
             height='{cell}' class='gap'/></pattern></svg><div class='map' tabindex='0' \
             role='group' aria-label='map of servers and packages' \
             style='--cell:{cell}px'><div class='row heads'><span class='name'>{} × {}</span>\
             <svg width='{width}' height='{HEAD}'>",
            cell * 11 / 12,
            count(self.rows.len() as u64, "server"),
            count(self.columns.len() as u64, "package")
        );
        for (number, (label, full)) in self.columns.iter().enumerate() {
            let _infallible = write!(
                text,
                "<text transform='translate({} {}) rotate(-58)'>{}<title>{}</title></text>",
                number * cell + cell * 2 / 3,
                HEAD - 5,
                escape(label),
                escape(full)
            );
        }
        text.push_str("</svg></div>");
        for row in &self.rows {
            row.html(&mut text, cell, width);
        }
        text.push_str("</div>");
        text
    }
}

impl HeatRow {
    fn html(&self, text: &mut String, cell: usize, width: usize) {
        let _infallible = write!(
            text,
            "<div class='row'><span class='name' title='{}'>{}</span><svg width='{width}' \
             height='{cell}'>",
            escape(&self.title),
            escape(&self.label)
        );
        let mut well = String::new();
        let mut end = 0;
        for (start, length) in runs(&self.cells) {
            let _infallible = write!(
                well,
                "M{} 0h{}v{}h-{}z",
                start * cell,
                length * cell,
                cell * 11 / 12,
                length * cell
            );
            end = start + length;
        }
        if !well.is_empty() {
            let _infallible = write!(
                text,
                "<path class='well' d='{well}'/><rect width='{}' height='{cell}' \
                 fill='url(#gap)'/>",
                end * cell
            );
        }
        for (number, one) in self.cells.iter().enumerate() {
            if let Cell::Bad(kind, title) = one {
                let _infallible = write!(
                    text,
                    "<use href='#{}' x='{}' width='{cell}' height='{cell}'><title>{}</title></use>",
                    kind.id(),
                    number * cell,
                    escape(title)
                );
            }
        }
        text.push_str("</svg></div>");
    }
}

/// The runs of cells that are well: first cell and length. A fleet that is well takes little room.
fn runs(cells: &[Cell]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (number, _) in cells.iter().enumerate().filter(|(_, cell)| **cell == Cell::Well) {
        match runs.last_mut() {
            Some((start, length)) if *start + *length == number => *length += 1,
            _ => runs.push((number, 1)),
        }
    }
    runs
}

/// Text for HTML and for attributes in single quotes; what could steer a reader is taken out.
pub(super) fn escape(text: &str) -> String {
    clean(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_well_is_drawn_in_runs() {
        let bad = Cell::Bad(Kind::Access, "x".to_owned());
        let cells = [Cell::Well, Cell::Well, bad, Cell::Absent, Cell::Well];

        assert_eq!(runs(&cells), [(0, 2), (4, 1)]);
    }

    #[test]
    fn names_of_hosts_cannot_become_markup() {
        let map = HeatMap {
            columns: vec![("<script>".to_owned(), "a'b".to_owned())],
            rows: vec![HeatRow {
                label: "ps-01' onclick='x".to_owned(),
                title: String::new(),
                cells: vec![Cell::Bad(Kind::Access, "</title><b>".to_owned())],
            }],
        };

        let html = map.html();

        assert!(!html.contains("<script>") && !html.contains("<b>"));
        assert!(!html.contains("' onclick"));
    }

    #[test]
    fn a_thousand_servers_with_two_hundred_packages_fit_into_a_file() {
        let row = |number: usize| HeatRow {
            label: format!("ps-{number:04}"),
            title: String::new(),
            cells: (0..200)
                .map(|package| match (package * 7 + number) % 20 {
                    0 => Cell::Bad(Kind::Content, "stale".to_owned()),
                    _ => Cell::Well,
                })
                .collect(),
        };
        let map = HeatMap {
            columns: (0..200).map(|n| (format!("package {n}"), String::new())).collect(),
            rows: (0..1000).map(row).collect(),
        };

        assert!(map.html().len() < 8 << 20);
    }
}
