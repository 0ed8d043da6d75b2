//! Tables in Markdown pages.

/// A row, with its cells by the names of the columns in lower case.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    /// The number of its line in the page, from 1.
    pub(crate) line: usize,
    columns: Vec<String>,
    cells: Vec<&'a str>,
}

impl<'a> Row<'a> {
    /// The cell in this column; empty if the row is too short.
    pub(crate) fn cell(&self, column: &str) -> &'a str {
        let at = self.columns.iter().position(|name| name == column);
        at.and_then(|at| self.cells.get(at)).copied().unwrap_or_default()
    }
}

/// The rows of every table of the page that has all of these columns.
pub(crate) fn rows<'a>(page: &'a str, columns: &[&str]) -> Vec<Row<'a>> {
    let mut found = Vec::new();
    let mut header: Option<Vec<String>> = None;
    for (index, line) in page.lines().enumerate() {
        let Some(cells) = cells(line) else {
            header = None;
            continue;
        };
        match &header {
            None => header = Some(cells.iter().map(|cell| cell.to_lowercase()).collect()),
            Some(_) if cells.iter().all(|cell| is_rule(cell)) => {}
            Some(names) if columns.iter().all(|column| names.iter().any(|name| name == column)) => {
                found.push(Row { line: index + 1, columns: names.clone(), cells });
            }
            Some(_) => {}
        }
    }
    found
}

/// The words between backticks.
pub(crate) fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The cells of a line, if it is a line of a table. A `\|` does not end a cell.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inside = line.trim().strip_prefix('|')?;
    let mut found = Vec::new();
    let mut start = 0;
    for (at, _) in inside.match_indices('|') {
        if !inside[..at].ends_with('\\') {
            found.push(inside[start..at].trim());
            start = at + 1;
        }
    }
    let last = inside[start..].trim();
    if !last.is_empty() {
        found.push(last);
    }
    Some(found)
}

/// Whether a cell belongs to the line under the header.
fn is_rule(cell: &str) -> bool {
    cell.contains('-') && cell.chars().all(|c| matches!(c, '-' | ':'))
}

#[test]
fn cells_are_found_by_the_name_of_their_column() {
    let page = "# Page\n| Name | State |\n|:--|---|\n| a \\| b | `works` |\n| short |\n\n| other | table |\n|--|--|\n| x | y |\n";
    let rows = rows(page, &["state"]);
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].line, rows[0].cell("name"), rows[0].cell("state")), (4, "a \\| b", "`works`"));
    assert_eq!((rows[1].cell("name"), rows[1].cell("state")), ("short", ""));
}

#[test]
fn quoted_words_are_those_between_backticks() {
    let found: Vec<_> = quoted("see `a::b`, `c` and d").collect();
    assert_eq!(found, ["a::b", "c"]);
}
