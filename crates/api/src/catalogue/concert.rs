//! A concert as it is shown: read by itself, in lists and in searches.

use crate::kit::error::Problem;
use crate::kit::time::Time;
use domain::concert::Description;
use readmodels::{Row, int, text};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A concert. Its performances are listed beside it.
#[derive(Serialize, ToSchema)]
pub struct Concert {
    concert_id: Uuid,
    organizer_id: Uuid,
    title: String,
    artist: String,
    venue: String,
    created_at: Time,
}

/// One page of concerts.
#[derive(Serialize, ToSchema)]
pub struct Concerts {
    pub(crate) items: Vec<Concert>,
    /// For `?cursor=`; null on the last page.
    pub(crate) next_cursor: Option<String>,
}

impl From<Description> for Concert {
    fn from(answer: Description) -> Concert {
        Concert {
            concert_id: answer.id.0,
            organizer_id: answer.organizer.0,
            title: answer.title,
            artist: answer.artist,
            venue: answer.venue,
            created_at: Time(answer.created_at_ms),
        }
    }
}

impl Concert {
    /// From a row of the read model.
    pub(crate) fn of_row(row: &Row) -> Result<Concert, Problem> {
        let wrong = || Problem::internal("A row of the read models makes no sense.");
        let id = |column| text(row, column).parse::<Uuid>().map_err(|_| wrong());
        Ok(Concert {
            concert_id: id(0)?,
            organizer_id: id(1)?,
            title: text(row, 2).into(),
            artist: text(row, 3).into(),
            venue: text(row, 4).into(),
            created_at: Time(int(row, 5)),
        })
    }
}
