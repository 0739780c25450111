//! A chart that is shared between a performance, its events and whoever reads it, and what can be made of it before its
//! performance is asked: 100,000 seats take a good part of a tenth of a second to check, to lay out and to write down, and
//! the thread that does it does nothing else meanwhile.
//!
//! What was made beforehand is only ever a saving: where it is missing it is made on the spot, and is the same.

use super::names::canonical_prices;
use super::{Chart, Invalid, Layout, Prices};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A chart. Cheap to clone.
#[derive(Clone)]
pub struct SharedChart {
    chart: Arc<Chart>,
    prepared: Option<Prepared>,
}

/// What a performance will need of a chart.
#[derive(Clone)]
pub struct Prepared {
    chart: Arc<Chart>,
    layout: Arc<Layout>,
    json: Option<Arc<Box<RawValue>>>,
    moves: Option<Arc<Moves>>,
}

/// Where the seats of one layout are in another, by their labels.
pub struct Moves {
    from: Arc<Layout>,
    to: Arc<Layout>,
    /// Per seat of the one, the seat of the other.
    pub seats: Vec<Option<u32>>,
}

impl Moves {
    fn of(from: &Arc<Layout>, to: &Arc<Layout>) -> Moves {
        Moves { from: from.clone(), to: to.clone(), seats: from.seats_in(to) }
    }

    fn is_of(&self, from: &Arc<Layout>, to: &Arc<Layout>) -> bool {
        Arc::ptr_eq(&self.from, from) && Arc::ptr_eq(&self.to, to)
    }
}

impl SharedChart {
    /// Checks this chart with its prices, and has ready what a performance takes of it, all names in the form in which it
    /// keeps them: one that has the chart `before`, which is laid out so, if it is there already.
    pub fn prepare(
        &self,
        prices: &Prices,
        before: Option<(&SharedChart, &Arc<Layout>)>,
    ) -> Result<SharedChart, Invalid> {
        let chart = match before {
            Some((chart, layout)) => self.in_form_after(chart, layout),
            None => self.in_form(),
        };
        let prices = canonical_prices(prices, before.map(|(_, layout)| layout.prices()).as_ref())?.into_owned();
        let layout = Arc::new(Layout::new(&chart, &prices)?);
        let json = serde_json::value::to_raw_value(&*chart.chart).ok().map(Arc::new);
        let moves = before.map(|(_, from)| Arc::new(Moves::of(from, &layout)));
        let prepared = Prepared { chart: chart.chart.clone(), layout, json, moves };
        Ok(SharedChart { chart: chart.chart, prepared: Some(prepared) })
    }

    /// Has this chart, which its performance has already and which is laid out so, ready for other prices.
    pub fn prepare_prices(&self, prices: &Prices, before: &Layout) -> Result<Prepared, Invalid> {
        let prices = canonical_prices(prices, Some(&before.prices()))?;
        let layout = Arc::new(Layout::of_recorded(&self.chart, &prices)?);
        Ok(Prepared { chart: self.chart.clone(), layout, json: None, moves: None })
    }

    /// The chart with all names in the form in which they are kept. Costs nothing where it is prepared.
    pub fn in_form(&self) -> SharedChart {
        match self.prepared.as_ref().is_some_and(|prepared| prepared.moves.is_none()) {
            true => self.clone(),
            false => self.or(self.chart.canonical()),
        }
    }

    /// The same, but what the chart `before`, which is laid out so, has in another form is called as it is there.
    pub fn in_form_after(&self, before: &SharedChart, layout: &Arc<Layout>) -> SharedChart {
        let moves = self.prepared.as_ref().and_then(|prepared| prepared.moves.as_ref());
        match moves.is_some_and(|moves| Arc::ptr_eq(&moves.from, layout)) {
            true => self.clone(),
            false => self.or(self.chart.canonical_after(before, layout)),
        }
    }

    fn or(&self, chart: Cow<'_, Chart>) -> SharedChart {
        match chart {
            Cow::Borrowed(_) => self.clone(),
            Cow::Owned(chart) => chart.into(),
        }
    }

    /// Whether [`laid_out`](Self::laid_out) and, from `from`, [`moves`](Self::moves) cost nothing.
    pub fn is_prepared(&self, prices: &Prices, from: &Arc<Layout>) -> bool {
        self.prepared.as_ref().is_some_and(|prepared| {
            let moves = prepared.moves.as_ref().is_some_and(|moves| moves.is_of(from, &prepared.layout));
            moves && prepared.layout.has_prices(prices)
        })
    }

    /// This chart at these prices, ready, or checked and made now.
    pub fn laid_out(&self, prices: &Prices) -> Result<Arc<Layout>, Invalid> {
        self.ready(prices).map_or_else(|| Layout::new(&self.chart, prices).map(Arc::new), Ok)
    }

    /// The same of a chart that was recorded: it was checked then, maybe when other names fitted than do now.
    pub fn laid_out_as_recorded(&self, prices: &Prices) -> Result<Arc<Layout>, Invalid> {
        self.ready(prices).map_or_else(|| Layout::of_recorded(&self.chart, prices).map(Arc::new), Ok)
    }

    fn ready(&self, prices: &Prices) -> Option<Arc<Layout>> {
        let ready = self.prepared.as_ref().filter(|prepared| prepared.layout.has_prices(prices));
        ready.map(|prepared| prepared.layout.clone())
    }

    /// Where the seats of `from` are in `to`, which is this chart laid out; ready or made now.
    pub fn moves(&self, from: &Arc<Layout>, to: &Arc<Layout>) -> Arc<Moves> {
        let ready = self.prepared.as_ref().and_then(|prepared| prepared.moves.as_ref());
        match ready.filter(|moves| moves.is_of(from, to)) {
            Some(moves) => moves.clone(),
            None => Arc::new(Moves::of(from, to)),
        }
    }

    /// The chart alone.
    pub fn bare(&self) -> SharedChart {
        SharedChart { chart: self.chart.clone(), prepared: None }
    }

    /// Whether it is this very chart, not only one like it.
    pub fn is(&self, other: &SharedChart) -> bool {
        Arc::ptr_eq(&self.chart, &other.chart)
    }
}

impl Prepared {
    /// The layout, if it is of this very chart at these prices.
    pub fn layout_of(&self, chart: &SharedChart, prices: &Prices) -> Option<&Arc<Layout>> {
        (Arc::ptr_eq(&self.chart, &chart.chart) && self.layout.has_prices(prices)).then_some(&self.layout)
    }
}

/// Events that differ in it alone are the same.
impl PartialEq for Prepared {
    fn eq(&self, _: &Prepared) -> bool {
        true
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepared(…)")
    }
}

impl From<Chart> for SharedChart {
    fn from(chart: Chart) -> SharedChart {
        SharedChart { chart: Arc::new(chart), prepared: None }
    }
}

impl Deref for SharedChart {
    type Target = Chart;

    fn deref(&self) -> &Chart {
        &self.chart
    }
}

impl PartialEq for SharedChart {
    fn eq(&self, other: &SharedChart) -> bool {
        self.is(other) || self.chart == other.chart
    }
}

impl fmt::Debug for SharedChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chart.fmt(f)
    }
}

impl Serialize for SharedChart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.prepared.as_ref().and_then(|prepared| prepared.json.as_ref()) {
            Some(json) => json.serialize(serializer),
            None => self.chart.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for SharedChart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SharedChart, D::Error> {
        Chart::deserialize(deserializer).map(SharedChart::from)
    }
}

/// Its schema is that of the chart.
impl JsonSchema for SharedChart {
    fn inline_schema() -> bool {
        Chart::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        Chart::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        Chart::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Chart::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Row, Section};
    use super::*;

    fn chart(seats: &str) -> SharedChart {
        let seats = seats.split(' ').map(String::from).collect();
        let row = Row { row: "1".into(), grade: "R".into(), seats, ..Row::default() };
        Chart { sections: vec![Section { section: "A".into(), rows: vec![row] }], areas: vec![] }.into()
    }

    #[test]
    fn what_was_prepared_is_used_and_is_the_same() {
        let prices = |points: u64| Prices::from([("R".to_owned(), points)]);
        let (before, after) = (chart("1 2 3"), chart("3 5 1"));
        let from = before.laid_out(&prices(1)).unwrap();
        let ready = after.prepare(&prices(1), Some((&before, &from))).unwrap();
        let layout = ready.laid_out(&prices(1)).unwrap();
        assert!(Arc::ptr_eq(&layout, &ready.laid_out(&prices(1)).unwrap()));
        assert_eq!(ready.laid_out(&prices(2)).unwrap().price(0), ("R", 2), "at other prices it is another layout");
        let moves = ready.moves(&from, &layout);
        assert!(Arc::ptr_eq(&moves, &ready.moves(&from, &layout)));
        assert_eq!(moves.seats, [Some(2), None, Some(0)]);
        assert_eq!(moves.seats, after.moves(&from, &layout).seats, "made on the spot");
        // A layout that is numbered alike is another one: nothing is taken from it.
        let copy = Arc::new((*from).clone());
        assert!(!Arc::ptr_eq(&moves, &ready.moves(&copy, &layout)));
        let table = [(1, &from, true), (2, &from, false), (1, &copy, false)];
        for (points, from, want) in table {
            assert_eq!(ready.is_prepared(&prices(points), from), want);
        }
        assert!(!ready.bare().is_prepared(&prices(1), &from) && ready.bare().is(&after) && ready == after);
        let dearer = after.prepare_prices(&prices(2), &layout).unwrap();
        assert!(dearer.layout_of(&after, &prices(2)).is_some() && dearer.layout_of(&after, &prices(1)).is_none());
        assert!(dearer.layout_of(&chart("3 5 1"), &prices(2)).is_none(), "one like it is not this one");
        assert!(after.prepare(&Prices::new(), None).is_err());

        let json = serde_json::to_string(&after).unwrap();
        assert_eq!(serde_json::to_string(&ready).unwrap(), json);
        assert_eq!(serde_json::from_str::<SharedChart>(&json).unwrap(), after);
    }

    #[test]
    fn what_is_prepared_is_in_the_form_that_is_kept() {
        let nfd = "\u{1102}\u{1161}";
        let prices = |grade: &str, points: u64| Prices::from([("R".to_owned(), 1), (grade.to_owned(), points)]);
        let odd = chart(&format!("1 {nfd}"));
        let new = odd.prepare(&prices(nfd, 2), None).unwrap();
        assert_eq!((new.clone(), new.in_form()), (chart("1 나"), odd.in_form()));
        assert!(new.in_form().is(&new) && !odd.in_form().is(&odd));
        assert!(Arc::ptr_eq(&new.laid_out(&prices("나", 2)).unwrap(), &new.laid_out(&prices("나", 2)).unwrap()));
        assert_eq!(serde_json::to_string(&new).unwrap(), serde_json::to_string(&chart("1 나")).unwrap());

        // What was recorded in another form keeps its names.
        let layout = odd.laid_out_as_recorded(&prices(nfd, 2)).unwrap();
        let after = chart("나 1 2");
        let ready = after.prepare(&prices("나", 3), Some((&odd, &layout))).unwrap();
        assert_eq!((ready.clone(), after.in_form_after(&odd, &layout)), (chart(&format!("{nfd} 1 2")), ready.clone()));
        assert!(ready.is_prepared(&prices(nfd, 3), &layout) && ready.in_form_after(&odd, &layout).is(&ready));
        assert_eq!(ready.moves(&layout, &ready.laid_out(&prices(nfd, 3)).unwrap()).seats, [Some(1), Some(0)]);
        let dearer = odd.prepare_prices(&prices("나", 3), &layout).unwrap();
        assert!(dearer.layout_of(&odd, &prices(nfd, 3)).is_some());
    }
}
