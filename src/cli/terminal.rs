//! What the terminal can do.

use std::{
    env,
    io::{self, IsTerminal, Write},
};

use backstop::demo::Style;

/// Returns columns and rows, where the terminal tells.
pub(crate) fn size() -> Option<(usize, usize)> {
    let (width, height) = terminal_size::terminal_size()?;
    Some((width.0.into(), height.0.into()))
}

/// Says whether text can be drawn over.
pub(crate) fn can_redraw(is_terminal: bool) -> bool {
    is_terminal && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Returns the style: no colours where `NO_COLOR` is set to anything (<https://no-color.org>).
pub(crate) fn style() -> Style {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if refused { Style::plain() } else { Style::colored() }
}

/// Shows the cursor again, on whatever the view was drawn.
pub(crate) fn show_cursor() {
    let shown = b"\x1b[?25h\n";
    // nothing can be done for a terminal that is gone
    if io::stdout().is_terminal() {
        let _ = io::stdout().write_all(shown);
    } else if io::stderr().is_terminal() {
        let _ = io::stderr().write_all(shown);
    }
}
