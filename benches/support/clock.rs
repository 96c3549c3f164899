//! How long something takes on a machine that does other things too.

#![allow(dead_code, reason = "each benchmark uses some of it")]

use std::time::{Duration, Instant};

/// Times several things in turns, so that what else the machine does hurts all alike; the medians.
pub(crate) fn medians<const N: usize>(mut work: [&mut dyn FnMut(); N]) -> [Duration; N] {
    let mut samples = [const { Vec::new() }; N];
    for _ in 0..SAMPLES {
        for (work, samples) in work.iter_mut().zip(&mut samples) {
            let start = Instant::now();
            work();
            samples.push(start.elapsed());
        }
    }
    samples.map(|mut samples: Vec<Duration>| {
        samples.sort();
        samples[samples.len() / 2]
    })
}

const SAMPLES: usize = 501;

/// Prints a figure beside what it must not exceed.
pub(crate) fn bar(what: &str, figure: f64, unit: &str, most: f64) {
    let verdict = if figure <= most { "reached" } else { "missed" };
    println!("{what}: {figure:.2} {unit}, at most {most} {unit}: {verdict}");
}
