//! The table at the end.

use std::fmt::Write as _;
use std::time::Duration;

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Skipped(String),
    Failed(String),
    /// A step before it failed.
    NotReached,
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) title: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) took: Duration,
}

impl Line {
    /// The line of a step that was never started.
    pub(crate) fn not_reached(title: &'static str) -> Self {
        Self { title, verdict: Verdict::NotReached, took: Duration::ZERO }
    }
}

/// The whole table, with the sum of the times.
pub(crate) fn table(lines: &[Line]) -> String {
    let mut text = format!("{:<20} {:<12} {:>10}\n", "step", "result", "time");
    for Line { title, verdict, took } in lines {
        let (word, reason) = match verdict {
            Verdict::Passed => ("ok", ""),
            Verdict::Skipped(reason) => ("not run", reason.as_str()),
            Verdict::Failed(reason) => ("FAILED", reason.as_str()),
            Verdict::NotReached => ("not reached", ""),
        };
        let reason = reason.lines().next().unwrap_or_default();
        let row = format!("{title:<20} {word:<12} {:>10}  {reason}", seconds(*took));
        let _ = writeln!(text, "{}", row.trim_end()); // writing to a String cannot fail
    }
    let total = lines.iter().map(|line| line.took).sum();
    let _ = write!(text, "{:<20} {:<12} {:>10}", "all", "", seconds(total));
    text
}

fn seconds(time: Duration) -> String {
    let whole = time.as_secs();
    if whole >= 60 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_shows_title_result_time_and_the_first_line_of_the_reason() {
        let second = Duration::from_secs(1);
        let lines = [
            Line { title: "format", verdict: Verdict::Passed, took: second },
            Line { title: "tests", verdict: Verdict::Failed("exit 101\nmore".to_owned()), took: 90 * second },
            Line::not_reached("docs"),
        ];
        let expected = "\
step                 result             time
format               ok                1.0 s
tests                FAILED       1 min 30 s  exit 101
docs                 not reached       0.0 s
all                               1 min 31 s";
        assert_eq!(table(&lines), expected);
    }
}
