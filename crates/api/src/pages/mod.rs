//! Pages: what people see in a browser. They ask `/v1` like anybody, so whoever dislikes them builds their own.
//!
//! - [`assets`]: script and styles, by the hash of what is in them
//! - [`queue`]: what pages show of a queue
//! - [`shell`]: the queue's page, the same bytes for everybody
//! - [`forms`], [`mine`], [`scriptless`]: the same without scripts
//! - [`calendar`]: the opening as an appointment
//! - [`home`], [`featured`]: what `/` shows
//! - [`look`], [`image`]: what an organizer's page has of its own
//! - [`words`], [`html`]: texts, and how they get into a page; [`document`]: bytes that everybody gets

pub mod assets;
pub mod calendar;
pub mod document;
pub mod featured;
pub mod forms;
pub mod home;
pub mod html;
pub mod image;
pub mod look;
pub mod mine;
pub mod queue;
pub mod scriptless;
pub mod shell;
pub mod words;

use crate::route::Route;

pub fn routes() -> Vec<Route> {
    [shell::routes, assets::routes, forms::routes, mine::routes, calendar::routes, home::routes]
        .iter()
        .flat_map(|routes| routes())
        .collect()
}
