//! The layout of a frame: pure, from a scene and a size to lines of text.

use std::time::Duration;

use super::{
    Row, Scene, Style,
    style::Tone,
    words::{duration_in_words, grouped},
};

/// Cells of the progress bar.
const BAR: usize = 24;

/// A column of the table, with how readily it is left out on a narrow terminal: the highest goes first.
struct Column {
    title: &'static str,
    width: usize,
    spare: u8,
    cell: fn(&Row) -> String,
    tone: fn(&Row) -> Tone,
}

const COLUMNS: [Column; 12] = [
    Column { title: "backend", width: 9, spare: 0, cell: |row| row.name.into(), tone: |_| Tone::Plain },
    Column { title: "kind", width: 10, spare: 9, cell: |row| row.kind.into(), tone: |_| Tone::Dim },
    Column { title: "state", width: 11, spare: 3, cell: |row| row.state.into(), tone: state_tone },
    Column { title: "breaker", width: 12, spare: 0, cell: |row| row.breaker.clone(), tone: breaker_tone },
    Column {
        title: "rate/s",
        width: 8,
        spare: 0,
        cell: |row| format!("{:.0}", row.rate),
        tone: |_| Tone::Plain,
    },
    Column {
        title: "p50",
        width: 9,
        spare: 6,
        cell: |row| duration_in_words(row.p50),
        tone: |_| Tone::Plain,
    },
    Column {
        title: "p99",
        width: 9,
        spare: 1,
        cell: |row| duration_in_words(row.p99),
        tone: |_| Tone::Plain,
    },
    Column {
        title: "running",
        width: 8,
        spare: 5,
        cell: |row| row.in_flight.to_string(),
        tone: |_| Tone::Plain,
    },
    Column {
        title: "restarts",
        width: 9,
        spare: 4,
        cell: |row| row.restarts.to_string(),
        tone: |_| Tone::Plain,
    },
    Column { title: "retries", width: 8, spare: 7, cell: |row| grouped(row.retries), tone: |_| Tone::Plain },
    Column { title: "refused", width: 8, spare: 2, cell: |row| grouped(row.rejected), tone: |_| Tone::Plain },
    Column { title: "failed", width: 8, spare: 8, cell: |row| grouped(row.failed), tone: |_| Tone::Plain },
];

/// Columns whose text starts at the left; numbers stand at the right.
const WORDS: usize = 4;

fn state_tone(row: &Row) -> Tone {
    if row.state == "up" { Tone::Good } else { Tone::Fair }
}

fn breaker_tone(row: &Row) -> Tone {
    match row.breaker.as_str() {
        "closed" => Tone::Good,
        "open" => Tone::Bad,
        _ => Tone::Fair,
    }
}

/// Lays a scene out; no line is wider than `width`, and there are at most `height` of them.
pub(super) fn layout(scene: &Scene, style: Style, width: usize, height: usize) -> Vec<String> {
    let mut lines = vec![headline(scene, width), String::new()];
    lines.extend(table(scene, style, width));
    lines.push(String::new());
    lines.push(fault_line(scene, style, width));
    lines.push(labelled("messages", &scene.totals, style, Tone::Plain, width));
    lines.push(String::new());
    lines.truncate(height);
    let free = height - lines.len();
    let older = scene.events.len().saturating_sub(free.min(8));
    lines.extend(scene.events[older..].iter().map(|event| cut(&in_line(event.at, &event.text), width)));
    lines
}

fn headline(scene: &Scene, width: usize) -> String {
    let (elapsed, duration) = (scene.elapsed.as_secs_f64(), scene.duration.as_secs_f64());
    let done = ((elapsed / duration).clamp(0.0, 1.0) * BAR as f64) as usize;
    let bar: String = (0..BAR).map(|cell| if cell < done { '#' } else { '.' }).collect();
    cut(&format!("Backstop demo  {elapsed:.1} s of {duration:.0} s  [{bar}]  seed {}", scene.seed), width)
}

fn table(scene: &Scene, style: Style, width: usize) -> Vec<String> {
    let columns = fitting(width);
    let line = |text: &dyn Fn(&Column) -> (String, Tone)| {
        let cells = columns.iter().map(|&at| {
            let (text, tone) = text(&COLUMNS[at]);
            let (text, space) = (cut(&text, COLUMNS[at].width), COLUMNS[at].width);
            style.paint(tone, &if at < WORDS { format!("{text:<space$}") } else { format!("{text:>space$}") })
        });
        cells.collect::<String>()
    };
    let mut lines = vec![line(&|column| (column.title.to_owned(), Tone::Dim))];
    lines.extend(scene.rows.iter().map(|row| line(&|column| ((column.cell)(row), (column.tone)(row)))));
    lines
}

/// Picks the columns that fit, the least needed left out first.
fn fitting(width: usize) -> Vec<usize> {
    let mut chosen: Vec<usize> = (0..COLUMNS.len()).collect();
    while chosen.iter().map(|&at| COLUMNS[at].width).sum::<usize>() > width {
        let Some(spare) = chosen.iter().copied().max_by_key(|&at| COLUMNS[at].spare) else { break };
        chosen.retain(|&at| at != spare);
    }
    chosen
}

fn fault_line(scene: &Scene, style: Style, width: usize) -> String {
    if scene.faults.is_empty() {
        return labelled("fault", "none at the moment", style, Tone::Plain, width);
    }
    labelled("fault", &scene.faults.join("; "), style, Tone::Bad, width)
}

fn labelled(label: &str, text: &str, style: Style, tone: Tone, width: usize) -> String {
    let label = cut(&format!("{label:<9}"), width);
    let text = cut(text, width - label.chars().count());
    style.paint(Tone::Dim, &label) + &style.paint(tone, &text)
}

/// An event as a line; control characters of foreign texts do not reach the terminal.
pub(super) fn in_line(at: Duration, text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{:>7.2} s  {text}", at.as_secs_f64())
}

/// Cuts a text to so many characters.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    if width == 0 { kept } else { kept + "…" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::chronicle::EventLine;

    fn scene() -> Scene {
        let row =
            Row { name: "pricing", kind: "http", state: "up", breaker: "open".into(), ..Row::default() };
        let event = |number| EventLine {
            number,
            at: Duration::from_millis(1_500),
            text: format!("pricing event {number}"),
        };
        Scene {
            elapsed: Duration::from_secs(3),
            duration: Duration::from_secs(6),
            rows: vec![row; 3],
            faults: vec!["pricing: takes requests and does not answer".into()],
            totals: "1 234 asked: 1 200 ok".into(),
            events: (1..=16).map(event).collect(),
            ..Scene::default()
        }
    }

    #[test]
    fn no_frame_is_larger_than_the_terminal() {
        for width in 0..140 {
            for height in [0, 1, 5, 12, 24, 60] {
                let lines = layout(&scene(), Style::plain(), width, height);
                assert!(lines.len() <= height, "{width} x {height}");
                assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}: {lines:?}");
            }
        }
    }

    #[test]
    fn a_narrow_terminal_keeps_name_breaker_and_rate() {
        let wide = layout(&scene(), Style::plain(), 120, 24).join("\n");
        assert!(wide.contains("kind") && wide.contains("retries") && wide.contains("http"));
        let narrow = layout(&scene(), Style::plain(), 40, 24).join("\n");
        assert!(narrow.contains("pricing") && narrow.contains("breaker") && narrow.contains("rate/s"));
        assert!(!narrow.contains("retries"));
    }

    #[test]
    fn the_newest_events_stay() {
        let text = layout(&scene(), Style::plain(), 80, 14).join("\n");
        assert!(text.contains("event 16") && !text.contains("event 1\n"), "{text}");
    }

    #[test]
    fn without_colours_there_is_no_escape_code_and_with_them_the_words_stay() {
        let plain = layout(&scene(), Style::plain(), 100, 24).join("\n");
        assert!(!plain.contains('\x1b'));
        let colored = layout(&scene(), Style::colored(), 100, 24).join("\n");
        assert!(colored.contains("\x1b[31;1m") && colored.contains("open"));
    }

    #[test]
    fn control_characters_of_an_error_do_not_reach_the_terminal() {
        assert_eq!(in_line(Duration::ZERO, "a\x1b[2Jb\nc"), "   0.00 s  a [2Jb c");
    }
}
