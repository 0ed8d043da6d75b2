//! Plain lines, for what is no terminal.

use std::{io::Write, time::Duration};

use super::{Scene, View, frame::in_line, words::duration_in_words};

/// How often the state is written.
const EVERY: Duration = Duration::from_secs(1);

/// Writes a line for each event and one a second for the state; no escape codes.
#[derive(Debug)]
pub struct Lines<W: Write> {
    out: W,
    said: u64,
    next: Duration,
}

impl<W: Write> Lines<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, said: 0, next: EVERY }
    }

    fn write(&mut self, scene: &Scene) -> std::io::Result<()> {
        for event in scene.events.iter().filter(|event| event.number > self.said) {
            writeln!(self.out, "{}", in_line(event.at, &event.text))?;
        }
        self.said = scene.events.last().map_or(self.said, |event| event.number);
        if scene.elapsed >= self.next {
            self.next = scene.elapsed + EVERY;
            let rows = scene.rows.iter().map(|row| {
                let (name, breaker, rate) = (row.name, &row.breaker, row.rate);
                format!("{name} {breaker} {rate:.0}/s p99 {}", duration_in_words(row.p99))
            });
            let rows = rows.collect::<Vec<_>>().join(" | ");
            writeln!(self.out, "{}", in_line(scene.elapsed, &rows))?;
        }
        self.out.flush()
    }
}

impl<W: Write> View for Lines<W> {
    fn show(&mut self, scene: &Scene) {
        // a reader that has left is no reason to stop
        let _ = self.write(scene);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::chronicle::EventLine;

    #[test]
    fn every_event_is_written_once_and_without_escape_codes() {
        let event =
            |number| EventLine { number, at: Duration::from_secs(1), text: format!("event {number}") };
        let mut out = Vec::new();
        let mut lines = Lines::new(&mut out);
        lines.show(&Scene { events: vec![event(1), event(2)], ..Scene::default() });
        let elapsed = Duration::from_millis(1_100);
        lines.show(&Scene { events: vec![event(2), event(3)], elapsed, ..Scene::default() });
        let text = String::from_utf8(out).unwrap();
        for number in 1..=3 {
            assert_eq!(text.matches(&format!("event {number}")).count(), 1, "{text}");
        }
        assert_eq!(text.lines().count(), 4);
        assert!(!text.contains('\x1b'));
    }
}
