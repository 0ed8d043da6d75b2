//! `cargo xtask ci`: every check that a change must pass.

mod deep;
mod demo;
mod models;
mod steps;
mod summary;

use std::time::Instant;

use summary::{Line, Verdict};

use crate::args::CiOptions;

/// One check.
#[derive(Debug)]
struct Step {
    title: &'static str,
    check: fn(CiOptions) -> Checked,
}

/// What a check has to say: an error is a failure.
type Checked = Result<Done, String>;

/// How a check ended that did not fail.
#[derive(Debug)]
enum Done {
    Passed,
    /// There was nothing to check or nothing to check it with; the summary says so.
    Skipped(String),
}

/// Runs the steps and prints the summary.
///
/// # Errors
///
/// A step failed.
pub(crate) fn run(options: CiOptions) -> Result<(), String> {
    let deep: &[Step] = if options.deep { &deep::STEPS } else { &[] };
    let lines = go_through(steps::STEPS.iter().chain(deep), options);
    println!("\n{}", summary::table(&lines));
    let failed = lines.iter().filter(|line| matches!(line.verdict, Verdict::Failed(_)));
    let failed: Vec<_> = failed.map(|line| line.title).collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn go_through<'a>(steps: impl Iterator<Item = &'a Step>, options: CiOptions) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut stopped = false;
    for step in steps {
        if stopped {
            lines.push(Line::not_reached(step.title));
            continue;
        }
        println!("\n== {} ==", step.title);
        let started = Instant::now();
        let verdict = match (step.check)(options) {
            Ok(Done::Passed) => Verdict::Passed,
            Ok(Done::Skipped(reason)) => {
                println!("not run: {reason}");
                Verdict::Skipped(reason)
            }
            Err(error) => {
                println!("FAILED: {error}");
                stopped = !options.keep_going;
                Verdict::Failed(error)
            }
        };
        lines.push(Line { title: step.title, verdict, took: started.elapsed() });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 3] = [
        Step { title: "first", check: |_| Ok(Done::Passed) },
        Step { title: "second", check: |_| Err("broken".to_owned()) },
        Step { title: "third", check: |_| Ok(Done::Skipped("no tool".to_owned())) },
    ];

    fn verdicts(keep_going: bool) -> Vec<Verdict> {
        let options = CiOptions { deep: false, keep_going };
        go_through(STEPS.iter(), options).into_iter().map(|line| line.verdict).collect()
    }

    #[test]
    fn the_first_failing_step_is_the_last_one_run() {
        let failed = Verdict::Failed("broken".to_owned());
        assert_eq!(verdicts(false), [Verdict::Passed, failed, Verdict::NotReached]);
    }

    #[test]
    fn keep_going_runs_the_steps_after_a_failing_one() {
        let failed = Verdict::Failed("broken".to_owned());
        assert_eq!(verdicts(true), [Verdict::Passed, failed, Verdict::Skipped("no tool".to_owned())]);
    }
}
