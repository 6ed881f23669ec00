//! Tables of figures.

use maud::{Markup, Render, html};

/// Figures in rows and columns; a narrow window scrolls them under the names of the rows.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    label: String,
    cells: Vec<Cell>,
    aside: bool,
}

/// What stands in a [`Table`].
#[derive(Clone, Debug, Default)]
pub struct Cell {
    value: String,
    note: Option<String>,
    strong: bool,
}

impl Table {
    /// A table without rows; the names of the rows have no head.
    pub fn new<C: AsRef<str>>(columns: &[C]) -> Table {
        Table { columns: columns.iter().map(|column| column.as_ref().to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(mut self, label: &str, cells: impl IntoIterator<Item = Cell>) -> Table {
        self.rows.push(Row { label: label.to_owned(), cells: cells.into_iter().collect(), aside: false });
        self
    }

    /// Adds a row that is there to compare the others with.
    pub fn aside(mut self, label: &str, cells: impl IntoIterator<Item = Cell>) -> Table {
        self.rows.push(Row { label: label.to_owned(), cells: cells.into_iter().collect(), aside: true });
        self
    }
}

impl Cell {
    /// A value.
    pub fn new(value: impl Into<String>) -> Cell {
        Cell { value: value.into(), ..Cell::default() }
    }

    /// What stands small below it.
    pub fn note(self, note: impl Into<String>) -> Cell {
        Cell { note: Some(note.into()), ..self }
    }

    /// Makes it stand out.
    pub fn strong(self) -> Cell {
        Cell { strong: true, ..self }
    }
}

impl Render for Table {
    fn render(&self) -> Markup {
        html! {
            div.scroll { table.figures {
                thead { tr {
                    th scope="col" {}
                    @for column in &self.columns { th scope="col" { (column) } }
                } }
                tbody {
                    @for Row { label, cells, aside } in &self.rows {
                        tr.aside[*aside] {
                            th scope="row" { (label) }
                            @for Cell { value, note, strong } in cells {
                                td {
                                    @if *strong { strong { (value) } } @else { (value) }
                                    @if let Some(note) = note { small { (note) } }
                                }
                            }
                        }
                    }
                }
            } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_says_only_what_is_known() {
        let table = Table::new(&["a", "b"])
            .row("one", [Cell::new("1"), Cell::new("2").strong().note("1 to 3")])
            .aside("all", [Cell::default()]);
        let text = table.render().into_string();
        assert!(text.contains("<th scope=\"row\">one</th><td>1</td><td><strong>2</strong><small>1 to 3</small></td>"));
        assert!(text.contains("<tr class=\"aside\"><th scope=\"row\">all</th><td></td></tr>"), "{text}");
    }
}
