//! A terminal that is redrawn in place.

use std::io::Write;

use super::{Scene, Style, View, frame};

/// The size that is taken where the terminal does not tell.
const USUAL: (usize, usize) = (80, 24);

/// Redraws the view in place: one write a frame, nothing is erased before it is overwritten.
#[derive(Debug)]
pub struct Screen<W: Write> {
    out: W,
    style: Style,
    size: fn() -> Option<(usize, usize)>,
    drawn: usize,
}

impl<W: Write> Screen<W> {
    /// Draws to `out`; `size` returns columns and rows of the terminal, asked for at each frame.
    pub fn new(out: W, style: Style, size: fn() -> Option<(usize, usize)>) -> Self {
        Self { out, style, size, drawn: 0 }
    }

    fn draw(&mut self, scene: &Scene) -> std::io::Result<()> {
        let (width, height) = (self.size)().unwrap_or(USUAL);
        // a character in the last column makes some terminals wrap, and the last row would scroll
        let lines = frame::layout(scene, self.style, width.saturating_sub(1), height.saturating_sub(1));
        // the terminal may have become lower than what was drawn before
        let back = self.drawn.min(height.saturating_sub(1));
        // hidden cursor, and an update that terminals which know 2026 show all at once
        let mut text = String::from("\x1b[?2026h\x1b[?25l");
        if back > 0 {
            text.push_str(&format!("\x1b[{back}F"));
        }
        for line in &lines {
            text.push_str(line);
            text.push_str("\x1b[K\n");
        }
        text.push_str("\x1b[J\x1b[?2026l");
        self.drawn = lines.len();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

impl<W: Write> View for Screen<W> {
    fn show(&mut self, scene: &Scene) {
        // a terminal that is gone is no reason to stop; the summary will say the rest
        let _ = self.draw(scene);
    }

    fn finish(&mut self) {
        let _ = self.out.write_all(b"\x1b[?25h\n").and_then(|()| self.out.flush());
        self.drawn = 0;
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        if self.drawn > 0 {
            self.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_frame_takes_the_place_of_the_first_and_the_cursor_comes_back() {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, Style::plain(), || Some((80, 24)));
        screen.show(&Scene::default());
        let drawn = screen.drawn;
        screen.show(&Scene::default());
        drop(screen);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches(&format!("\x1b[{drawn}F")).count(), 1);
        assert!(text.ends_with("\x1b[?25h\n"));
        assert!(!text.contains("\x1b[2J"), "erasing everything flickers");
    }
}
