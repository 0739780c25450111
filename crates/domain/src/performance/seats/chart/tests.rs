use super::*;

fn row(row: &str, grade: &str, count: u32) -> Row {
    Row { row: row.into(), grade: grade.into(), seat_count: Some(count), ..Row::default() }
}

fn names(names: &str) -> Vec<String> {
    names.split_whitespace().map(String::from).collect()
}

#[test]
fn aisles_cut_rows_into_runs_and_seats_have_kinds() {
    let first = Row { breaks_after: names("8 3 3"), accessible: names("1"), ..row("1", "R", 8) };
    let mut odd = Row { seat_count: None, seats: names("9 7 5b 1"), ..row("2", "R", 0) };
    (odd.breaks_after, odd.accessible, odd.companion) = (names("9"), names("5b"), names("1 7"));
    let chart = Chart { sections: vec![Section { section: "A".into(), rows: vec![first, odd] }], areas: vec![] };
    let layout = Layout::new(&chart, &prices()).unwrap();
    let runs = |row| layout.runs(row).collect::<Vec<_>>();
    assert_eq!((runs(0), runs(1)), (vec![0..3, 3..8], vec![8..9, 9..12]));
    let breaks: Vec<u32> = (0..12).filter(|seat| layout.is_break_after(*seat)).collect();
    assert_eq!(breaks, [2, 7, 8, 11]);
    let kinds: Vec<SeatKind> = [0, 1, 8, 9, 10, 11].map(|seat| layout.kind(seat)).to_vec();
    use SeatKind::{Accessible, Companion, Standard};
    assert_eq!(kinds, [Accessible, Standard, Standard, Companion, Accessible, Companion]);
    assert!(!layout.rows[0].is_standard());
}

#[test]
fn seats_are_found_again_in_another_chart() {
    let chart = |rows| Chart { sections: vec![Section { section: "A".into(), rows }], areas: vec![] };
    let printed = |seats| Row { seat_count: None, seats: names(seats), ..row("2", "R", 0) };
    let one = Layout::new(&chart(vec![row("1", "R", 3), printed("2 4 6"), row("3", "R", 2)]), &prices()).unwrap();
    let other = Layout::new(&chart(vec![printed("6 5 4"), row("1", "R", 2), row("4", "R", 9)]), &prices()).unwrap();
    assert_eq!(one.seats_in(&other), [Some(3), Some(4), None, None, Some(2), Some(0), None, None]);
    let by_label = |seat| other.seat(&one.label(seat));
    assert_eq!(one.seats_in(&other), (0..one.seats).map(by_label).collect::<Vec<_>>());
    assert_eq!(one.seats_in(&one), (0..one.seats).map(Some).collect::<Vec<_>>());
    let counted = Layout::new(&chart(vec![row("2", "R", 5)]), &prices()).unwrap();
    assert_eq!(one.seats_in(&counted)[3..6], [Some(1), Some(3), None]);
}

fn prices() -> Prices {
    Prices::from([("R".into(), 100), ("VIP".into(), 300)])
}

#[test]
fn labels_and_seats_are_each_others_inverse() {
    let odd = Row { seat_count: None, seats: ["1", "3", "5", "2b"].map(String::from).to_vec(), ..row("2", "R", 0) };
    let chart = Chart {
        sections: vec![
            Section { section: "A".into(), rows: vec![row("1", "VIP", 12), odd] },
            Section { section: "B".into(), rows: vec![row("1", "R", 3)] },
        ],
        areas: vec![],
    };
    let layout = Layout::new(&chart, &prices()).unwrap();
    assert_eq!(layout.seats, 19);
    for seat in 0..layout.seats {
        assert_eq!(layout.seat(&layout.label(seat)), Some(seat));
    }
    assert_eq!(layout.label(15), "A-2-2b");
    for unknown in ["", "A", "A-1", "A-1-0", "A-1-13", "A-1-01", "A-1-+1", "A-2-2", "C-1-1", "A-1-", "-1-1", "A-1-1-1"]
    {
        assert_eq!(layout.seat(unknown), None, "{unknown:?}");
    }
}

#[test]
fn a_bad_chart_is_refused_by_field() {
    let area = |name: &str, grade: &str, capacity| Area { area: name.into(), grade: grade.into(), capacity };
    let rows = |rows: Vec<Row>| Chart { sections: vec![Section { section: "A".into(), rows }], areas: vec![] };
    let both = Row { seats: vec!["1".into()], ..row("1", "R", 1) };
    let twice = Row { seat_count: None, seats: vec!["1".into(), "1".into()], ..row("1", "R", 1) };
    let overlap = Row { accessible: names("1"), companion: names("2 1"), ..row("1", "R", 2) };
    let table = [
        (Chart::default(), "chart"),
        (rows(vec![row("1", "Z", 1)]), "chart.sections[0].rows[0].grade"),
        (rows(vec![row("1", "R", 0)]), "chart.sections[0].rows[0].seats"),
        (rows(vec![row("1", "R", 100_001)]), "chart.sections[0].rows[0].seats"),
        (rows(vec![row("1", "R", 60_000), row("2", "R", 60_000)]), "chart"),
        (rows(vec![row("1", "R", 1), row("1", "R", 1)]), "chart.sections[0].rows[1].row"),
        (rows(vec![row("a\tb", "R", 1)]), "chart.sections[0].rows[0].row"),
        (rows(vec![both]), "chart.sections[0].rows[0].seats"),
        (rows(vec![twice]), "chart.sections[0].rows[0].seats"),
        (rows(vec![Row { breaks_after: names("3"), ..row("1", "R", 2) }]), "chart.sections[0].rows[0].breaks_after"),
        (rows(vec![Row { accessible: names("01"), ..row("1", "R", 2) }]), "chart.sections[0].rows[0].accessible"),
        (rows(vec![Row { companion: names("1 1"), ..row("1", "R", 2) }]), "chart.sections[0].rows[0].companion"),
        (rows(vec![overlap]), "chart.sections[0].rows[0].companion"),
        (Chart { sections: vec![], areas: vec![area("F", "R", 0)] }, "chart.areas[0].capacity"),
        (Chart { sections: vec![], areas: vec![area("F", "Q", 5)] }, "chart.areas[0].grade"),
        (Chart { sections: vec![], areas: vec![area("F", "R", 5), area("F", "R", 5)] }, "chart.areas[1].area"),
    ];
    for (chart, field) in table {
        assert_eq!(Layout::new(&chart, &prices()).unwrap_err().field, field);
    }
    assert_eq!(Layout::new(&rows(vec![row("1", "R", 1)]), &Prices::new()).unwrap_err().field, "prices");
}

fn hall(rows: &[(&str, &str, &str)]) -> Chart {
    let mut chart = Chart::default();
    for (section, row, seats) in rows {
        let seats = seats.split('|').map(String::from).collect();
        let row = Row { row: row.to_string(), grade: "R".into(), seats, ..Row::default() };
        match chart.sections.last_mut() {
            Some(last) if last.section == *section => last.rows.push(row),
            _ => chart.sections.push(Section { section: section.to_string(), rows: vec![row] }),
        }
    }
    chart
}

#[test]
fn names_of_real_halls_fit() {
    let good = [
        "Block D",
        "Kategorie II",
        "VIP-나구역",
        "C1, C2",
        "0-0",
        "101½",
        "Ⅻ",
        "R&B/1+2 (links)",
        "ที่นั่ง",
        "पंक्ति क्‍ष",
        "ပထမ",
        "شماره‌ها",
        "Ⓐ",
        "No. 7 \"Loge\"",
        ".",
        "A_1",
    ];
    for name in good {
        assert_eq!(names::reason_against(name), None, "{name:?}");
        let layout = Layout::new(&hall(&[(name, name, name)]), &prices()).unwrap();
        assert_eq!(layout.seat(&format!("{name}-{name}-{name}")), Some(0), "{name:?}");
    }
    let bad = [
        "",
        " ",
        " A",
        "A\u{3000}",
        "A\tB",
        "A\nB",
        "A\u{0}",
        "A\u{7f}",
        "A\u{85}",
        "A\u{200b}B",
        "A\u{200d}B",
        "\u{202e}A",
        "A\u{2066}B",
        "A\u{200e}",
        "A\u{ad}B",
        "A\u{feff}",
        "葛\u{e0100}",
        "\u{3164}",
        "\u{301}a",
        "A\u{e000}",
        "A\u{378}",
        "A\u{2028}B",
    ];
    for name in bad {
        assert!(names::reason_against(name).is_some(), "{name:?}");
    }
    assert!(name_fits(&"é".repeat(40)) && !name_fits(&"é".repeat(41)));
}

#[test]
fn names_of_one_form_are_one() {
    let mut odd = hall(&[("Bu\u{308}hne\u{a0} D", "1", "a\u{301}|b")]);
    odd.sections[0].rows[0].accessible = vec!["a\u{301}".into()];
    odd.areas = vec![Area { area: "Pa\u{308}rkett  2".into(), grade: "R".into(), capacity: 3 }];
    let chart = odd.canonical().into_owned();
    assert_eq!((&*chart.sections[0].section, &*chart.areas[0].area), ("Bühne D", "Pärkett 2"));
    assert!(matches!(chart.canonical(), Cow::Borrowed(_)));
    let layout = Layout::new(&chart, &prices()).unwrap();
    for label in ["Bühne D-1-á", "Bu\u{308}hne D-1-a\u{301}", "Bühne\u{3000}D-1-á"] {
        assert_eq!(layout.seat(label), Some(0), "{label:?}");
    }
    assert_eq!((layout.area("Pa\u{308}rkett 2"), layout.section("Bu\u{308}hne D")), (Some(0), Some("Bühne D")));
    let twice = hall(&[("\u{1102}\u{1161}", "1", "1"), ("나", "1", "1")]);
    assert_eq!(Layout::new(&twice.canonical(), &prices()).unwrap_err().field, "chart.sections[1].rows[0].row");
    let twice = Prices::from([("나".into(), 1), ("\u{1102}\u{1161}".into(), 2)]);
    assert!(names::canonical_prices(&twice, None).is_err());
}

#[test]
fn charts_of_before_are_found_by_either_form() {
    let nfd = "\u{1102}\u{1161}";
    let mut old = hall(&[(nfd, "1", "1|2"), ("A", "1", "1")]);
    old.areas = vec![Area { area: nfd.into(), grade: nfd.into(), capacity: 3 }];
    let mut prices = prices();
    prices.insert(nfd.into(), 7);
    let layout = Layout::of_recorded(&old, &prices).unwrap();
    assert_eq!((layout.seat("나-1-2"), layout.seat(&format!("{nfd}-1-2"))), (Some(1), Some(1)));
    assert_eq!((layout.area("나"), layout.area(nfd)), (Some(0), Some(0)));
    assert_eq!((layout.section("나"), layout.grade_named("나")), (Some(nfd), layout.grade_named(nfd)));
    // A place that stays keeps its name; a new one gets the form that is kept now.
    let mut new = hall(&[("나", "1", "2|3"), ("다", "1", "1")]);
    new.areas = vec![Area { area: "나".into(), grade: "나".into(), capacity: 5 }];
    let kept = new.canonical_after(&old, &layout);
    assert_eq!((&*kept.sections[0].section, &*kept.sections[1].section, &*kept.areas[0].area), (nfd, "다", nfd));
    let changed = names::canonical_prices(&Prices::from([("나".into(), 8)]), Some(&prices)).unwrap().into_owned();
    assert_eq!(changed, Prices::from([(nfd.into(), 8)]));
    let there = Layout::new(&kept, &prices).unwrap();
    assert_eq!(layout.seats_in(&there), [None, Some(0), None]);
    // Both forms, as two sections, stay two.
    let both = Layout::of_recorded(&hall(&[(nfd, "1", "1"), ("나", "1", "1")]), &prices).unwrap();
    assert_eq!((both.seat("나-1-1"), both.seat(&format!("{nfd}-1-1"))), (Some(1), Some(0)));
}

#[test]
fn labels_are_whole_and_no_two_seats_have_one() {
    let chart = hall(&[("A", "0-0", "1|2"), ("A-0", "0", "3|4"), ("A-0", "1", "1"), ("VIP-나구역", "C1, C2", "1-a|1")]);
    let layout = Layout::new(&chart, &prices()).unwrap();
    for seat in 0..layout.seats {
        assert_eq!(layout.seat(&layout.label(seat)), Some(seat));
    }
    assert_eq!((layout.seat("A-0-0-3"), layout.seat("VIP-나구역-C1, C2-1-a")), (Some(2), Some(5)));
    for unknown in ["A-0-0-5", "A-0-1-2", "VIP-나구역-C1, C2-1-b", "--", "-"] {
        assert_eq!(layout.seat(unknown), None, "{unknown}");
    }
    assert_eq!(layout.seats_in(&layout), (0..layout.seats).map(Some).collect::<Vec<_>>());
    let other = Layout::new(&hall(&[("A-0-0", "2", "x"), ("A", "0", "0-4|0-1")]), &prices()).unwrap();
    assert_eq!(layout.seats_in(&other)[..5], [Some(2), None, None, Some(1), None]);

    let twins = [
        (hall(&[("A", "0-0", "1"), ("A-0", "0", "2|1")]), "chart.sections[1].rows[0].seats"),
        (
            hall(&[("A", "1", "7"), ("A", "0", "0-1"), ("B", "1", "1"), ("A-0", "0", "1")]),
            "chart.sections[2].rows[0].seats",
        ),
        (hall(&[("A-0", "0", "1"), ("A", "0", "2|0-1")]), "chart.sections[1].rows[0].seats"),
    ];
    for (chart, field) in twins {
        let invalid = Layout::new(&chart, &prices()).unwrap_err();
        assert_eq!(invalid.field, field, "{invalid:?}");
        for told in ["\"A-0-0-1\"", "section \"A\", row ", "section \"A-0\", row \"0\", seat \"1\""] {
            assert!(invalid.reason.contains(told), "{invalid:?}");
        }
    }
}

#[test]
fn a_row_has_seats_of_several_grades() {
    let others = |grade: &str, seats: &str| SeatsOfGrade { grade: grade.into(), seats: names(seats) };
    let mixed = Row { other_grades: vec![others("VIP", "3 4 7")], breaks_after: names("3"), ..row("1", "R", 8) };
    let rows = |row: Row| Chart { sections: vec![Section { section: "A".into(), rows: vec![row] }], areas: vec![] };
    let layout = Layout::new(&rows(mixed), &prices()).unwrap();
    let grades: Vec<u8> = (0..8).map(|seat| layout.grade_of(seat)).collect();
    assert_eq!(grades, [0, 0, 1, 1, 0, 0, 1, 0]);
    let pieces: Vec<_> = layout.rows[0].runs_of_one_grade().collect();
    assert_eq!(pieces, [(0..2, 0), (2..3, 1), (3..4, 1), (4..6, 0), (6..7, 1), (7..8, 0)]);
    let field = |others: Vec<SeatsOfGrade>| {
        Layout::new(&rows(Row { other_grades: others, ..row("1", "R", 8) }), &prices()).unwrap_err().field
    };
    assert_eq!(field(vec![others("Z", "1")]), "chart.sections[0].rows[0].other_grades[0].grade");
    assert_eq!(field(vec![others("VIP", "9")]), "chart.sections[0].rows[0].other_grades[0].seats");
    assert_eq!(field(vec![others("VIP", "1"), others("R", "1")]), "chart.sections[0].rows[0].other_grades[1].seats");
}

proptest::proptest! {
    #[test]
    fn every_label_leads_to_its_seat_or_the_chart_is_refused(
        rows in proptest::collection::vec(("[a1-]{1,3}", "[a1-]{1,3}", proptest::collection::vec("[a1-]{1,3}", 1..4)), 1..6),
    ) {
        let rows: Vec<(&str, &str, String)> =
            rows.iter().map(|(section, row, seats)| (section.as_str(), row.as_str(), seats.join("|"))).collect();
        let rows: Vec<(&str, &str, &str)> = rows.iter().map(|(section, row, seats)| (*section, *row, seats.as_str())).collect();
        let mut labels: Vec<String> = rows
            .iter()
            .flat_map(|(section, row, seats)| seats.split('|').map(move |seat| format!("{section}-{row}-{seat}")))
            .collect();
        let count = labels.len();
        labels.sort_unstable();
        labels.dedup();
        match Layout::new(&hall(&rows), &prices()) {
            Ok(layout) => {
                proptest::prop_assert_eq!(labels.len(), count);
                for seat in 0..layout.seats {
                    proptest::prop_assert_eq!(layout.seat(&layout.label(seat)), Some(seat));
                }
            }
            Err(invalid) => {
                let row_twice = invalid.field.ends_with(".row");
                proptest::prop_assert!(labels.len() < count || row_twice, "{:?}", invalid);
            }
        }
    }
}

#[test]
fn a_chart_larger_than_any_hall_is_refused_and_was_not_before() {
    let many = |rows: usize, seats: u32| (1..=rows).map(|number| row(&number.to_string(), "R", seats)).collect();
    let section = |number: usize, rows: Vec<Row>| Section { section: number.to_string(), rows };
    let area = |number: usize| Area { area: number.to_string(), grade: "R".into(), capacity: 1 };
    let areas = |count: usize| Chart { sections: vec![], areas: (0..count).map(area).collect() };
    let sections = |count: usize| Chart {
        sections: (0..count).map(|number| section(number, many(1, 1))).collect(),
        areas: vec![],
    };
    let rows = |rows: usize, seats: u32| Chart { sections: vec![section(1, many(rows, seats))], areas: vec![] };
    let printed = |count: usize| {
        let seats = (1..=count).map(|number| number.to_string()).collect();
        let row = Row { seats, seat_count: None, ..row("1", "R", 1) };
        Chart { sections: vec![section(1, vec![row])], areas: vec![] }
    };
    let long = "chart.sections[0].rows[0].seats";
    let table = [
        (areas(AREAS_MAX), areas(AREAS_MAX + 1), "chart.areas"),
        (sections(SECTIONS_MAX), sections(SECTIONS_MAX + 1), "chart.sections"),
        (rows(ROWS_MAX, 1), rows(ROWS_MAX + 1, 1), "chart.sections"),
        (rows(1, ROW_SEATS_MAX as u32), rows(1, ROW_SEATS_MAX as u32 + 1), long),
        (printed(ROW_SEATS_MAX), printed(ROW_SEATS_MAX + 1), long),
    ];
    for (largest, larger, field) in table {
        assert_eq!(check_size(&largest), Ok(()), "{field}");
        assert_eq!(check_size(&larger).unwrap_err().field, field);
        // What was recorded before is laid out as ever.
        assert!(Layout::new(&larger, &prices()).is_ok(), "{field}");
    }
}

#[test]
fn seats_are_found_in_rows_of_any_length() {
    for count in [1, SEARCHED_MAX, SEARCHED_MAX + 1, 5_000] {
        let seats: Vec<String> = (0..count).map(|number| format!("{}", (number * 7_919) % 10_007)).collect();
        let row = Row { seats: seats.clone(), seat_count: None, ..row("1", "R", 1) };
        let chart = Chart { sections: vec![Section { section: "A".into(), rows: vec![row] }], areas: vec![] };
        let layout = Layout::new(&chart, &prices()).unwrap();
        for (index, number) in seats.iter().enumerate() {
            assert_eq!(layout.seat(&format!("A-1-{number}")), Some(index as u32));
        }
        assert_eq!([layout.seat("A-1-x"), layout.seat("A-1-")], [None, None]);
        let all: Vec<u32> = (0..count as u32).collect();
        assert_eq!(layout.labels(&all), seats.iter().map(|number| format!("A-1-{number}")).collect::<Vec<_>>());
    }
}
