//! `--against`: two servers in turns, of which one has other settings or is another build. Rates of this machine vary by a tenth from
//! one second to the next; shares of rounds that follow each other vary less, and their median least.

use super::{Online, RequestKind};
use crate::benchmark::args::{BenchmarkArgs, Progress, READY_WITHIN, server_alone};
use crate::benchmark::goals::{AGAINST, figure};
use crate::benchmark::rounds::Series;
use crate::server::{Scratch, Server};
use crate::stats::median;
use anyhow::Context;
use base::report::Figure;
use std::path::PathBuf;
use std::time::Duration;

/// Pairs of rounds of each figure.
const PAIRS: usize = 12;
const ACTS: [RequestKind; 3] = [RequestKind::NoopPost, RequestKind::Hold, RequestKind::Purchase];
/// Steps of the progress bar.
pub const STEPS: u64 = (ACTS.len() * PAIRS) as u64;

/// What the server with `settings`, or of the other build, comes to, as shares of what this one does.
pub async fn measure(
    settings: &str,
    args: &BenchmarkArgs,
    scratch: &Scratch,
    progress: &Progress,
) -> anyhow::Result<Vec<Figure>> {
    let round = Duration::from_secs_f64(args.seconds() / 3.0);
    let connections = usize::from(args.connections);
    let mut flags = server_alone();
    let one = Server::start(&scratch.path().join("one"), &flags, READY_WITHIN).await?;
    flags.extend(settings.split_whitespace());
    let this = || std::env::current_exe().context("cannot find this program's own file");
    let program: PathBuf = args.against_binary.clone().map_or_else(this, Ok)?;
    let data = scratch.path().join("other");
    let other = Server::start_program(&program, "127.0.0.1:0", &data, &flags, READY_WITHIN).await?;
    let mut by_one = Online::new(&one, connections, round, progress).await?;
    let mut by_other = Online::new(&other, connections, round, progress).await?;
    let mut figures = Vec::new();
    for (name, act) in AGAINST.into_iter().zip(ACTS) {
        for online in [&mut by_one, &mut by_other] {
            online.one_round(act, false, round / 2, &mut Series::default()).await?;
        }
        let [mut ones, mut others] = [Series::default(), Series::default()];
        for pair in 0..PAIRS {
            // Whoever comes second finds a disk that the first has made busy.
            let mut both = [(&mut by_one, &mut ones), (&mut by_other, &mut others)];
            if pair % 2 == 1 {
                both.reverse();
            }
            for (online, series) in both {
                online.one_round(act, false, round, series).await?;
            }
            progress.step();
        }
        figures.push(share(name, &ones, &others));
    }
    by_one.check_books().await?;
    by_other.check_books().await?;
    drop((by_one, by_other));
    one.stop().await?;
    other.stop().await?;
    Ok(figures)
}

fn share(name: &'static str, ones: &Series, others: &Series) -> Figure {
    let mut shares: Vec<f64> = others.rates.iter().zip(&ones.rates).map(|(other, one)| other / one).collect();
    shares.sort_by(f64::total_cmp);
    let mut figure = figure(name, Some(median(&shares)), None);
    // Half of the pairs lie between these.
    let (lower, upper) = (shares[shares.len() / 4], shares[shares.len() * 3 / 4]);
    let us = |series: &Series| series.server_cpu.as_secs_f64() * 1e6 / series.done.max(1) as f64;
    figure.note = format!(
        "{:.3}, half of the pairs from {lower:.3} to {upper:.3}; {:.0}/s and {:.0}/s; processor time of the server each: {:.1} µs and {:.1} µs",
        median(&shares),
        others.rate(),
        ones.rate(),
        us(others),
        us(ones)
    );
    figure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_pairs_counts() {
        let series = |rates: &[f64]| Series { rates: rates.into(), done: 1, ..Series::default() };
        let figure = share("hold_against", &series(&[100.0, 50.0, 200.0, 80.0]), &series(&[90.0, 49.0, 20.0, 79.0]));
        assert!((figure.value.unwrap() - 0.94).abs() < 1e-9, "{:?}", figure.value);
        assert!(figure.note.starts_with("0.940, half of the pairs from 0.900 to 0.988;"), "{}", figure.note);
    }
}
