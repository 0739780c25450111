//! What pages show of a queue.

use super::html;
use super::words::Language;
use crate::Api;
use crate::kit::error::Problem;
use base::id::{Millis, QueueId};
use domain::queue::Look;
use std::sync::Arc;

/// A queue as people see it.
pub struct Queue {
    pub id: QueueId,
    pub name: String,
    pub opens_at_ms: Millis,
    pub redirect_urls: Vec<String>,
    /// How its page looks.
    pub look: Arc<Look>,
    /// What everybody is told.
    pub notice: Option<String>,
}

impl Queue {
    /// The queue of a path: its id, as it is written here.
    pub fn named(api: &Api, id: &str) -> Result<Queue, Problem> {
        Queue::find(api, Queue::id_of(id)?)
    }

    /// The id of a path, if it is written as it is here: a page has one address.
    pub fn id_of(text: &str) -> Result<QueueId, Problem> {
        let known = text.parse::<QueueId>().ok().filter(|queue| queue.to_string() == text);
        known.ok_or_else(|| Problem::no_such("queue"))
    }

    /// From its view: no actor is asked.
    pub fn find(api: &Api, id: QueueId) -> Result<Queue, Problem> {
        let view = api.handle()?.engine.views().queues().get(id);
        let found = view.and_then(|view| {
            view.look(|live| {
                let facts = live.facts()?;
                let terms = &facts.terms;
                let (name, redirect_urls) = (terms.name.clone(), terms.redirect_urls.clone());
                let (look, notice) = (facts.look.clone(), facts.notice.clone());
                Some(Queue { id, name, opens_at_ms: terms.opens_at_ms, redirect_urls, look, notice })
            })
        });
        found.ok_or_else(|| Problem::no_such("queue"))
    }

    /// Forms go here, and from here to where the queue sends people; frames are for whom the organizer names.
    pub fn policy(&self) -> String {
        html::policy(&html::origins(&self.redirect_urls), &self.look.frame_ancestors)
    }

    /// A word of the page, as the organizer has it or as it comes; with these values, as HTML.
    pub fn say(&self, language: &Language, word: &str, values: &[(&str, &str)]) -> String {
        let own = self.look.texts.get(language.tag).and_then(|texts| texts.get(word));
        own.map_or_else(|| language.say(word, values), |own| Language::filled(own, values))
    }

    pub fn path(&self) -> String {
        format!("/q/{}", self.id)
    }
}
