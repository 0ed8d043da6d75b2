//! The summary for people.

use std::{
    collections::BTreeMap,
    fmt::{Formatter, Result},
    time::Duration,
};

use super::Report;
use crate::demo::{
    fate::Fates,
    view::{duration_in_words, grouped},
};

/// Transitions that the summary lists; the JSON document has all of them.
const TRANSITIONS_SHOWN: usize = 12;

pub(super) fn write(report: &Report, f: &mut Formatter<'_>) -> Result {
    let seconds = |ms: u64| ms as f64 / 1e3;
    write!(f, "Backstop demo, {:.1} s, seed {}", seconds(report.elapsed_ms), report.seed)?;
    match report.planted {
        Some(bug) => writeln!(f, ", planted bug {bug}")?,
        None if report.interrupted => writeln!(f, ", interrupted")?,
        None => writeln!(f)?,
    }
    writeln!(f)?;
    backends(report, f)?;
    counted("refused by us", &report.fates.rejected, f)?;
    counted("failed", &report.fates.failures, f)?;
    writeln!(f)?;
    faults(report, f)?;
    transitions(report, f)?;
    checks(report, f)
}

/// Widths of the columns of the table of backends, after the name.
const WIDTHS: [usize; 10] = [9, 9, 9, 15, 6, 9, 11, 9, 10, 9];

fn backends(report: &Report, f: &mut Formatter<'_>) -> Result {
    let titles = [
        "asked",
        "ok",
        "refused",
        "failed: undone",
        "done",
        "unknown",
        "cancelled",
        "retries",
        "restarts",
        "p99",
    ];
    line("backend", titles.map(str::to_owned).to_vec(), f)?;
    for backend in &report.backends {
        let mut cells = fates(backend.asked, &backend.fates);
        cells.extend([grouped(backend.runtime.retries), grouped(backend.restarts)]);
        cells.push(duration_in_words(Duration::from_secs_f64(backend.p99_ms / 1e3)));
        line(backend.name, cells, f)?;
    }
    line("total", fates(report.messages, &report.fates), f)?;
    for left in &report.left_out {
        writeln!(f, "left out: {} ({}): {}", left.backend.name(), left.kind, left.reason)?;
    }
    Ok(())
}

fn fates(asked: u64, fates: &Fates) -> Vec<String> {
    let failed = fates.failed;
    let [undone, done, unknown] = [failed.executed_no, failed.executed_yes, failed.executed_unknown];
    [asked, fates.ok, fates.rejected_total(), undone, done, unknown, fates.cancelled].map(grouped).to_vec()
}

fn line(name: &str, cells: Vec<String>, f: &mut Formatter<'_>) -> Result {
    write!(f, "{name:<9}")?;
    for (cell, width) in cells.iter().zip(WIDTHS) {
        write!(f, "{cell:>width$}")?;
    }
    writeln!(f)
}

fn counted(what: &str, counts: &BTreeMap<&'static str, u64>, f: &mut Formatter<'_>) -> Result {
    if counts.is_empty() {
        return Ok(());
    }
    let list: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {}", grouped(*count))).collect();
    writeln!(f, "{what}: {}", list.join(", "))
}

fn faults(report: &Report, f: &mut Formatter<'_>) -> Result {
    if report.faults.is_empty() {
        return writeln!(f, "no faults");
    }
    writeln!(f, "{:<24}{:>9}{:>9}{:>15}{:>14}", "fault", "began", "lasted", "messages hit", "recovered in")?;
    let mut faults: Vec<_> = report.faults.iter().collect();
    faults.sort_by_key(|fault| fault.began_ms);
    for fault in faults {
        let name = format!("{} {}", fault.backend.name(), fault.kind.name());
        let seconds = |ms: u64| format!("{:.1} s", ms as f64 / 1e3);
        let lasted = fault.ended_ms.map_or("-".into(), |ended| seconds(ended.saturating_sub(fault.began_ms)));
        let recovered = match fault.recovered_after_ms {
            Some(after) => format!("{after} ms"),
            None if fault.is_complete() => "never".into(),
            None => "cut short".into(),
        };
        let began = seconds(fault.began_ms);
        writeln!(f, "{name:<24}{began:>9}{lasted:>9}{:>15}{recovered:>14}", grouped(fault.messages_hit))?;
    }
    Ok(())
}

fn transitions(report: &Report, f: &mut Formatter<'_>) -> Result {
    if report.transitions.is_empty() {
        return writeln!(f, "\nno breaker changed its state\n");
    }
    writeln!(f, "\nbreaker transitions: {}", report.transitions.len())?;
    for seen in report.transitions.iter().take(TRANSITIONS_SHOWN) {
        let at = seen.at_ms as f64 / 1e3;
        let (backend, from, to) = (seen.backend.name(), seen.from, seen.to);
        writeln!(f, "{at:>8.2} s  {backend:<8} {from} → {to}: {}", seen.cause)?;
    }
    match report.transitions.len().saturating_sub(TRANSITIONS_SHOWN) {
        0 => writeln!(f),
        more => writeln!(f, "            and {more} more; --json lists all of them\n"),
    }
}

fn checks(report: &Report, f: &mut Formatter<'_>) -> Result {
    for check in &report.checks {
        let mark = if check.ok { "ok    " } else { "FAILED" };
        writeln!(f, "{mark} {:<27} {}", check.rule.name(), check.detail)?;
    }
    let failed: Vec<_> = report.failed_checks().map(|check| check.rule.name()).collect();
    match (failed.is_empty(), report.planted) {
        (true, None) => writeln!(f, "\nall {} checks hold", report.checks.len()),
        (true, Some(bug)) => writeln!(f, "\nall {} checks hold, so nobody caught {bug}", report.checks.len()),
        (false, None) => {
            writeln!(f, "\n{} of {} checks failed: {}", failed.len(), report.checks.len(), failed.join(", "))
        }
        (false, Some(bug)) => writeln!(f, "\nplanted bug {bug} caught by: {}", failed.join(", ")),
    }
}
