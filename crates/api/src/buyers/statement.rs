//! A wallet's statement: what moved its points, the newest first.

use crate::Api;
use crate::auth::{Caller, User};
use crate::kit::error::Problem;
use crate::kit::extract::{Id, Page, PageQuery};
use crate::kit::lists::{After, Models, ReadModels, Sql};
use crate::kit::reply::Reply;
use crate::kit::time::Time;
use crate::route::{Route, routes};
use actix_web::{HttpResponse, web};
use base::id::{OrganizerId, ReservationId, UserId};
use domain::wallet::history::{self, EntryKind};
use domain::wallet::{ChargedBy, ReadStatement};
use readmodels::{Row, int, text};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// One movement of points.
#[derive(Serialize, ToSchema)]
pub struct Entry {
    entry_id: Uuid,
    r#type: EntryKind,
    /// Added when positive, taken when negative.
    points: i64,
    /// Points after it.
    balance: u64,
    at: Time,
    /// Of a charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    charge_id: Option<Uuid>,
    /// Whose key or token charged; not known of the oldest charges.
    #[serde(skip_serializing_if = "Option::is_none")]
    charged_by: Option<ChargedBy>,
    /// Of a charge: the caller's own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// Of an adjustment.
    #[serde(skip_serializing_if = "Option::is_none")]
    adjustment_id: Option<Uuid>,
    /// What was paid or refunded.
    #[serde(skip_serializing_if = "Option::is_none")]
    reservation_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    performance_id: Option<Uuid>,
    /// Whose key charged, whose performance it was, or on whose account it was adjusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    organizer_id: Option<Uuid>,
    /// Of an adjustment, or of a refund by the organizer.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A page of movements.
#[derive(Serialize, ToSchema)]
pub struct Entries {
    items: Vec<Entry>,
    next_cursor: Option<String>,
    /// Whether the wallet has movements older than its latest 1,000: those come from the read models.
    older: bool,
}

pub fn routes() -> Vec<Route> {
    routes![read, read_of_user]
}

/// List what moved the points
///
/// The newest first; it has every charge, payment and refund that was answered before. What is older than the latest 1,000
/// comes from the read models.
#[utoipa::path(
    get, path = "/v1/wallet/entries", tag = "wallet", operation_id = "list_entries", security(("user" = [])),
    params(PageQuery),
    responses(
        (status = 200, description = "A page of entries", body = Entries),
        (status = 404, description = "`user-not-found`", body = crate::kit::error::ProblemBody),
        (status = 503, description = "`read-models-unavailable`, of what is older than the latest 1,000",
            body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(api: web::Data<Api>, user: User, page: Page) -> Result<HttpResponse, Problem> {
    entries(&api, user.user, None, page).await
}

/// List what moved a user's points
///
/// With the operator's key everything; with an organizer's key what is on its account: its own charges, what was paid and
/// refunded for its performances, and adjustments in its name. A user that it had nothing to do with is not found.
#[utoipa::path(
    get, path = "/v1/users/{id}/wallet/entries", tag = "wallet", operation_id = "list_user_entries",
    security(("organizer" = []), ("operator" = [])),
    params(("id" = Uuid, Path, description = "The user"), PageQuery),
    responses(
        (status = 200, description = "A page of entries", body = Entries),
        (status = 404, description = "`user-not-found`", body = crate::kit::error::ProblemBody),
        (status = 503, description = "`read-models-unavailable`, of what is older than the latest 1,000",
            body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read_of_user(
    api: web::Data<Api>,
    caller: Caller,
    id: Id<UserId>,
    page: Page,
) -> Result<HttpResponse, Problem> {
    entries(&api, id.0, caller.of_others()?, page).await
}

async fn entries(api: &Api, user: UserId, organizer: Option<OrganizerId>, page: Page) -> Result<HttpResponse, Problem> {
    // A cursor is the version of the wallet that the page before ended with: what comes after that does not move it.
    let before = page.after.map(|cursor| u64::try_from(cursor.as_u128()).unwrap_or(u64::MAX));
    let command = ReadStatement { organizer, before, limit: page.limit };
    let mut found = api.handle()?.engine.ask(user, command).await?.answer;
    let mut more = found.more;
    if !more && found.older && api.state::<ReadModels>()?.reader.is_some() {
        // The wallet's own entries end here; the page goes on in the read model, which knows of them for long.
        let before = found.entries.last().map(|last| last.version).or(before).unwrap_or(i64::MAX as u64);
        let left = page.limit - found.entries.len();
        match older(api, user, organizer, before, left + 1).await {
            Ok(entries) => found.entries.extend(entries),
            Err(problem) if found.entries.is_empty() => return Err(problem),
            // What there is, now; the next page says what is wrong.
            Err(_) => more = true,
        }
        more |= found.entries.len() > page.limit;
        found.entries.truncate(page.limit);
    }
    let last = found.entries.last().filter(|_| more);
    let next_cursor = last.map(|last| Page::cursor(Uuid::from_u128(last.version.into())));
    let items = found.entries.into_iter().map(|entry| Entry::of(user, entry)).collect();
    Ok(Reply::ok().json(&Entries { items, next_cursor, older: found.older }))
}

/// Entries from before version `before`, from the read model.
async fn older(
    api: &Api,
    user: UserId,
    organizer: Option<OrganizerId>,
    before: u64,
    limit: usize,
) -> Result<Vec<history::Entry>, Problem> {
    let models = Models::after(api, After::default()).await?;
    let sql = older_sql(user, organizer, before, limit);
    let rows = models.rows(&sql.text, sql.parameters).await?;
    rows.iter().map(entry_of_row).collect()
}

/// The newest entries of a wallet from before a version.
pub fn older_sql(user: UserId, organizer: Option<OrganizerId>, before: u64, limit: usize) -> Sql {
    let mut sql = Sql::new(
        "SELECT version, moved_at, type, points, balance, about_id, charged_by, organizer_id, words FROM wallet_entries"
            .to_owned(),
    );
    sql.add(" WHERE user_id = ", user.to_string()).add(" AND version < ", before);
    if let Some(organizer) = organizer {
        sql.add(" AND organizer_id = ", organizer.to_string());
    }
    sql.add(" ORDER BY version DESC LIMIT ", limit as u64);
    sql
}

fn entry_of_row(row: &Row) -> Result<history::Entry, Problem> {
    let wrong = || Problem::internal("A row of the read models makes no sense.");
    let named = |column: usize| serde_json::Value::from(text(row, column));
    Ok(history::Entry {
        version: int(row, 0),
        at_ms: int(row, 1),
        kind: serde_json::from_value(named(2)).map_err(|_| wrong())?,
        points: row[3].int().ok_or_else(wrong)?,
        balance: int(row, 4),
        id: text(row, 5).parse().map_err(|_| wrong())?,
        charged_by: row[6].text().map(|_| serde_json::from_value(named(6))).transpose().map_err(|_| wrong())?,
        organizer: row[7].text().map(str::parse).transpose().map_err(|_| wrong())?,
        text: row[8].text().map(str::to_owned),
    })
}

impl Entry {
    fn of(user: UserId, entry: history::Entry) -> Entry {
        let only = |kinds: &[EntryKind]| kinds.contains(&entry.kind);
        let reservation = only(&[EntryKind::Spent, EntryKind::Refunded]).then_some(ReservationId(entry.id));
        let charged = only(&[EntryKind::Charged]);
        let adjusted = only(&[EntryKind::Adjusted]);
        let (reference, reason) = if charged { (entry.text, None) } else { (None, entry.text) };
        Entry {
            // Nobody has to remember it: the same movement has the same id for ever.
            entry_id: Uuid::new_v5(&user.0, &entry.version.to_be_bytes()),
            r#type: entry.kind,
            points: entry.points,
            balance: entry.balance,
            at: Time(entry.at_ms),
            charge_id: charged.then_some(entry.id),
            charged_by: entry.charged_by,
            reference,
            adjustment_id: adjusted.then_some(entry.id),
            reservation_id: reservation.map(|id| id.0),
            performance_id: reservation.map(|id| id.performance().0),
            organizer_id: entry.organizer.map(|id| id.0),
            reason,
        }
    }
}
