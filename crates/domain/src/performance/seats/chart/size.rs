//! How large a chart may be, apart from its places. Beyond what any hall has a size is of no use, and costs everybody on the
//! same server time. Charts that were recorded before there were these limits stay good.

use super::{Chart, Invalid, invalid};

/// Standing areas of one chart. The largest festivals and stadiums have some dozens.
pub const AREAS_MAX: usize = 200;
/// Sections of one chart. A stadium has some hundreds of blocks; a gala for ten thousand has a table of eight each.
pub const SECTIONS_MAX: usize = 2_000;
/// Rows of one chart: five seats in each of 100,000.
pub const ROWS_MAX: usize = 20_000;
/// Seats of one row. The longest benches, at race tracks, have some hundreds.
pub const ROW_SEATS_MAX: usize = 1_000;

/// Numbered seats of a chart.
pub fn seats_of(chart: &Chart) -> usize {
    let rows = chart.sections.iter().flat_map(|section| &section.rows);
    rows.map(|row| row.seats.len().max(row.seat_count.unwrap_or(0) as usize)).sum()
}

/// Refuses a new chart that is larger than any hall. Costs nothing, however large it is.
pub fn check_size(chart: &Chart) -> Result<(), Invalid> {
    if chart.areas.len() > AREAS_MAX {
        let reason = format!(
            "a chart has at most {AREAS_MAX} standing areas, this one has {}; give one area the capacity of several",
            chart.areas.len()
        );
        return invalid("chart.areas", reason);
    }
    if chart.sections.len() > SECTIONS_MAX {
        let reason = format!(
            "a chart has at most {SECTIONS_MAX} sections, this one has {}; put rows of several into one",
            chart.sections.len()
        );
        return invalid("chart.sections", reason);
    }
    let rows: usize = chart.sections.iter().map(|section| section.rows.len()).sum();
    if rows > ROWS_MAX {
        return invalid("chart.sections", format!("a chart has at most {ROWS_MAX} rows, this one has {rows}"));
    }
    for (s, section) in chart.sections.iter().enumerate() {
        for (r, row) in section.rows.iter().enumerate() {
            let seats = row.seats.len().max(row.seat_count.unwrap_or(0) as usize);
            if seats > ROW_SEATS_MAX {
                let reason = format!(
                    "a row has at most {ROW_SEATS_MAX} seats, this one has {seats}; split it into several rows, or use a \
                     standing area for places without numbers"
                );
                return invalid(format!("chart.sections[{s}].rows[{r}].seats"), reason);
            }
        }
    }
    Ok(())
}
