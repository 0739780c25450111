//! `onsale draw check`: whether a queue's draw is what it was promised to be.

use anyhow::{Context, bail};
use base::terminal::print;
use domain::queue::draw::{self, Seed};
use serde::Deserialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Bytes of a draw's file: of 50 million people.
const FILE_BYTES_MAX: u64 = 2 << 30;

/// What `onsale draw` is told.
#[derive(clap::Args, Debug)]
pub struct DrawArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Recompute a draw: the promise, the sealed list, the order
    Check {
        /// What GET /v1/queues/{id}/draw answered
        file: PathBuf,
    },
}

/// What a draw says of itself.
#[derive(Deserialize)]
struct Draw {
    commitment: String,
    seed: Option<String>,
    sealed: Option<String>,
    tickets: Vec<u32>,
    order: Vec<u32>,
}

/// Exit code 1 when the draw is not what it was promised to be.
pub fn run(args: DrawArgs) -> anyhow::Result<ExitCode> {
    let Command::Check { file } = args.command;
    let cannot = || format!("cannot read {}", file.display());
    if std::fs::metadata(&file).with_context(cannot)?.len() > FILE_BYTES_MAX {
        bail!("{} is too long for a draw", file.display());
    }
    let bytes = std::fs::read(&file).with_context(cannot)?;
    let draw: Draw = serde_json::from_slice(&bytes).with_context(|| format!("{} is no draw", file.display()))?;
    match draw.check() {
        Ok(drawn) => print(&format!("the draw is right: {drawn} people, in the order of the seed that was promised\n")),
        Err(wrong) => {
            eprintln!("onsale: the draw is wrong: {wrong}");
            Ok(ExitCode::FAILURE)
        }
    }
}

impl Draw {
    /// How many were drawn, or what is wrong.
    fn check(&self) -> Result<usize, String> {
        let (Some(seed), Some(sealed)) = (&self.seed, &self.sealed) else {
            return Err("there is no seed: the queue has not opened yet".into());
        };
        let seed = Seed::read(seed).ok_or("the seed has not 64 hex digits")?;
        if seed.commitment() != self.commitment {
            return Err("its seed is not the one that was promised: SHA-256(seed) is not the commitment".into());
        }
        if !self.tickets.is_sorted_by(|one, other| one < other) {
            return Err("the tickets are not ascending, each once".into());
        }
        if draw::hex(&draw::seal(&self.tickets)) != *sealed {
            return Err("the list of tickets is not the one that was sealed".into());
        }
        let order = draw::order(seed, &self.tickets);
        match order.iter().zip(&self.order).position(|(right, found)| right != found) {
            Some(place) => {
                Err(format!("at place {} is ticket {}, where {} belongs", place + 1, self.order[place], order[place]))
            }
            None if order.len() != self.order.len() => {
                Err(format!("{} tickets were drawn, the order has {}", order.len(), self.order.len()))
            }
            None => Ok(order.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw() -> Draw {
        let (seed, tickets) = (Seed([5; 32]), vec![1, 2, 3, 5, 8]);
        let sealed = Some(draw::hex(&draw::seal(&tickets)));
        let order = draw::order(seed, &tickets);
        Draw { commitment: seed.commitment(), seed: Some(seed.text()), sealed, tickets, order }
    }

    #[test]
    fn a_draw_that_was_tampered_with_is_found() {
        assert_eq!(draw().check(), Ok(5));
        let swapped = |mut draw: Draw| {
            draw.order.swap(0, 4);
            draw
        };
        let another = Seed([6; 32]);
        let table = [
            (swapped(draw()), "at place 1"),
            (Draw { order: draw().order[..4].to_vec(), ..draw() }, "the order has 4"),
            (Draw { seed: Some(another.text()), ..draw() }, "not the one that was promised"),
            (Draw { seed: Some(another.text()), commitment: another.commitment(), ..draw() }, "at place"),
            (Draw { tickets: vec![1, 2, 3, 5, 9], ..draw() }, "sealed"),
            (Draw { tickets: vec![1, 3, 2, 5, 8], ..draw() }, "ascending"),
            (Draw { seed: None, ..draw() }, "not opened"),
        ];
        for (draw, why) in table {
            let found = draw.check().unwrap_err();
            assert!(found.contains(why), "{found}");
        }
    }
}
