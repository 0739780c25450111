//! What a buyer is like: drawn once from the seed, before the first request.

use crate::stats::Rng;

/// The grades of the crowd's own performance, the best first, with their prices in points.
pub const GRADES: [(&str, u64); 4] = [("VIP", 150_000), ("R", 120_000), ("S", 90_000), ("A", 60_000)];
/// The standing area, and its grade and price.
pub const AREA: (&str, &str, u64) = ("Floor", "Standing", 50_000);
/// At most this many places a buyer; also what the performance allows.
pub const PLACES_MAX: usize = 4;

/// What a buyer looks for first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want {
    /// Seats picked from the map, side by side if it can be.
    Favourite,
    /// The best available of a grade, or of any.
    Best(Option<usize>),
    /// Places of the standing area.
    Standing,
}

/// What a buyer does once the places are held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    Pays,
    /// Never comes back; the hold lapses by itself.
    WalksAway,
    /// Gives the places back before paying.
    Releases,
    /// Pays and cancels afterwards.
    Cancels,
}

/// A buyer's intentions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    pub want: Want,
    pub places: usize,
    /// Looks at the availability this often before the first hold.
    pub looks: usize,
    pub ending: Ending,
    /// Comes with too few points and charges the rest when the payment is refused.
    pub poor: bool,
    /// Sends requests a second time: after the first one, or beside it.
    pub repeats: bool,
    pub at_once: bool,
    /// Uses an Idempotency-Key again for something else, which must be refused.
    pub mixes_keys: bool,
}

impl Plan {
    pub fn draw(rng: &mut Rng) -> Plan {
        let want = match rng.below(100) {
            0..45 => Want::Favourite,
            45..70 => Want::Best(Some(rng.below(GRADES.len()))),
            70..85 => Want::Best(None),
            _ => Want::Standing,
        };
        let ending = match rng.below(100) {
            0..78 => Ending::Pays,
            78..86 => Ending::WalksAway,
            86..92 => Ending::Releases,
            _ => Ending::Cancels,
        };
        Plan {
            want,
            places: 1 + rng.below(PLACES_MAX),
            looks: 1 + rng.below(3),
            ending,
            poor: rng.chance(4),
            repeats: rng.chance(15),
            at_once: rng.chance(50),
            mixes_keys: rng.chance(2),
        }
    }
}

/// Seats of a chart by the place they are printed at, in rows, and which of them a buyer's eye falls on.
#[derive(Default)]
pub struct SeatMap {
    /// Labels by row, next to each other.
    pub rows: Vec<Vec<String>>,
}

impl SeatMap {
    /// `count` free seats in one row, side by side where possible, from a random place on; None when there are none.
    pub fn pick(&self, rng: &mut Rng, count: usize, taken: impl Fn(&str) -> bool) -> Option<Vec<String>> {
        let start = rng.below(self.rows.len().max(1));
        let mut scattered = None;
        for row in self.rows.iter().cycle().skip(start).take(self.rows.len()) {
            let free: Vec<&String> = row.iter().filter(|seat| !taken(seat)).collect();
            if free.len() < count {
                continue;
            }
            let first = rng.below(row.len());
            let window = (0..row.len())
                .map(|step| (first + step) % row.len())
                .find(|&from| row.get(from..from + count).is_some_and(|seats| seats.iter().all(|seat| !taken(seat))));
            if let Some(from) = window {
                return Some(row[from..from + count].to_vec());
            }
            scattered.get_or_insert_with(|| free[..count].iter().map(|seat| seat.to_string()).collect());
        }
        scattered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_crowd_and_every_kind_of_buyer() {
        let crowd = |seed| (0..2000).map(|buyer| Plan::draw(&mut Rng::new(seed, buyer))).collect::<Vec<_>>();
        let plans = crowd(7);
        assert_eq!(plans, crowd(7));
        assert_ne!(plans, crowd(8));
        for ending in [Ending::Pays, Ending::WalksAway, Ending::Releases, Ending::Cancels] {
            assert!(plans.iter().any(|plan| plan.ending == ending && plan.repeats), "{ending:?}");
        }
        for want in [Want::Favourite, Want::Best(None), Want::Best(Some(3)), Want::Standing] {
            assert!(plans.iter().any(|plan| plan.want == want), "{want:?}");
        }
        assert!(plans.iter().any(|plan| plan.poor) && plans.iter().any(|plan| plan.mixes_keys));
        assert!(plans.iter().all(|plan| (1..=PLACES_MAX).contains(&plan.places)));
    }

    #[test]
    fn picks_are_free_and_side_by_side_where_possible() {
        let row = |row: u32, seats: u32| (1..=seats).map(|seat| format!("A-{row}-{seat}")).collect();
        let map = SeatMap { rows: vec![row(1, 6), row(2, 6)] };
        let mut rng = Rng::new(1, 1);
        for _ in 0..100 {
            let picked = map.pick(&mut rng, 2, |seat| seat.starts_with("A-1") || seat == "A-2-3").unwrap();
            assert!(
                [["A-2-1", "A-2-2"], ["A-2-4", "A-2-5"], ["A-2-5", "A-2-6"]].iter().any(|pair| picked == pair),
                "{picked:?}"
            );
        }
        let apart = map.pick(&mut rng, 2, |seat| !["A-2-1", "A-2-4"].contains(&seat)).unwrap();
        assert_eq!(apart, ["A-2-1", "A-2-4"]);
        assert_eq!(map.pick(&mut rng, 2, |seat| seat != "A-2-1"), None);
        assert_eq!(SeatMap::default().pick(&mut rng, 1, |_| false), None);
    }
}
