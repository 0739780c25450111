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
        (rows(vec![row("a-b", "R", 1)]), "chart.sections[0].rows[0].row"),
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
