//! Medians, ratios to a peer, and how they are shown.

use std::{fs::OpenOptions, io::Write};

use serde_json::json;

use crate::{contender::Sample, options::Options, rounds::Line};

/// The middle of some figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn best(figures: impl Iterator<Item = f64>) -> f64 {
    figures.fold(f64::NAN, f64::max)
}

/// Prints a Markdown table; ratios are medians of per-round ratios to the line named `peer`.
pub fn show(options: &Options, title: &str, peer: &str, lines: &[Line], extra: Option<&str>) {
    println!("\n### {title}\n");
    let column = extra.map_or(String::new(), |name| format!(" {name} |"));
    let dashes = if extra.is_some() { "---:|" } else { "" };
    println!("| callers | | operations/s | × {peer} | best × best | p50 µs | p99 µs | CPU µs/op |{column}");
    println!("|---:|---|---:|---:|---:|---:|---:|---:|{dashes}");
    for line in lines {
        let base = lines.iter().find(|other| other.callers == line.callers && other.name == peer);
        let figure = |pick: fn(&Sample) -> f64| median(line.samples.iter().map(pick).collect());
        let ratios = base.map(|base| {
            let pairs = line.samples.iter().zip(&base.samples);
            let bests = best(line.samples.iter().map(|s| s.rate)) / best(base.samples.iter().map(|s| s.rate));
            (median(pairs.map(|(own, peer)| own.rate / peer.rate).collect()), bests)
        });
        let (ratio, bests) = ratios.unwrap_or((f64::NAN, f64::NAN));
        let own = line.samples.iter().filter_map(|sample| sample.extra).collect::<Vec<_>>();
        let own = if own.is_empty() { f64::NAN } else { median(own) };
        let shown = if extra.is_some() { format!(" {} |", or_dash(own)) } else { String::new() };
        println!(
            "| {} | {} | {} | {ratio:.2} | {bests:.2} | {:.2} | {:.2} | {:.2} |{shown}",
            line.callers,
            line.name,
            thousands(figure(|s| s.rate)),
            figure(|s| s.p50),
            figure(|s| s.p99),
            figure(|s| s.cpu),
        );
        let record = json!({
            "table": title, "callers": line.callers, "name": line.name, "peer": peer,
            "ratio": ratio, "best_ratio": bests, "extra": own,
            "rates": line.samples.iter().map(|s| s.rate).collect::<Vec<_>>(),
            "p50_us": figure(|s| s.p50), "p99_us": figure(|s| s.p99), "cpu_us": figure(|s| s.cpu),
        });
        write_json(options, &record);
    }
}

/// Adds one record to the file of figures, if there is to be one.
pub fn write_json(options: &Options, record: &serde_json::Value) {
    let Some(path) = &options.json else { return };
    let file = OpenOptions::new().create(true).append(true).open(path);
    if let Err(error) = file.and_then(|mut file| writeln!(file, "{record}")) {
        eprintln!("{}: {error}", path.display());
    }
}

fn or_dash(figure: f64) -> String {
    if figure.is_nan() { "–".into() } else { format!("{figure:.1}") }
}

fn thousands(figure: f64) -> String {
    if figure >= 10_000.0 { format!("{:.0}k", figure / 1e3) } else { format!("{:.1}k", figure / 1e3) }
}
