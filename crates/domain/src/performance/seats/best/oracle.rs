//! The search against all sets of seats there are: on small halls every set is looked at, and ranked as it is documented.

use super::tests::hall;
use super::*;
use proptest::prelude::*;

/// How good a set of seats is: less is better. The first number is the step.
type Rank = (u32, u32, u32, u32);

/// Seats that are side by side in `seats`, which are in order.
fn blocks(layout: &Layout, seats: &[u32]) -> Vec<Vec<u32>> {
    let mut blocks: Vec<Vec<u32>> = Vec::new();
    for seat in seats {
        match blocks.last_mut() {
            Some(block) if block.last() == Some(&(seat - 1)) && !layout.is_break_after(seat - 1) => block.push(*seat),
            _ => blocks.push(vec![*seat]),
        }
    }
    blocks
}

fn rank(layout: &Layout, free: &[u32], seats: &[u32]) -> Rank {
    let blocks = blocks(layout, seats);
    let row = |block: &Vec<u32>| layout.row_of(block[0]);
    let first_row = row(&blocks[0]);
    let alone = |block: &Vec<u32>| block.len() == 1;
    let lonely = blocks.iter().filter(|block| alone(block)).count() as u32;
    let lonely_allowed = seats.len() < 4 || lonely == 0;
    if let [block] = blocks.as_slice() {
        let left: Vec<u32> = free.iter().copied().filter(|seat| !block.contains(seat)).collect();
        let beside = |seat: u32| seat + 1 == block[0] || seat == block[block.len() - 1] + 1;
        let orphan = self::blocks(layout, &left).iter().any(|rest| {
            alone(rest) && beside(rest[0]) && layout.row_of(rest[0]) == first_row && {
                let (low, high) = (rest[0].min(block[0]), rest[0].max(block[0]));
                (low..high).all(|seat| !layout.is_break_after(seat))
            }
        });
        let of_row = &layout.rows[first_row];
        let off = (2 * block[0] + block.len() as u32).abs_diff(2 * of_row.first + of_row.count);
        return (u32::from(orphan), first_row as u32, off, block[0]);
    }
    if blocks.len() == 2 && row(&blocks[1]) == first_row && lonely_allowed {
        return (2, first_row as u32, 0, 0);
    }
    let next = |pair: &[Vec<u32>]| {
        let (one, other) = (row(&pair[0]), row(&pair[1]));
        other == one + 1 && layout.rows[one].section == layout.rows[other].section
    };
    if blocks.windows(2).all(next) && lonely_allowed {
        return (3, blocks.len() as u32, first_row as u32, 0);
    }
    (4, blocks.len() as u32, lonely, 0)
}

/// All sets of `count` of `free`.
fn sets(free: &[u32], count: usize) -> Vec<Vec<u32>> {
    let all = 0u32..1 << free.len();
    let chosen = |set: u32| free.iter().enumerate().filter(move |(at, _)| set >> at & 1 == 1).map(|(_, seat)| *seat);
    all.filter(|set| set.count_ones() as usize == count).map(|set| chosen(set).collect()).collect()
}

fn halls() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let grade = prop_oneof![3 => Just("R"), 1 => Just("S")];
    let sign = prop_oneof![5 => Just("."), 3 => Just("x"), 1 => Just("|."), 1 => Just("a"), 1 => Just("c")];
    let row = prop::collection::vec(sign, 1..8).prop_map(|signs| signs.concat().trim_start_matches('|').to_string());
    prop::collection::vec((grade, row), 1..6).prop_filter("at most 14 free seats, sections in one piece", |rows| {
        let free = rows.iter().flat_map(|(_, row)| row.chars()).filter(|sign| *sign == '.').count();
        free <= 14 && rows.windows(2).filter(|pair| pair[0].0 != pair[1].0).count() <= 1
    })
}

fn mixed_halls() -> impl Strategy<Value = Vec<String>> {
    let sign = prop_oneof![4 => Just("."), 4 => Just(","), 1 => Just("x"), 1 => Just("X"), 1 => Just("|.")];
    let row = prop::collection::vec(sign, 1..10).prop_map(|signs| signs.concat().trim_start_matches('|').to_string());
    prop::collection::vec(row, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn no_set_of_seats_is_better_than_what_is_found(rows in halls(), count in 1..9u32, only_r in any::<bool>()) {
        let drawn: Vec<(&str, &str)> = rows.iter().map(|(grade, row)| (*grade, row.as_str())).collect();
        let (layout, vacancies) = hall(&drawn);
        let grade = only_r.then_some(0);
        let wanted = Wanted { grade, section: None, count, accessible: 0 };
        let found = find(&layout, &vacancies, &wanted);
        let fits = |seat: &u32| {
            vacancies.is_free(*seat, For::Anyone) && grade.is_none_or(|grade| layout.grade_of(*seat) == grade)
        };
        let free: Vec<u32> = (0..layout.seats).filter(fits).collect();
        let best = sets(&free, count as usize).iter().map(|seats| rank(&layout, &free, seats)).min();
        prop_assert_eq!(found.as_ref().map(|found| rank(&layout, &free, &found.seats)), best, "{:?}", found);
        prop_assert_eq!(free_by_kind(&layout, &vacancies, &wanted).standard, free.len() as u32);
        if let Some(found) = found {
            prop_assert!(found.seats.iter().all(|seat| free.contains(seat)));
            prop_assert_eq!(found.adjacent, best.unwrap().0 <= 1);
            prop_assert_eq!(found.adjacent && found.relaxed.is_empty(), best.unwrap().0 == 0);
        }
    }

    #[test]
    fn rows_of_two_grades_give_blocks_of_one(rows in mixed_halls(), count in 1..7u32, grade in prop::option::of(0..2u8)) {
        let drawn: Vec<(&str, &str)> = rows.iter().map(|row| ("R", row.as_str())).collect();
        let (layout, vacancies) = hall(&drawn);
        let fits = |seat: &u32| {
            vacancies.is_free(*seat, For::Anyone) && grade.is_none_or(|grade| layout.grade_of(*seat) == grade)
        };
        let free: Vec<u32> = (0..layout.seats).filter(fits).collect();
        let together = |seats: &[u32]| seats.windows(2).all(|pair| pair[0] + 1 == pair[1] && !layout.is_break_after(pair[0]));
        let one_grade = |seats: &[u32]| seats.iter().all(|seat| layout.grade_of(*seat) == layout.grade_of(seats[0]));
        let has_block = free.windows(count as usize).any(|seats| together(seats) && one_grade(seats));
        let wanted = Wanted { grade, section: None, count, accessible: 0 };
        prop_assert_eq!(free_by_kind(&layout, &vacancies, &wanted).standard, free.len() as u32);
        match find(&layout, &vacancies, &wanted) {
            None => prop_assert!(free.len() < count as usize),
            Some(found) => {
                prop_assert_eq!(found.seats.len(), count as usize);
                prop_assert!(found.seats.iter().all(|seat| free.contains(seat)));
                prop_assert_eq!(found.adjacent, together(&found.seats));
                prop_assert!(!has_block || (found.adjacent && one_grade(&found.seats)), "{:?}", found);
            }
        }
        let wished: Vec<u32> = (0..layout.seats).take(count as usize).collect();
        if let Some(found) = near::replacement(&layout, &vacancies, &wished) {
            let grades = |seats: &[u32]| {
                let mut grades: Vec<u8> = seats.iter().map(|seat| layout.grade_of(*seat)).collect();
                grades.sort_unstable();
                grades
            };
            prop_assert_eq!(grades(&found.seats), grades(&wished));
        }
    }

    #[test]
    fn a_replacement_is_free_as_large_and_of_the_same_grades(rows in halls(), pick in 0..1000usize, count in 1..5usize) {
        let drawn: Vec<(&str, &str)> = rows.iter().map(|(grade, row)| (*grade, row.as_str())).collect();
        let (layout, vacancies) = hall(&drawn);
        let first = pick % layout.seats as usize;
        let wished: Vec<u32> = (first as u32..layout.seats).take(count).collect();
        let grades = |seats: &[u32]| {
            let mut grades: Vec<u8> = seats.iter().map(|seat| layout.grade_of(*seat)).collect();
            grades.sort_unstable();
            grades
        };
        if let Some(found) = near::replacement(&layout, &vacancies, &wished) {
            prop_assert_eq!(found.seats.len(), wished.len());
            prop_assert!(found.seats.iter().all(|seat| vacancies.is_free(*seat, For::AccessibleParty)));
            prop_assert!(found.seats.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(grades(&found.seats), grades(&wished));
            let is_special = |seat: &u32| layout.kind(*seat) != SeatKind::Standard;
            prop_assert!(wished.iter().any(is_special) || !found.seats.iter().any(is_special));
        } else {
            // There are not as many standard seats of these grades.
            let like = |seat: &u32| vacancies.is_free(*seat, For::Anyone) && grades(&[*seat]) == grades(&wished[..1]);
            let enough = (0..layout.seats).filter(like).count() >= wished.len();
            let one_grade = grades(&wished).windows(2).all(|pair| pair[0] == pair[1]);
            let special = wished.iter().any(|seat| layout.kind(*seat) != SeatKind::Standard);
            prop_assert!(!enough || !one_grade || special);
        }
    }
}
