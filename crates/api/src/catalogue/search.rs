//! Finding concerts by words and dates, and the schedule: what is played when, for how much, and how much is left.

use super::concert::{Concert, Concerts};
use crate::Api;
use crate::kit::error::Problem;
use crate::kit::lists::{After, Models, Scope, Sql, cut, limit};
use crate::kit::query;
use crate::kit::time::Time;
use crate::route::{Route, routes};
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::Millis;
use domain::performance::{Hours, Sale, SaleState};
use readmodels::event::words;
use readmodels::{Row, int, text};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Words of one search.
const WORDS_MAX: usize = 8;
/// Characters of one search.
const SEARCH_CHARS_MAX: usize = 200;
/// Later than any performance: 9999-12-31.
const LATEST_MS: Millis = 253_402_300_799_999;
const CONCERT_COLUMNS: &str = "c.concert_id, c.organizer_id, c.title, c.artist, c.venue, c.created_at, c.version";

/// Which concerts.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ConcertQuery {
    /// Words of title, artist or venue, or their beginnings; all of them must be there.
    #[param(required = false, value_type = String, max_length = 200)]
    pub q: Option<String>,
    /// Only those with a performance that starts then or later.
    #[param(required = false, value_type = String, format = DateTime)]
    pub from: Option<Time>,
    /// Only those with a performance that starts before.
    #[param(required = false, value_type = String, format = DateTime)]
    pub to: Option<Time>,
    /// Only this organizer's.
    #[param(required = false)]
    pub organizer_id: Option<Uuid>,
    /// Items at most; 50 unless given.
    #[param(minimum = 1, maximum = 500, required = false, value_type = u32)]
    pub limit: Option<String>,
    /// The `next_cursor` of the page before.
    #[param(required = false, value_type = String)]
    pub cursor: Option<String>,
}

impl ConcertQuery {
    pub fn read(request: &HttpRequest) -> Result<ConcertQuery, Problem> {
        query::read(request.query_string())
    }

    /// Without a filter all concerts are listed, which takes no read model.
    pub fn filters(&self) -> bool {
        self.q.is_some() || self.from.is_some() || self.to.is_some() || self.organizer_id.is_some()
    }

    fn scope(&self) -> Scope {
        let ms = |time: Option<Time>| time.map_or(String::new(), |time| time.0.to_string());
        let organizer = self.organizer_id.map_or(String::new(), |id| id.to_string());
        let q = self.q.as_deref().unwrap_or_default();
        Scope::of("concerts", &[q, &ms(self.from), &ms(self.to), &organizer])
    }
}

/// A page of the concerts that fit.
pub async fn concerts(api: &Api, after: After, query: ConcertQuery) -> Result<HttpResponse, Problem> {
    let limit = limit(query.limit.as_deref())?;
    let scope = query.scope();
    let cursor = query.cursor.as_deref();
    let by_date = query.q.is_none() && (query.from.is_some() || query.to.is_some());
    let sql = if by_date {
        concerts_by_date(&query, scope.keys(cursor)?.unwrap_or_default(), limit)
    } else {
        let words = query.q.as_deref().map(searched).transpose()?;
        concerts_by_word(&query, words.unwrap_or_default(), scope.keys(cursor)?.unwrap_or_default(), limit)
    };
    let models = Models::after(api, after).await?;
    let mut rows = models.rows(&sql.text, sql.parameters).await?;
    let more = cut(&mut rows, limit);
    let next_cursor = rows.last().filter(|_| more).map(|last| match by_date {
        true => scope.cursor(&(int(last, 7), text(last, 8))),
        false => scope.cursor(&text(last, 0)),
    });
    let items = rows.iter().map(Concert::of_row).collect::<Result<_, _>>()?;
    Ok(models.reply(&Concerts { items, next_cursor }))
}

fn searched(q: &str) -> Result<Vec<String>, Problem> {
    if q.chars().count() > SEARCH_CHARS_MAX {
        return Err(Problem::invalid("q", format!("must have at most {SEARCH_CHARS_MAX} characters")));
    }
    let mut found: Vec<String> = words(q).collect();
    // The longest is the rarest, and leads.
    found.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
    found.dedup();
    match found.len() {
        0 => Err(Problem::invalid("q", "must have a letter or a digit")),
        1..=WORDS_MAX => Ok(found),
        _ => Err(Problem::invalid("q", format!("must have at most {WORDS_MAX} words"))),
    }
}

/// In the order of their ids, as the list without filters.
pub fn concerts_by_word(query: &ConcertQuery, words: Vec<String>, after: String, limit: usize) -> Sql {
    let mut sql = Sql::new(format!("SELECT {CONCERT_COLUMNS} FROM "));
    let mut words = words.into_iter();
    let id = match words.next() {
        Some(first) => {
            sql.add("concert_words w JOIN concerts c ON c.concert_id = w.concert_id WHERE w.word = ", first);
            "w.concert_id"
        }
        None => {
            sql.text.push_str("concerts c WHERE true");
            "c.concert_id"
        }
    };
    sql.add(&format!(" AND {id} > "), after);
    for word in words {
        let with = format!(" AND EXISTS (SELECT 1 FROM concert_words o WHERE o.concert_id = {id} AND o.word = ");
        sql.add(&with, word).text.push(')');
    }
    if let Some(organizer) = query.organizer_id {
        sql.add(" AND c.organizer_id = ", organizer.to_string());
    }
    if query.from.is_some() || query.to.is_some() {
        let (from, to) = span(query);
        let with = format!(" AND EXISTS (SELECT 1 FROM performances p WHERE p.concert_id = {id} AND p.starts_at >= ");
        sql.add(&with, from).add(" AND p.starts_at < ", to).text.push(')');
    }
    sql.add(&format!(" ORDER BY {id} LIMIT "), limit as u64 + 1);
    sql
}

/// In the order of their first performance within the span.
pub fn concerts_by_date(query: &ConcertQuery, after: (u64, String), limit: usize) -> Sql {
    let (from, to) = span(query);
    // The first page begins where the span does.
    let start = after.0.max(from);
    let mut sql = Sql::new(format!(
        "SELECT {CONCERT_COLUMNS}, p.starts_at, p.performance_id FROM performances p \
        JOIN concerts c ON c.concert_id = p.concert_id WHERE (p.starts_at, p.performance_id) > ("
    ));
    sql.add("", start).add(", ", after.1).text.push(')');
    sql.add(" AND p.starts_at < ", to);
    if let Some(organizer) = query.organizer_id {
        sql.add(" AND p.organizer_id = ", organizer.to_string());
    }
    let earlier = " AND NOT EXISTS (SELECT 1 FROM performances e WHERE e.concert_id = p.concert_id AND e.starts_at >= ";
    sql.add(earlier, from).text.push_str(" AND (e.starts_at, e.performance_id) < (p.starts_at, p.performance_id))");
    sql.add(" ORDER BY p.starts_at, p.performance_id LIMIT ", limit as u64 + 1);
    sql
}

fn span(query: &ConcertQuery) -> (Millis, Millis) {
    (query.from.map_or(0, |from| from.0), query.to.map_or(LATEST_MS + 1, |to| to.0))
}

/// Which performances.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ScheduleQuery {
    /// Only those that start then or later.
    #[param(required = false, value_type = String, format = DateTime)]
    from: Option<Time>,
    /// Only those that start before.
    #[param(required = false, value_type = String, format = DateTime)]
    to: Option<Time>,
    /// Only those of this concert.
    #[param(required = false)]
    concert_id: Option<Uuid>,
    /// Only this organizer's.
    #[param(required = false)]
    organizer_id: Option<Uuid>,
    /// Items at most; 50 unless given.
    #[param(minimum = 1, maximum = 500, required = false, value_type = u32)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    #[param(required = false, value_type = String)]
    cursor: Option<String>,
}

/// A performance as a schedule shows it.
#[derive(Serialize, ToSchema)]
pub struct Scheduled {
    performance_id: Uuid,
    concert_id: Uuid,
    organizer_id: Uuid,
    title: Option<String>,
    artist: Option<String>,
    venue: Option<String>,
    state: SaleState,
    starts_at: Time,
    sale_opens_at: Time,
    sale_closes_at: Time,
    /// Points of the cheapest and of the dearest place.
    price_min: Option<u64>,
    price_max: Option<u64>,
    /// Places that could be held, a moment ago.
    available: u64,
    grades: Vec<GradeLeft>,
}

/// What is left of a grade.
#[derive(Serialize, ToSchema)]
pub struct GradeLeft {
    grade: String,
    points: u64,
    places: u64,
    available: u64,
}

/// A page of the schedule, the earliest first.
#[derive(Serialize, ToSchema)]
pub struct Schedule {
    items: Vec<Scheduled>,
    /// For `?cursor=`; null on the last page.
    next_cursor: Option<String>,
}

pub fn routes() -> Vec<Route> {
    routes![schedule]
}

/// Read the schedule
///
/// From the read models: what was answered a moment ago may be missing, unless its `Onsale-Position` is sent as
/// `Onsale-After`. Free places are those of a moment ago; `/availability` has those of now.
#[utoipa::path(
    get, path = "/v1/performances", tag = "performances", operation_id = "read_schedule",
    params(ScheduleQuery, ("Onsale-After" = Option<u64>, Header, description = "An `Onsale-Position` that the list has to know of")),
    responses(
        (status = 200, description = "A page of performances", body = Schedule, headers(("Onsale-Position" = u64))),
        (status = 503, description = "`read-models-behind` (with `lag_events`), `read-models-unavailable`",
            body = crate::kit::error::ProblemBody),
    )
)]
pub async fn schedule(api: web::Data<Api>, after: After, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let query: ScheduleQuery = query::read(request.query_string())?;
    let limit = limit(query.limit.as_deref())?;
    let (from, to) = (query.from.map_or(0, |from| from.0), query.to.map_or(LATEST_MS + 1, |to| to.0));
    let id = |id: Option<Uuid>| id.map_or(String::new(), |id| id.to_string());
    let (concert, organizer) = (id(query.concert_id), id(query.organizer_id));
    let scope = Scope::of("schedule", &[&from.to_string(), &to.to_string(), &concert, &organizer]);
    let after_item: (u64, String) = scope.keys(query.cursor.as_deref())?.unwrap_or_default();
    let sql = schedule_sql((from, to), &concert, &organizer, after_item, limit);
    let models = Models::after(&api, after).await?;
    let rows = models.rows(&sql.text, sql.parameters).await?;
    let now = api.handle()?.clock.now();
    let mut items: Vec<Scheduled> = Vec::new();
    for row in &rows {
        let grade = row[14].text().map(|grade| GradeLeft {
            grade: grade.to_owned(),
            points: int(row, 15),
            places: int(row, 16),
            available: int(row, 17),
        });
        let of_last = items.last().is_some_and(|last| last.performance_id.to_string() == text(row, 0));
        if !of_last {
            items.push(scheduled(row, now)?);
        }
        items.last_mut().expect("one was just pushed").grades.extend(grade);
    }
    let more = items.len() > limit;
    items.truncate(limit);
    let key = |last: &Scheduled| scope.cursor(&(last.starts_at.0, last.performance_id.to_string()));
    let next_cursor = items.last().filter(|_| more).map(key);
    Ok(models.reply(&Schedule { items, next_cursor }))
}

/// Performances from a place in the schedule on, each as many times as it has grades.
pub fn schedule_sql(span: (Millis, Millis), concert: &str, organizer: &str, after: (u64, String), limit: usize) -> Sql {
    let mut sql = Sql::new(
        "SELECT p.performance_id, p.concert_id, p.organizer_id, c.title, c.artist, c.venue, p.sale, p.starts_at, \
        p.sale_opens_at, p.sale_closes_at, p.price_min, p.price_max, p.available, p.version, \
        g.grade, g.points, g.places, g.free \
        FROM (SELECT * FROM performances WHERE (starts_at, performance_id) > ("
            .to_owned(),
    );
    sql.add("", after.0.max(span.0)).add(", ", after.1).text.push(')');
    sql.add(" AND starts_at < ", span.1);
    for (column, id) in [("concert_id", concert), ("organizer_id", organizer)] {
        if !id.is_empty() {
            sql.add(&format!(" AND {column} = "), id);
        }
    }
    sql.add(" ORDER BY starts_at, performance_id LIMIT ", limit as u64 + 1).text.push_str(
        ") p LEFT JOIN concerts c ON c.concert_id = p.concert_id \
        LEFT JOIN seat_grades g ON g.performance_id = p.performance_id ORDER BY p.starts_at, p.performance_id, g.grade",
    );
    sql
}

fn scheduled(row: &Row, now: Millis) -> Result<Scheduled, Problem> {
    let wrong = || Problem::internal("A row of the read models makes no sense.");
    let id = |column| text(row, column).parse::<Uuid>().map_err(|_| wrong());
    let words = |column: usize| row[column].text().map(str::to_owned);
    let sale = match text(row, 6) {
        "open" => Sale::Running,
        "paused" => Sale::Paused,
        "closed" => Sale::Closed,
        _ => Sale::Cancelled,
    };
    let hours = Hours { sale, opens_at_ms: int(row, 8), closes_at_ms: int(row, 9) };
    Ok(Scheduled {
        performance_id: id(0)?,
        concert_id: id(1)?,
        organizer_id: id(2)?,
        title: words(3),
        artist: words(4),
        venue: words(5),
        state: hours.state(now),
        starts_at: Time(int(row, 7)),
        sale_opens_at: Time(int(row, 8)),
        sale_closes_at: Time(int(row, 9)),
        price_min: row[10].int().map(|points| points as u64),
        price_max: row[11].int().map(|points| points as u64),
        available: int(row, 12),
        grades: Vec::new(),
    })
}
