//! Reconciliation: what was charged, spent, refunded and adjusted on each day, to hold against an organizer's own books.

use crate::Api;
use crate::auth::{Operator, Organizer};
use crate::kit::csv::wants_csv;
use crate::kit::error::{Kind, Problem};
use crate::kit::query;
use crate::kit::reply::Reply;
use crate::kit::time::{Time, parse_day};
use crate::route::{Route, routes};
use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::OrganizerId;
use domain::organizer;
use engine::ledger::Ledger;
use engine::ledger::sums::{Account, Figures, Span, Statement};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Days of one answer.
const DAYS_MAX: u32 = 366;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// Points that moved within a day or a span, and how often.
#[derive(Serialize, ToSchema)]
pub struct Moved {
    /// Points that were charged with the organizer's key.
    charged: u64,
    /// Points that were spent on the organizer's performances.
    spent: u64,
    /// Points that went back for reservations of them that were cancelled.
    refunded: u64,
    /// Points that the operator gave, less those taken, in the organizer's name.
    #[schema(value_type = i64)]
    adjusted: i128,
    /// `charged - spent + refunded + adjusted`
    #[schema(value_type = i64)]
    net: i128,
    /// How many charges.
    charges: u64,
    /// How many payments.
    payments: u64,
    /// How many refunds.
    refunds: u64,
    /// How many adjustments.
    adjustments: u64,
}

/// One day, in UTC.
#[derive(Serialize, ToSchema)]
pub struct DayMoved {
    #[schema(format = Date)]
    date: String,
    #[serde(flatten)]
    moved: Moved,
    /// Of all days up to the end of this one, the net sum.
    #[schema(value_type = i64)]
    outstanding: i128,
}

/// What moved on one account.
#[derive(Serialize, ToSchema)]
pub struct Reconciliation {
    /// Null for what is on nobody's account, and for the sum of all.
    organizer_id: Option<Uuid>,
    /// The sums are those of the log up to here, which is at least what was durable when you asked.
    position: u64,
    /// Every day from `from` to `to`, also those on which nothing moved.
    days: Vec<DayMoved>,
    totals: Moved,
    /// Of all days up to the end of `to`, the net sum. Users spend with any organizer what any organizer charged, so this
    /// can be negative for one of them. Over all it is the sum of all balances.
    #[schema(value_type = i64)]
    outstanding: i128,
}

/// Which days.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SpanQuery {
    /// The first day, in UTC.
    #[param(required, value_type = String, format = Date)]
    from: Option<String>,
    /// The last day, in UTC; at most 366 days in all.
    #[param(required, value_type = String, format = Date)]
    to: Option<String>,
}

/// Which days, and whose.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AllQuery {
    /// The first day, in UTC.
    #[param(required, value_type = String, format = Date)]
    from: Option<String>,
    /// The last day, in UTC; at most 366 days in all.
    #[param(required, value_type = String, format = Date)]
    to: Option<String>,
    /// An organizer; or `none` for what is on nobody's account. Without it the sum of all.
    #[param(required = false, value_type = String)]
    organizer_id: Option<String>,
}

pub fn routes() -> Vec<Route> {
    routes![read, read_all]
}

/// Reconcile the own account
///
/// Days are in UTC. It has everything that was answered before. With `Accept: text/csv` the days come as CSV.
#[utoipa::path(
    get, path = "/v1/organizer/reconciliation", tag = "reconciliation", operation_id = "reconcile",
    security(("organizer" = [])), params(SpanQuery),
    responses(
        (status = 200, description = "The sums by day", headers(("Onsale-Position" = u64)),
            content((Reconciliation = "application/json"), (String = "text/csv"))),
        (status = 409, description = "`sums-too-large`: JSON has numbers of 64 bits; CSV has any",
            body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(api: web::Data<Api>, organizer: Organizer, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let query: SpanQuery = query::read(request.query_string())?;
    let span = span(query.from.as_deref(), query.to.as_deref())?;
    answer(&api, Account::Organizer(organizer.0), span, request.headers()).await
}

/// Reconcile any account, or all together
///
/// Days are in UTC. It has everything that was answered before. With `Accept: text/csv` the days come as CSV.
#[utoipa::path(
    get, path = "/v1/reconciliation", tag = "reconciliation", operation_id = "reconcile_all",
    security(("operator" = [])), params(AllQuery),
    responses(
        (status = 200, description = "The sums by day", headers(("Onsale-Position" = u64)),
            content((Reconciliation = "application/json"), (String = "text/csv"))),
        (status = 409, description = "`sums-too-large`: JSON has numbers of 64 bits; CSV has any",
            body = crate::kit::error::ProblemBody),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read_all(api: web::Data<Api>, _: Operator, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let query: AllQuery = query::read(request.query_string())?;
    let span = span(query.from.as_deref(), query.to.as_deref())?;
    let account = match query.organizer_id.as_deref() {
        None => Account::All,
        Some("none") => Account::Nobody,
        Some(id) => {
            let id: OrganizerId =
                id.parse().map_err(|_| Problem::invalid("organizer_id", "must be a UUID, or none"))?;
            api.handle()?.engine.ask(id, organizer::Describe).await?;
            Account::Organizer(id)
        }
    };
    answer(&api, account, span, request.headers()).await
}

fn span(from: Option<&str>, to: Option<&str>) -> Result<Span, Problem> {
    let day = |field: &'static str, text: Option<&str>| {
        let text = text.ok_or_else(|| Problem::invalid(field, "is required: a day like 2026-11-21"))?;
        parse_day(text).ok_or_else(|| Problem::invalid(field, "must be a day like 2026-11-21, from 1970 on"))
    };
    let (from, to) = (day("from", from)?, day("to", to)?);
    if to < from {
        return Err(Problem::invalid("to", "must not be before from"));
    }
    if to - from >= DAYS_MAX {
        return Err(Problem::invalid("to", format!("ask for at most {DAYS_MAX} days")).with("maximum", DAYS_MAX));
    }
    Ok(Span { from, to })
}

async fn answer(api: &Api, account: Account, span: Span, headers: &HeaderMap) -> Result<HttpResponse, Problem> {
    let statement = api.state::<Ledger>()?.statement(account, span).await?;
    let reply = Reply::ok().position(statement.position).header(header::VARY, "accept");
    if wants_csv(headers) {
        return Ok(reply.csv(csv(&statement)));
    }
    let organizer_id = match account {
        Account::Organizer(id) => Some(id.0),
        Account::Nobody | Account::All => None,
    };
    // The document promises 64 bits: a client that reads so much could not read the whole answer otherwise.
    let sums =
        statement.days.iter().flat_map(|(_, figures, outstanding)| [figures.adjusted, figures.net(), *outstanding]);
    let mut sums = sums.chain([statement.totals.adjusted, statement.totals.net(), statement.outstanding]);
    if sums.any(|points| i64::try_from(points).is_err()) {
        return Err(Problem::new(
            Kind::SumsTooLarge,
            "Ask for CSV (Accept: text/csv), whose numbers may have any length.",
        ));
    }
    let days = statement.days.iter().map(|(day, figures, outstanding)| DayMoved {
        date: date(*day),
        moved: figures.into(),
        outstanding: *outstanding,
    });
    Ok(reply.json(&Reconciliation {
        organizer_id,
        position: statement.position.0,
        days: days.collect(),
        totals: (&statement.totals).into(),
        outstanding: statement.outstanding,
    }))
}

impl From<&Figures> for Moved {
    fn from(figures: &Figures) -> Moved {
        let Figures { charged, spent, refunded, adjusted, charges, payments, refunds, adjustments } = *figures;
        Moved { charged, spent, refunded, adjusted, net: figures.net(), charges, payments, refunds, adjustments }
    }
}

/// `2026-11-21`
fn date(day: u32) -> String {
    let mut text = Time(u64::from(day) * DAY_MS).to_string();
    text.truncate("2026-11-21".len());
    text
}

/// RFC 4180. Dates and numbers only, so nothing that a spreadsheet would take for a formula.
fn csv(statement: &Statement) -> String {
    let mut text =
        "date,charged,spent,refunded,adjusted,net,outstanding,charges,payments,refunds,adjustments\r\n".to_owned();
    for (day, figures, outstanding) in &statement.days {
        let Figures { charged, spent, refunded, adjusted, charges, payments, refunds, adjustments } = figures;
        let (date, net) = (date(*day), figures.net());
        write!(
            text,
            "{date},{charged},{spent},{refunded},{adjusted},{net},{outstanding},\
             {charges},{payments},{refunds},{adjustments}\r\n"
        )
        .expect("a String takes every character");
    }
    text
}
