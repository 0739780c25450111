//! What a user has held, paid and given back: all of it, the newest first.

use super::reservations::Reservation;
use crate::Api;
use crate::auth::User;
use crate::kit::error::Problem;
use crate::kit::lists::{After, Models, Scope, cut, limit};
use crate::kit::query;
use crate::route::{Route, routes};
use actix_web::{HttpRequest, HttpResponse, web};
use domain::performance::reservation::State;
use readmodels::{Row, Value, int};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The columns of [`Reservation::of_row`].
pub(crate) const COLUMNS: &str = "reservation_id, performance_id, user_id, state, seats, area, points, adjacent, relaxed, \
    by_organizer, held_at, expires_at, confirmed_at, cancelled_at, refund_reason, version, held_position";
/// Where in them its place in the list stands.
pub(crate) const HELD_POSITION: usize = 16;

/// Which reservations.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Only those in this state.
    #[param(required = false, inline)]
    state: Option<State>,
    /// Items at most; 50 unless given.
    #[param(minimum = 1, maximum = 500, required = false, value_type = u32)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    #[param(required = false, value_type = String)]
    cursor: Option<String>,
}

/// A page of reservations, the newest first.
#[derive(Serialize, ToSchema)]
pub struct Reservations {
    pub(crate) items: Vec<Reservation>,
    /// For `?cursor=`; null on the last page.
    pub(crate) next_cursor: Option<String>,
}

impl Reservations {
    /// A page of rows of which one more was asked for.
    pub(crate) fn of(mut rows: Vec<Row>, limit: usize, scope: &Scope) -> Result<Reservations, Problem> {
        let more = cut(&mut rows, limit);
        let next_cursor = rows.last().filter(|_| more).map(|last| scope.cursor(&int(last, HELD_POSITION)));
        let items = rows.into_iter().map(Reservation::of_row).collect::<Result<_, _>>()?;
        Ok(Reservations { items, next_cursor })
    }
}

pub fn routes() -> Vec<Route> {
    routes![list]
}

/// List my reservations
///
/// The newest first, from the read models: what was answered a moment ago may be missing, unless its `Onsale-Position` is
/// sent as `Onsale-After`.
#[utoipa::path(
    get, path = "/v1/me/reservations", tag = "reservations", operation_id = "list_my_reservations",
    security(("user" = [])),
    params(Query, ("Onsale-After" = Option<u64>, Header, description = "An `Onsale-Position` that the list has to know of")),
    responses(
        (status = 200, description = "A page of reservations", body = Reservations, headers(("Onsale-Position" = u64))),
        (status = 503, description = "`read-models-behind` (with `lag_events`), `read-models-unavailable`",
            body = crate::kit::error::ProblemBody),
    )
)]
pub async fn list(
    api: web::Data<Api>,
    user: User,
    after: After,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let query: Query = query::read(request.query_string())?;
    let limit = limit(query.limit.as_deref())?;
    let user = user.user.to_string();
    let state = query.state.map(state_name);
    let scope = Scope::of("my-reservations", &[&user, state.unwrap_or_default()]);
    let before: u64 = scope.keys(query.cursor.as_deref())?.unwrap_or(i64::MAX as u64);
    let models = Models::after(&api, after).await?;
    let mut parameters: Vec<Value> = vec![user.into(), before.into(), (limit as i64 + 1).into()];
    let rows = match state {
        None => models.rows(&sql(""), parameters).await?,
        Some(state) => {
            parameters.insert(2, state.into());
            models.rows(&sql_of_state(), parameters).await?
        }
    };
    Ok(models.reply(&Reservations::of(rows, limit, &scope)?))
}

/// The newest reservations of user `$1` before position `$2`, at most `$3`.
pub fn sql(filter: &str) -> String {
    format!(
        "SELECT {COLUMNS} FROM reservations WHERE user_id = $1 AND held_position < $2 {filter} \
        ORDER BY held_position DESC LIMIT $3"
    )
}

fn sql_of_state() -> String {
    sql("AND state = $3").replace("LIMIT $3", "LIMIT $4")
}

pub(crate) fn state_name(state: State) -> &'static str {
    match state {
        State::Held => "held",
        State::Paying => "paying",
        State::Confirmed => "confirmed",
        State::Cancelling => "cancelling",
        State::Cancelled => "cancelled",
        State::Released => "released",
        State::Expired => "expired",
    }
}
