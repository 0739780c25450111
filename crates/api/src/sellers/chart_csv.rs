//! Seat charts from CSV: one line per seat, in the order of preference and neighbourhood, and one per standing area.
//!
//!     section,row,seat,grade,kind,break_after
//!     A,1,1,VIP,accessible,
//!     A,1,2,VIP,companion,yes
//!
//!     area,grade,capacity
//!     Floor,R,500
//!
//! Columns are found by their names, in any order; one file may have seats and areas, with the cells that do not apply left
//! empty. Whatever a spreadsheet writes is read: with or without BOM, LF or CRLF, quoted or not, separated by `,` `;` or
//! tabs, with empty columns that have no name, and with lines that end before their empty cells. Every mistake is told with its line, so that one can mend them all at once.

use crate::kit::error::{Kind, Problem};
use csv::StringRecord;
use domain::performance::seats::chart::names::{canonical, reason_against};
use domain::performance::seats::chart::{Area, Chart, GRADES_MAX, PLACES_MAX, Prices, Row, SeatsOfGrade, Section};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;
use serde_json::json;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Mistakes that are told; more are only counted.
const ERRORS_MAX: usize = 100;

/// A mistake in a file.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct LineError {
    /// Counted from 1, the header.
    pub line: u64,
    /// The column's name; null when it is about the whole line.
    pub column: Option<String>,
    pub reason: String,
}

/// What is wrong with a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Errors {
    /// The first ones.
    pub listed: Vec<LineError>,
    pub total: u64,
}

impl From<Errors> for Problem {
    fn from(errors: Errors) -> Problem {
        let detail = format!("{} of its lines or columns are wrong; nothing was changed.", errors.total);
        Problem::new(Kind::InvalidChart, detail).with("errors", json!(errors.listed)).with("errors_total", errors.total)
    }
}

impl Errors {
    fn add(&mut self, line: u64, column: Option<&str>, reason: impl Into<String>) {
        self.total += 1;
        if self.listed.len() < ERRORS_MAX {
            self.listed.push(LineError { line, column: column.map(String::from), reason: reason.into() });
        }
    }
}

/// A chart that was read, and the line in which each grade comes first.
#[derive(Debug)]
pub struct Imported {
    pub chart: Chart,
    grades: BTreeMap<String, u64>,
}

impl Imported {
    /// Whether every grade has a price.
    pub fn check_prices(&self, prices: &Prices) -> Result<(), Errors> {
        let mut errors = Errors::default();
        for (grade, line) in self.grades.iter().filter(|(grade, _)| !prices.contains_key(*grade)) {
            errors.add(*line, Some("grade"), format!("grade {grade:?} has no price; give it one first"));
        }
        if errors.total == 0 { Ok(()) } else { Err(errors) }
    }
}

/// Reads a chart.
pub fn parse(bytes: &[u8]) -> Result<Imported, Errors> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() as u64;
        one(line, None, "is not UTF-8; save the file with that encoding")
    })?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator(text))
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| one(1, None, error.to_string()))?.clone();
    let mut import = Import::new(Columns::of(&header)?);
    let mut record = StringRecord::new();
    let (mut last, mut counted) = (1, 0);
    while reader.read_record(&mut record).map_err(|error| one(last, None, error.to_string()))? {
        // A record's own position is before the line ends that lead to it.
        let before = record.position().map_or(counted, |position| position.byte() as usize);
        let ends = text.as_bytes()[before..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        last += text.as_bytes()[counted..before + ends].iter().filter(|byte| **byte == b'\n').count() as u64;
        counted = before + ends;
        import.take(last, &record);
        if import.places > PLACES_MAX {
            import.errors.add(last, None, format!("a chart has at most {PLACES_MAX} places"));
            break;
        }
    }
    import.finish(last)
}

fn one(line: u64, column: Option<&str>, reason: impl Into<String>) -> Errors {
    let mut errors = Errors::default();
    errors.add(line, column, reason);
    errors
}

/// The separator that the header has most of.
fn separator(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default();
    let count = |separator: &u8| header.bytes().filter(|byte| byte == separator).count();
    // The last of equals wins, so the comma comes last.
    [b'\t', b';', b','].into_iter().max_by_key(count).expect("there are three")
}

const NAMES: [&str; 8] = ["section", "row", "seat", "grade", "kind", "break_after", "area", "capacity"];
const SECTION: usize = 0;
const ROW: usize = 1;
const SEAT: usize = 2;
const GRADE: usize = 3;
const KIND: usize = 4;
const BREAK_AFTER: usize = 5;
const AREA: usize = 6;
const CAPACITY: usize = 7;

/// Where the columns are, by the order of [`NAMES`].
struct Columns {
    at: [Option<usize>; 8],
}

impl Columns {
    fn of(header: &StringRecord) -> Result<Columns, Errors> {
        let (mut at, mut errors) = ([None; 8], Errors::default());
        for (index, cell) in header.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
            let name = cell.to_lowercase();
            match NAMES.iter().position(|known| *known == name) {
                None => errors.add(1, Some(cell), format!("is not known; columns are {}", NAMES.join(", "))),
                Some(known) if at[known].is_some() => errors.add(1, Some(cell), "is there twice"),
                Some(known) => at[known] = Some(index),
            }
        }
        let any = |columns: &[usize]| columns.iter().any(|column| at[*column].is_some());
        let (seats, areas) = (any(&[SECTION, ROW, SEAT]), any(&[AREA, CAPACITY]));
        let mut need = |column: usize, for_what: &str| {
            if at[column].is_none() {
                errors.add(1, Some(NAMES[column]), format!("is missing: {for_what}"));
            }
        };
        need(GRADE, "every place has a grade");
        if seats || !areas {
            [SECTION, ROW, SEAT].into_iter().for_each(|column| need(column, "seats have section, row, seat and grade"));
        }
        if areas {
            [AREA, CAPACITY].into_iter().for_each(|column| need(column, "areas have area, grade and capacity"));
        }
        if errors.total == 0 { Ok(Columns { at }) } else { Err(errors) }
    }

    fn cell<'a>(&self, record: &'a StringRecord, column: usize) -> &'a str {
        self.at[column].and_then(|index| record.get(index)).unwrap_or_default()
    }
}

/// A chart in the making.
struct Import {
    columns: Columns,
    chart: Chart,
    errors: Errors,
    places: u64,
    grades: BTreeMap<String, u64>,
    /// The line in which each row begins, by section and row; and each area.
    rows: FxHashMap<(String, String), u64>,
    areas: FxHashMap<String, u64>,
    /// Seats of the row that is being read, its grades, and per seat the index of its grade.
    seats: FxHashSet<String>,
    row_grades: Vec<String>,
    seat_grades: Vec<usize>,
}

impl Import {
    fn new(columns: Columns) -> Import {
        Import {
            columns,
            chart: Chart::default(),
            errors: Errors::default(),
            places: 0,
            grades: BTreeMap::new(),
            rows: FxHashMap::default(),
            areas: FxHashMap::default(),
            seats: FxHashSet::default(),
            row_grades: Vec::new(),
            seat_grades: Vec::new(),
        }
    }

    fn take(&mut self, line: u64, record: &StringRecord) {
        if record.iter().all(str::is_empty) {
            return;
        }
        let named = |index: usize| self.columns.at.contains(&Some(index));
        if let Some((index, cell)) = record.iter().enumerate().find(|(index, cell)| !cell.is_empty() && !named(*index))
        {
            let reason = format!("has {cell:?} in cell {}, where the header names no column", index + 1);
            return self.errors.add(line, None, reason);
        }
        if self.columns.cell(record, AREA).is_empty() {
            self.seat(line, record);
        } else {
            self.area(line, record);
        }
    }

    /// A cell that must be a name.
    fn name<'a>(&mut self, line: u64, record: &'a StringRecord, column: usize) -> Option<Cow<'a, str>> {
        let cell = canonical(self.columns.cell(record, column));
        let reason = match reason_against(&cell) {
            None => return Some(cell),
            Some(_) if cell.is_empty() => "is empty".to_owned(),
            Some(reason) => format!("{cell:?} {reason}"),
        };
        self.errors.add(line, Some(NAMES[column]), reason);
        None
    }

    fn grade<'a>(&mut self, line: u64, record: &'a StringRecord) -> Option<Cow<'a, str>> {
        let grade = self.name(line, record, GRADE)?;
        if !self.grades.contains_key(&*grade) {
            if self.grades.len() == GRADES_MAX {
                self.errors.add(line, Some(NAMES[GRADE]), format!("is one more than {GRADES_MAX} grades"));
                return None;
            }
            self.grades.insert(grade.clone().into_owned(), line);
        }
        Some(grade)
    }

    fn seat(&mut self, line: u64, record: &StringRecord) {
        if !self.columns.cell(record, CAPACITY).is_empty() {
            self.errors.add(line, Some(NAMES[CAPACITY]), "is of areas; a seat has none");
        }
        let names = [SECTION, ROW, SEAT].map(|column| self.name(line, record, column));
        let grade = self.grade(line, record);
        let kind = self.choice(line, record, KIND, [&["", "standard"], &["accessible"], &["companion"]]);
        let breaks = self.choice(line, record, BREAK_AFTER, [&["", "no", "false", "0"], &["yes", "true", "1"], &[]]);
        let ([Some(section), Some(row), Some(seat)], Some(grade), Some(kind), Some(breaks)) =
            (names, grade, kind, breaks)
        else {
            return;
        };
        let [section, row, seat, grade] = [&*section, &*row, &*seat, &*grade];
        if !self.is_in_row(section, row) {
            if let Some(first) = self.rows.get(&(section.to_owned(), row.to_owned())) {
                let reason = format!("row {section}-{row} began in line {first}; all its lines must be together");
                return self.errors.add(line, Some(NAMES[ROW]), reason);
            }
            self.begin_row(line, section, row, grade);
        }
        let to = self.chart.sections.last_mut().and_then(|section| section.rows.last_mut()).expect("a row was begun");
        if !self.seats.insert(seat.to_owned()) {
            return self.errors.add(line, Some(NAMES[SEAT]), format!("seat {section}-{row}-{seat} is there twice"));
        }
        to.seats.push(seat.to_owned());
        let known = self.row_grades.iter().position(|known| known == grade);
        self.seat_grades.push(known.unwrap_or_else(|| {
            self.row_grades.push(grade.to_owned());
            self.row_grades.len() - 1
        }));
        match kind {
            1 => to.accessible.push(seat.to_owned()),
            2 => to.companion.push(seat.to_owned()),
            _ => {}
        }
        if breaks == 1 {
            to.breaks_after.push(seat.to_owned());
        }
        self.places += 1;
    }

    fn is_in_row(&self, section: &str, row: &str) -> bool {
        let last = self.chart.sections.last().filter(|last| last.section == section);
        last.and_then(|last| last.rows.last()).is_some_and(|last| last.row == row)
    }

    fn begin_row(&mut self, line: u64, section: &str, row: &str, grade: &str) {
        self.end_row();
        self.rows.insert((section.to_owned(), row.to_owned()), line);
        if self.chart.sections.last().is_none_or(|last| last.section != section) {
            self.chart.sections.push(Section { section: section.to_owned(), rows: Vec::new() });
        }
        let row = Row { row: row.to_owned(), grade: grade.to_owned(), ..Row::default() };
        self.chart.sections.last_mut().expect("one was added").rows.push(row);
    }

    /// Rows that are numbered 1, 2, 3 … are written the short way, and the grade that most seats have is the row's.
    fn end_row(&mut self) {
        self.seats.clear();
        let (grades, of_seats) = (std::mem::take(&mut self.row_grades), std::mem::take(&mut self.seat_grades));
        let Some(row) = self.chart.sections.last_mut().and_then(|section| section.rows.last_mut()) else { return };
        if grades.len() > 1 {
            let seats_of = |grade: usize| of_seats.iter().filter(|of_seat| **of_seat == grade).count();
            let most = (0..grades.len()).rev().max_by_key(|grade| seats_of(*grade)).expect("there are two");
            let others = grades.iter().enumerate().filter(|(index, _)| *index != most);
            row.other_grades = others
                .map(|(index, grade)| {
                    let seats = row.seats.iter().zip(&of_seats).filter(|(_, of_seat)| **of_seat == index);
                    SeatsOfGrade { grade: grade.clone(), seats: seats.map(|(seat, _)| seat.clone()).collect() }
                })
                .collect();
            row.grade = grades[most].clone();
        }
        let counted = |(index, seat): (usize, &String)| seat.parse() == Ok(index + 1) && !seat.starts_with(['0', '+']);
        if row.seats.iter().enumerate().all(counted) {
            row.seat_count = Some(std::mem::take(&mut row.seats).len() as u32);
        }
    }

    fn area(&mut self, line: u64, record: &StringRecord) {
        for column in [SECTION, ROW, SEAT, KIND, BREAK_AFTER] {
            if !self.columns.cell(record, column).is_empty() {
                self.errors.add(line, Some(NAMES[column]), "is of seats; an area has none");
            }
        }
        let area = self.name(line, record, AREA);
        let grade = self.grade(line, record);
        let cell = self.columns.cell(record, CAPACITY);
        let capacity = cell.parse().ok().filter(|capacity| (1..=PLACES_MAX).contains(&(*capacity as u64)));
        if capacity.is_none() {
            self.errors.add(line, Some(NAMES[CAPACITY]), format!("must be a whole number from 1 to {PLACES_MAX}"));
        }
        let (Some(area), Some(grade), Some(capacity)) = (area, grade, capacity) else { return };
        if let Some(first) = self.areas.insert(area.clone().into_owned(), line) {
            return self.errors.add(line, Some(NAMES[AREA]), format!("area {area:?} is in line {first} already"));
        }
        self.places += capacity as u64;
        self.chart.areas.push(Area { area: area.into_owned(), grade: grade.into_owned(), capacity });
    }

    /// Which of the lists of words a cell is in.
    fn choice(&mut self, line: u64, record: &StringRecord, column: usize, words: [&[&str]; 3]) -> Option<usize> {
        let cell = self.columns.cell(record, column);
        let found = words.iter().position(|words| words.iter().any(|word| cell.eq_ignore_ascii_case(word)));
        if found.is_none() {
            let known = words.concat().into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ");
            self.errors.add(line, Some(NAMES[column]), format!("{cell:?} must be empty or one of: {known}"));
        }
        found
    }

    fn finish(mut self, last: u64) -> Result<Imported, Errors> {
        self.end_row();
        if self.places == 0 && self.errors.total == 0 {
            self.errors.add(last, None, "the file has no places, only a header");
        }
        if self.errors.total > 0 {
            return Err(self.errors);
        }
        Ok(Imported { chart: self.chart, grades: self.grades })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        serde_json::to_string(&parse(text.as_bytes()).unwrap().chart).unwrap()
    }

    #[test]
    fn what_spreadsheets_write_is_read() {
        let plain = "section,row,seat,grade\nA,1,1,VIP\nA,1,2,VIP\nB,1,7a,R\nA,2,1,R\n";
        let chart = json(plain);
        assert_eq!(
            chart,
            r#"{"sections":[{"section":"A","rows":[{"row":"1","grade":"VIP","seat_count":2}]},"#.to_owned()
                + r#"{"section":"B","rows":[{"row":"1","grade":"R","seats":["7a"]}]},"#
                + r#"{"section":"A","rows":[{"row":"2","grade":"R","seat_count":1}]}]}"#
        );
        let windows = format!("\u{feff}{}", plain.replace('\n', "\r\n"));
        let quoted = plain.replace("VIP", "\"VIP\"").replace("section,row", "\"Section\", ROW");
        for same in [windows, quoted, plain.replace(',', ";"), plain.replace(',', "\t"), plain.trim_end().into()] {
            assert_eq!(json(&same), chart, "{same:?}");
        }
        let all = "area;grade;capacity;row;seat;section;kind;break_after\nFloor;R;500;;;;;\n;;;;;;;\n\
            ;VIP;;1;3;A;Accessible;\n;VIP;;1;1;A;companion;YES\n;VIP;;1;2;A;standard;0\n";
        assert_eq!(
            json(all),
            r#"{"sections":[{"section":"A","rows":[{"row":"1","grade":"VIP","seats":["3","1","2"],"#.to_owned()
                + r#""breaks_after":["1"],"accessible":["3"],"companion":["1"]}]}],"#
                + r#""areas":[{"area":"Floor","grade":"R","capacity":500}]}"#
        );
    }

    #[test]
    fn empty_columns_and_cells_are_nothing() {
        let chart = json("section,row,seat,grade,kind\nA,1,1,VIP,\nA,1,2,VIP,accessible\n");
        for same in [
            "section,row,seat,grade,kind,,\nA,1,1,VIP,,,\nA,1,2,VIP,accessible,,\n,,,,,,\n",
            "section,row,seat,grade,kind\nA,1,1,VIP\nA,1,2,VIP,accessible\n",
            ";section;;row;seat;grade;kind;;\n;A;;1;1;VIP;;;\n;A;;1;2;VIP;accessible;;\n",
        ] {
            assert_eq!(json(same), chart, "{same:?}");
        }
    }

    #[test]
    fn names_and_grades_of_real_halls_are_read() {
        let file = "section,row,seat,grade\n\"Bu\u{308}hne, links\",0-0,1,R\n\"Bühne, links\",0-0,2,Kategorie II\n\
            \"Bühne,\u{a0} links\",0-0,3,Kategorie II\nBlock  D,1,101½,R\n";
        assert_eq!(
            json(file),
            r#"{"sections":[{"section":"Bühne, links","rows":[{"row":"0-0","grade":"Kategorie II","#.to_owned()
                + r#""other_grades":[{"grade":"R","seats":["1"]}],"seat_count":3}]},"#
                + r#"{"section":"Block D","rows":[{"row":"1","grade":"R","seats":["101½"]}]}]}"#
        );
    }

    #[test]
    fn mistakes_are_told_by_line_and_column() {
        let seats = "section,row,seat,grade,kind,break_after\n";
        let areas = "area,grade,capacity\n";
        let table: [(String, &[(u64, &str)]); 15] = [
            (String::new(), &[(1, "grade"), (1, "section"), (1, "row"), (1, "seat")]),
            ("section,row,grade\n".into(), &[(1, "seat")]),
            ("section,row,seat,grade,color,ROW\n".into(), &[(1, "color"), (1, "ROW")]),
            ("area,grade\nF,R".into(), &[(1, "capacity")]),
            (seats.into(), &[(1, "")]),
            (format!("{seats}A,1\n"), &[(2, "seat"), (2, "grade")]),
            (format!("{seats}A,1,1,VIP,,,x\n"), &[(2, "")]),
            (format!("{seats}A,1,1,VIP,,\nA,1,,VIP,lame,maybe\n"), &[(3, "seat"), (3, "kind"), (3, "break_after")]),
            (format!("{seats}A,1,1,VIP,,\n\nA,1,1,VIP,,\n"), &[(4, "seat")]),
            (format!("{seats}A,1,1,VIP,,\nA,2,1,VIP,,\nA,1,2,VIP,,\n"), &[(4, "row")]),
            (format!("{seats}A\u{200b},1,1,VIP,,\n"), &[(2, "section")]),
            (format!("{areas}F,R,0\nG,R,x\nH,,5\n"), &[(2, "capacity"), (3, "capacity"), (4, "grade")]),
            (format!("{areas}F,R,5\nF,R,6\n"), &[(3, "area")]),
            (format!("{areas}F,R,100000\nG,R,1\nH,,\n"), &[(3, "")]),
            (
                "area,grade,capacity,section,row,seat\nF,R,5,A,,\n,R,5,A,1,1\n".into(),
                &[(2, "section"), (3, "capacity")],
            ),
        ];
        for (text, expected) in table {
            let errors = parse(text.as_bytes()).unwrap_err();
            let found: Vec<(u64, &str)> =
                errors.listed.iter().map(|error| (error.line, error.column.as_deref().unwrap_or_default())).collect();
            assert_eq!(found, expected, "{text:?}: {errors:?}");
            assert_eq!(errors.total, found.len() as u64);
        }
        let many = parse((seats.to_owned() + &"A,1,,VIP,,\n".repeat(150)).as_bytes()).unwrap_err();
        assert_eq!((many.listed.len(), many.total), (100, 150));
        assert_eq!(parse(b"section,row,seat,grade\nA,1,\xff,R\n").unwrap_err().listed[0].line, 2);
    }

    #[test]
    fn a_grade_without_a_price_is_told_where_it_comes_first() {
        let read = parse(b"section,row,seat,grade\nA,1,1,VIP\nA,2,1,R\nA,2,2,R\n").unwrap();
        let errors = read.check_prices(&Prices::from([("VIP".into(), 1)])).unwrap_err();
        assert_eq!((errors.total, errors.listed[0].line), (1, 3));
        assert!(read.check_prices(&Prices::from([("VIP".into(), 1), ("R".into(), 1)])).is_ok());
    }
}
