//! What was given for each setting, by whom, and what is wrong with it.

use super::value::Raw;

/// Who said it. The later one wins.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    Default,
    /// Line of the file, from 1.
    File(usize),
    Variable,
    Flag,
}

/// A setting's value and where it comes from.
#[derive(Clone, Debug)]
pub struct Given {
    pub raw: Option<Raw>,
    pub source: Source,
}

/// What is found wrong, on the way.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) lines: Vec<String>,
    pub(super) beside_flags: bool,
}

impl Findings {
    pub(super) fn add(&mut self, source: &Source, line: String) {
        self.beside_flags |= *source != Source::Flag;
        self.lines.push(line);
    }
}

/// What was probably meant: of pairs of a name and what to suggest, that with the nearest name, if one is near enough.
pub(super) fn nearest<T>(wrong: &str, names: impl Iterator<Item = (String, T)>) -> Option<T> {
    let slips_max = (wrong.chars().count() / 3).max(1);
    let scored = names.map(|(name, meant)| (strsim::damerau_levenshtein(wrong, &name), meant));
    scored.filter(|(slips, _)| *slips <= slips_max).min_by_key(|(slips, _)| *slips).map(|(_, meant)| meant)
}
