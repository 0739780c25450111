//! What people see while they wait: the notice, and the page's look.

use super::*;
use crate::queue::page::NOTICE_CHARS_MAX;

#[test]
pub fn what_everybody_in_line_is_told() {
    let mut case = QueueCase::with(terms(manual()), 1);
    let say = |notice: &str| SetNotice { organizer: OWNER, notice: Some(notice.into()) };
    let told = case.tell(&say("Back soon.")).unwrap();
    assert_eq!(told.notice.as_deref(), Some("Back soon."));
    assert_eq!(case.tell(&say("Back soon.")).unwrap().version, told.version, "the same again is nothing");
    for bad in ["", " ", "line\u{202e}s", &"x".repeat(NOTICE_CHARS_MAX + 1)] {
        assert!(matches!(case.tell(&say(bad)), Err(SetNoticeRejection::Invalid(_))), "{bad}");
    }
    case.tell(&SetState { organizer: OWNER, state: State::Closed }).unwrap();
    assert!(case.tell(&say(&"x".repeat(NOTICE_CHARS_MAX))).unwrap().notice.is_some());
    assert_eq!(case.tell(&SetNotice { organizer: OWNER, notice: None }).unwrap().notice, None);
}

#[test]
pub fn the_page_looks_as_its_organizer_says() {
    let mut case = QueueCase::with(terms(manual()), 1);
    let page = |show_seats_left| SetPage { organizer: OWNER, look: Look { show_seats_left, ..Look::default() } };
    for (seats, events) in [(false, 0), (true, 1), (true, 0), (false, 1)] {
        case.tell(&page(seats)).unwrap();
        assert_eq!(case.story.last.len(), events, "the same again is nothing");
        assert_eq!(case.story.state.facts().unwrap().look.show_seats_left, seats);
    }
}
