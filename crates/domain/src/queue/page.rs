//! What people see of a queue while they wait: what its organizer tells everybody, and how its page looks.

use super::Queue;
use super::description::Description;
use super::event::{Event, QueueNoticeSet, QueuePageSet};
use super::look::Look;
use crate::text::{Invalid, text_fits};
use crate::{Command, Context, Effect};
use base::id::OrganizerId;

/// Characters of a notice.
pub const NOTICE_CHARS_MAX: usize = 500;

/// What everybody in line is told from now on; `None` is nothing. The same again has no effect.
#[derive(Clone, Debug)]
pub struct SetNotice {
    pub organizer: OrganizerId,
    pub notice: Option<String>,
}

/// Why the notice stays as it is, in order of precedence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum SetNoticeRejection {
    /// Or not the organizer's.
    UnknownQueue,
    Invalid(Invalid),
}

/// How the page looks from now on, all of it. The same again has no effect.
#[derive(Clone, Debug)]
pub struct SetPage {
    pub organizer: OrganizerId,
    pub look: Look,
}

/// Why the page looks as before, in order of precedence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum SetPageRejection {
    /// Or not the organizer's.
    UnknownQueue,
    Invalid(Invalid),
}

impl Command for SetNotice {
    type On = Queue;
    type Answer = Description;
    type Rejection = SetNoticeRejection;

    fn decide(&self, queue: &Queue, _: &Context) -> Result<Vec<Event>, SetNoticeRejection> {
        let created = queue.of(self.organizer).ok_or(SetNoticeRejection::UnknownQueue)?;
        if self.notice.as_ref().is_some_and(|notice| !text_fits(notice, NOTICE_CHARS_MAX)) {
            return Err(SetNoticeRejection::Invalid(Invalid::text("notice", NOTICE_CHARS_MAX)));
        }
        let same = created.facts.notice == self.notice;
        let set = || Event::QueueNoticeSet(QueueNoticeSet { notice: self.notice.clone() });
        Ok(if same { vec![] } else { vec![set()] })
    }

    fn answer(&self, queue: &Queue, effect: &Effect<'_, Queue>) -> Description {
        queue.describe(effect.id, effect.version)
    }
}

impl Command for SetPage {
    type On = Queue;
    type Answer = Description;
    type Rejection = SetPageRejection;

    fn decide(&self, queue: &Queue, _: &Context) -> Result<Vec<Event>, SetPageRejection> {
        let created = queue.of(self.organizer).ok_or(SetPageRejection::UnknownQueue)?;
        self.look.check().map_err(SetPageRejection::Invalid)?;
        let same = *created.facts.look == self.look;
        let set = || Event::QueuePageSet(QueuePageSet { look: self.look.clone() });
        Ok(if same { vec![] } else { vec![set()] })
    }

    fn answer(&self, queue: &Queue, effect: &Effect<'_, Queue>) -> Description {
        queue.describe(effect.id, effect.version)
    }
}
