//! `onsale serve --demo`: something to buy, and the lines to buy it with.
//!
//! Everything is made with fixed Idempotency-Keys: a second start finds what the first one made, under the same ids on
//! every machine.

use api::catalogue::concerts::{NewConcert, create_concert};
use api::catalogue::performance_request::NewPerformance;
use api::catalogue::performances::create_performance;
use api::kit::defaulted::Defaulted;
use api::kit::error::Problem;
use api::kit::time::Time;
use api::queues::queue::{NewQueue, create_queue};
use api::sellers::organizers::{create_organizer, id_of};
use api::{Api, EngineHandle};
use base::id::{ConcertId, OrganizerId, PerformanceId, QueueId};
use domain::organizer::Describe;
use domain::performance::Description;
use domain::performance::seats::chart::{Area, Chart, Prices, Row, Section};
use engine::Engine;
use std::fmt::Write;

/// 2099-12-31T19:00:00Z: a demo that never ends.
const STARTS_AT: Time = Time(4_102_426_800_000);

/// The Idempotency-Key of the demo's organizer.
const ORGANIZER: &str = "onsale-demo-organizer";

/// What the demo has made, or found.
pub struct Demo {
    /// The demo organizer's key. Derived anew at each start, so it can be shown again.
    pub organizer_key: String,
    pub concert: ConcertId,
    /// 2,000 numbered seats in four grades.
    pub seated: PerformanceId,
    /// Standing areas.
    pub standing: PerformanceId,
    /// Lets twelve people in a minute; leads nowhere.
    pub queue: QueueId,
}

/// Whether the folder that this engine runs on was made by a demo, or has nothing in it yet. Anything else is somebody's real
/// sale, where nobody may charge a wallet without paying.
pub async fn may_be_here(engine: &Engine, events: u64) -> bool {
    events == 0 || engine.ask(id_of(ORGANIZER), Describe).await.is_ok()
}

/// Makes the demo's organizer, concert and performances unless they are there.
pub async fn prepare(api: &Api) -> Result<Demo, Problem> {
    let handle = api.handle()?;
    let organizer = create_organizer(handle, api.state()?, "Demo organizer", Some(ORGANIZER)).await?;
    let id = organizer.done.answer.id;
    let new =
        NewConcert { title: "The Onsale Demo".into(), artist: "The Idempotents".into(), venue: "Loopback Hall".into() };
    let concert = create_concert(handle, id, Some("onsale-demo-concert"), new).await?.answer.id;
    let seated = create(handle, id, concert, "onsale-demo-seated", seated_hall()).await?.id;
    let standing = create(handle, id, concert, "onsale-demo-standing", standing_hall()).await?.id;
    let new = NewQueue::plain("The Onsale Demo", 12);
    let queue = create_queue(handle, api.state()?, id, Some("onsale-demo-queue"), new).await?.answer.id;
    Ok(Demo { organizer_key: organizer.secret, concert, seated, standing, queue })
}

async fn create(
    handle: &EngineHandle,
    organizer: OrganizerId,
    concert: ConcertId,
    key: &str,
    (prices, chart): (Prices, Chart),
) -> Result<Description, Problem> {
    let new = NewPerformance {
        extension_s: Defaulted(120),
        seats_per_user_max: Defaulted(8),
        ..NewPerformance::plain(STARTS_AT, prices, chart)
    };
    Ok(create_performance(handle, organizer, concert, Some(key), new).await?.answer)
}

fn prices<const N: usize>(table: [(&str, u64); N]) -> Prices {
    table.into_iter().map(|(grade, points)| (grade.into(), points)).collect()
}

/// 200 + 600 + 600 + 600 seats.
fn seated_hall() -> (Prices, Chart) {
    let section = |section: &str, grade: &str, rows: u32, seats: u32| Section {
        section: section.into(),
        rows: (1..=rows)
            .map(|row| Row { row: row.to_string(), grade: grade.into(), seat_count: Some(seats), ..Row::default() })
            .collect(),
    };
    let sections = vec![
        section("A", "VIP", 10, 20),
        section("B", "R", 20, 30),
        section("C", "S", 20, 30),
        section("D", "A", 20, 30),
    ];
    let prices = prices([("VIP", 150_000), ("R", 110_000), ("S", 80_000), ("A", 50_000)]);
    (prices, Chart { sections, areas: vec![] })
}

fn standing_hall() -> (Prices, Chart) {
    let area = |area: &str, grade: &str, capacity| Area { area: area.into(), grade: grade.into(), capacity };
    let areas = vec![area("Pit", "R", 300), area("Floor", "S", 1_200)];
    (prices([("R", 110_000), ("S", 70_000)]), Chart { sections: vec![], areas })
}

impl Demo {
    /// What `/` names.
    pub fn links(&self) -> Vec<(String, String)> {
        let Demo { seated, standing, queue, .. } = self;
        vec![
            (format!("/q/{queue}"), "Demo: wait in a queue".into()),
            (format!("/v1/performances/{seated}"), "Demo: a performance of 2,000 seats".into()),
            (format!("/v1/performances/{standing}"), "Demo: a performance with standing areas".into()),
        ]
    }

    /// What is there, and the lines that buy a seat.
    pub fn text(&self, url: &str) -> String {
        let Demo { organizer_key, concert, seated, standing, queue } = self;
        let mut text = String::new();
        let lines = [
            format!("concert:        {concert}"),
            format!("performance:    {seated} (2,000 seats: VIP, R, S, A)"),
            format!("performance:    {standing} (standing: Pit, Floor)"),
            format!("queue:          {queue} (its page: {url}/q/{queue})"),
            format!("organizer key:  {organizer_key} (of the demo; shown at each start)"),
            String::new(),
            "Buy a seat, from sign-up to confirmed; paste these lines into a shell:".into(),
            String::new(),
        ];
        for line in lines {
            writeln!(text, "{line}").expect("a String takes every character");
        }
        text + &purchase(url, *seated)
    }
}

/// Lines for a shell with curl and sed, each with its answer on a line of its own.
pub fn purchase(url: &str, performance: PerformanceId) -> String {
    format!(
        r#"URL={url}
PERFORMANCE={performance}
TOKEN=$(curl -sS $URL/v1/users -H 'Content-Type: application/json' \
  -d '{{"email": "you-'$(date +%s%N)'@example.com", "password": "correct horse battery"}}' | sed -n 's/.*"token":"\([^"]*\)".*/\1/p')
curl -sS $URL/v1/wallet/charges -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
  -H "Idempotency-Key: charge-$(date +%s%N)" -d '{{"points": 500000}}'; echo
curl -sS $URL/v1/performances/$PERFORMANCE/availability; echo
RESERVATION=$(curl -sS $URL/v1/performances/$PERFORMANCE/reservations -H "Authorization: Bearer $TOKEN" \
  -H 'Content-Type: application/json' -d '{{"best_available": {{"grade": "VIP", "count": 2}}}}' | sed -n 's/.*"reservation_id":"\([^"]*\)".*/\1/p')
curl -sS -X POST $URL/v1/reservations/$RESERVATION/payment -H "Authorization: Bearer $TOKEN"; echo
curl -sS $URL/v1/reservations/$RESERVATION -H "Authorization: Bearer $TOKEN"; echo
"#
    )
}
