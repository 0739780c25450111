//! Which builds are filled by whom, when two do it at the same time.

use crate::apply::{Ready, Took};
use std::collections::BTreeMap;
use std::time::Duration;

/// Takes builds out of a share that has been measured, so that what stays and what goes take about as long: statements, and
/// loading the events, which builds that need the same ones had better do together. None when one alone is as quick.
pub(super) fn halve<'a>(share: &mut Vec<&'a mut Ready>) -> Option<Vec<&'a mut Ready>> {
    let took: Option<Vec<&Took>> = share.iter().map(|ready| ready.took.as_ref()).collect();
    let mut goes = split(&took?)?.into_iter();
    let given = share.extract_if(.., |_| goes.next().unwrap_or_default());
    Some(given.collect())
}

/// Which ones go: one after the other, as long as the half that takes longer becomes shorter by that.
fn split(took: &[&Took]) -> Option<Vec<bool>> {
    let mut goes = vec![false; took.len()];
    let mut least = longer(took, &goes);
    loop {
        let moved = (0..took.len()).map(|index| {
            let mut moved = goes.clone();
            moved[index] = !moved[index];
            (longer(took, &moved), moved)
        });
        match moved.min() {
            Some((time, moved)) if time < least => (least, goes) = (time, moved),
            _ => return goes.contains(&true).then_some(goes),
        }
    }
}

/// What the half takes that takes longer.
fn longer(took: &[&Took], goes: &[bool]) -> Duration {
    time(took, goes, true).max(time(took, goes, false))
}

fn time(took: &[&Took], goes: &[bool], which: bool) -> Duration {
    let half = || took.iter().zip(goes).filter(|(_, goes)| **goes == which).map(|(took, _)| took);
    let loading: BTreeMap<&str, Duration> =
        half().flat_map(|took| &took.loading).map(|(kind, time)| (kind.as_str(), *time)).collect();
    half().map(|took| took.statements).sum::<Duration>() + loading.into_values().sum::<Duration>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ms of statements, and of loading each type.
    fn took(statements: u64, loading: &[(&str, u64)]) -> Took {
        let loading = loading.iter().map(|(kind, ms)| ((*kind).to_owned(), Duration::from_millis(*ms)));
        Took { statements: Duration::from_millis(statements), loading: loading.collect() }
    }

    #[test]
    fn those_who_need_the_same_events_stay_together() {
        let points = [("Charged", 20), ("Spent", 20)];
        let sales = [("Held", 50), ("Spent", 20)];
        let all = [took(10, &points), took(30, &sales), took(10, &points), took(9, &sales)];
        let goes = split(&all.each_ref()).unwrap();
        assert_eq!((goes[0], goes[1]), (goes[2], goes[3]), "{goes:?}");
        assert_ne!(goes[0], goes[1]);
    }

    #[test]
    fn without_events_in_common_halves_take_as_long() {
        let all = [took(60, &[("A", 5)]), took(20, &[("B", 5)]), took(20, &[("C", 5)]), took(10, &[("D", 5)])];
        assert_eq!(longer(&all.each_ref(), &split(&all.each_ref()).unwrap()), Duration::from_millis(65));
    }

    #[test]
    fn nothing_goes_where_that_would_not_be_quicker() {
        assert_eq!(split(&[&took(5, &[("A", 10)])]), None);
        assert_eq!(split(&[]), None);
        let one = || took(0, &[("A", 10)]);
        assert_eq!(split(&[&one(), &one()]), None);
    }
}
