//! Interleaved rounds: every contender has its turn in every round, so that a noisy minute hits all alike.

use crate::{
    contender::{Contender, Sample, Stopwatch},
    options::Options,
};

/// The turns of one contender with so many callers, in the order of the rounds.
pub struct Line {
    /// The contender.
    pub name: &'static str,
    /// The callers.
    pub callers: usize,
    /// One sample a round.
    pub samples: Vec<Sample>,
}

/// Runs all rounds; the peer that the others are compared with is the first contender.
pub fn run(options: &Options, every: u64, callers: &[usize], contenders: &mut [Contender]) -> Vec<Line> {
    let watch = Stopwatch::new(options.warm_up, options.measured, every);
    let mut lines = Vec::new();
    for &callers in callers {
        let start = lines.len();
        let names = contenders.iter().map(|contender| contender.name);
        lines.extend(names.map(|name| Line { name, callers, samples: Vec::new() }));
        for round in 0..options.rounds {
            // Every other round runs backwards, so that no contender always follows the same one.
            let mut order: Vec<_> = (0..contenders.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for index in order {
                let is_wanted =
                    options.contender.as_ref().is_none_or(|part| contenders[index].name.contains(part));
                if !is_wanted || (callers > 1 && contenders[index].alone) {
                    continue;
                }
                let sample = (contenders[index].turn)(callers, &watch);
                lines[start + index].samples.push(sample);
            }
        }
    }
    lines.retain(|line| !line.samples.is_empty());
    lines
}
