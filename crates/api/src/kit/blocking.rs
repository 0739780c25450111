//! Work that takes too long for a worker, which has others' requests to answer meanwhile.

use super::error::Problem;
use actix_web::web;

/// Does it on a thread of its own, as far as there are any; refused when there are none.
pub async fn off_worker<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    web::block(work).await.map_err(|_| Problem::overloaded())
}
