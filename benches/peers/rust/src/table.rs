//! Medians, ratios to a peer, and how they are shown.

use std::{fs::OpenOptions, io::Write};

use serde_json::json;

use crate::{contender::Sample, options::Options, rounds::Line};

/// The middle of some figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Prints a Markdown table; ratios are medians of per-round ratios to the lines named in `peers`.
pub fn show(options: &Options, title: &str, peers: &[&str], lines: &[Line], extra: Option<&str>) {
    let first = peers.first().copied().unwrap_or_default();
    let ratios: String = peers.iter().map(|peer| format!(" × {peer} |")).collect();
    let column = extra.map_or(String::new(), |name| format!(" {name} |"));
    let dashes = "---:|".repeat(peers.len() + usize::from(extra.is_some()));
    println!("\n### {title}\n");
    println!(
        "| callers | | operations/s |{ratios} best × best | p50 µs | p99 µs | p99.9 µs | CPU µs/op |{column}"
    );
    println!("|---:|---|---:|---:|---:|---:|---:|---:|{dashes}");
    for line in lines {
        let figure = |pick: fn(&Sample) -> f64| median(line.samples.iter().map(pick).collect());
        let base =
            |peer: &str| lines.iter().find(|other| other.callers == line.callers && other.name == peer);
        let ratios: Vec<f64> =
            peers.iter().map(|peer| base(peer).map_or(f64::NAN, |base| ratio(line, base))).collect();
        let shown: String = ratios.iter().map(|ratio| format!(" {ratio:.2} |")).collect();
        let bests = base(first).map_or(f64::NAN, |base| best(line) / best(base));
        let own = line.samples.iter().filter_map(|sample| sample.extra).collect::<Vec<_>>();
        let own = if own.is_empty() { f64::NAN } else { median(own) };
        let last = if extra.is_some() { format!(" {} |", or_dash(own)) } else { String::new() };
        println!(
            "| {} | {} | {} |{shown} {bests:.2} | {:.2} | {:.2} | {:.2} | {:.2} |{last}",
            line.callers,
            line.name,
            thousands(figure(|s| s.rate)),
            figure(|s| s.p50),
            figure(|s| s.p99),
            figure(|s| s.p999),
            figure(|s| s.cpu),
        );
        let record = json!({
            "table": title, "callers": line.callers, "name": line.name, "peers": peers,
            "ratios": ratios, "best_ratio": bests, "extra": own,
            "rates": line.samples.iter().map(|s| s.rate).collect::<Vec<_>>(),
            "p50_us": figure(|s| s.p50), "p99_us": figure(|s| s.p99), "p999_us": figure(|s| s.p999),
            "cpu_us": figure(|s| s.cpu),
        });
        write_json(options, &record);
    }
}

/// The median of the ratios of the rounds.
fn ratio(line: &Line, base: &Line) -> f64 {
    let pairs = line.samples.iter().zip(&base.samples);
    median(pairs.map(|(own, base)| own.rate / base.rate).collect())
}

fn best(line: &Line) -> f64 {
    line.samples.iter().map(|sample| sample.rate).fold(f64::NAN, f64::max)
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
