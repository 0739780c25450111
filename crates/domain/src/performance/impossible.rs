//! Wishes that the chart can never fulfil, whatever is given up or unblocked: told as mistakes, not as "sold out".

use super::Performance;
use super::hold::SeatRequest;
use super::seats::best::{Wanted, total_by_kind};
use crate::text::Invalid;

fn invalid(field: &str, reason: String) -> Option<Invalid> {
    Some(Invalid { field: field.into(), reason })
}

impl Performance {
    /// Why the chart has not what is wished, and the field that says so; `None` where it has. The names in the wish are
    /// known, and it is within the limits of its buyer.
    pub(super) fn impossible(&self, wish: &SeatRequest) -> Option<Invalid> {
        match wish {
            SeatRequest::Area { area, count } => self.beyond_area(area, *count),
            SeatRequest::Both { seats, area, count } => {
                self.beyond_seats(seats, true).or_else(|| self.beyond_area(area, *count))
            }
            SeatRequest::Seats(_) | SeatRequest::Best { .. } => self.beyond_seats(wish, false),
        }
    }

    fn beyond_area(&self, area: &str, count: u32) -> Option<Invalid> {
        let capacity = self.layout.areas[self.layout.area(area)?].capacity;
        if count <= capacity { None } else { invalid("count", format!("{area:?} has {capacity} places at all")) }
    }

    /// `with_area`: standing places of an area are wanted, too.
    fn beyond_seats(&self, wish: &SeatRequest, with_area: bool) -> Option<Invalid> {
        // Seats that are named were found.
        let SeatRequest::Best { grade, section, count, accessible } = wish else { return None };
        let (count, accessible) = (*count, *accessible);
        let grade_index = grade.as_ref().and_then(|grade| self.layout.grade_named(grade));
        let section_name = section.as_ref().and_then(|section| self.layout.section(section));
        let wanted = Wanted { grade: grade_index, section: section_name, count, accessible };
        let of = match (grade, section) {
            (Some(grade), Some(section)) => format!("grade {grade:?} in section {section:?}"),
            (Some(grade), None) => format!("grade {grade:?}"),
            (None, Some(section)) => format!("section {section:?}"),
            (None, None) => "this performance".to_owned(),
        };
        let there = total_by_kind(&self.layout, &wanted);
        let (standard, seats) = (there.standard, there.seats());
        if seats == 0 {
            return self.beyond_standing(&wanted, &of, with_area);
        }
        if accessible > there.accessible {
            let reason = format!("{of} has {} accessible seats at all", there.accessible);
            return invalid("best_available.accessible", reason);
        }
        if accessible > 0 && count > seats {
            return invalid("best_available.count", format!("{of} has {seats} seats at all"));
        }
        if accessible == 0 && count > standard {
            let others = match seats - standard {
                0 => String::new(),
                others => format!(", and {others} for wheelchair users and their companions: ask with accessible"),
            };
            return invalid("best_available.count", format!("{of} has {standard} seats for everybody{others}"));
        }
        None
    }

    /// There is no such seat: a grade may have standing places instead.
    fn beyond_standing(&self, wanted: &Wanted<'_>, of: &str, with_area: bool) -> Option<Invalid> {
        let areas = self.layout.areas.iter().filter(|area| wanted.grade.is_none_or(|grade| grade == area.grade));
        let largest = areas.map(|area| area.capacity).max();
        match (largest, wanted.grade) {
            _ if wanted.section.is_some() => invalid("best_available.grade", format!("there are no seats of {of}")),
            (None, _) => invalid("best_available.grade", format!("there are no places of {of}")),
            (Some(_), None) => {
                invalid("best_available", "there are standing places only: ask for them with area and count".into())
            }
            _ if wanted.accessible > 0 => {
                invalid("best_available.accessible", format!("{of} has standing places only"))
            }
            // A hold has standing places of one area.
            _ if with_area => invalid(
                "best_available.grade",
                format!("{of} has standing places only: ask for them with area and count instead"),
            ),
            (Some(largest), _) if wanted.count > largest => {
                invalid("best_available.count", format!("the largest standing area of {of} has {largest} places"))
            }
            _ => None,
        }
    }
}
