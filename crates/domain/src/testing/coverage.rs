//! What the stories of an aggregate's tests cover: every rejection and every event has to be in one of them.

use crate::EventData;
use std::any::type_name;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Debug;

/// A variant of a type of rejections: the type's path, and the variant.
type Refused = (&'static str, String);

/// Types of rejections: the type's path, and its variants.
pub type Rejections = &'static [(fn() -> &'static str, &'static [&'static str])];

/// A type of rejections whose variants are known by name. A story runs no command without it.
#[diagnostic::on_unimplemented(
    message = "the tests do not know the variants of `{Self}`",
    note = "derive `strum::VariantNames` for tests, as other rejections do, and name it in `rejections!` of the aggregate's tests"
)]
pub trait Known {}

impl Known for std::convert::Infallible {}

/// Names the types of rejections of an aggregate: enums, then structs, which are a rejection each.
macro_rules! rejections {
    (enums: $($enum:ty),*; structs: $($struct:ident),* $(,)?) => {
        const REJECTIONS: $crate::testing::coverage::Rejections = &[
            $((std::any::type_name::<$enum>, <$enum as strum::VariantNames>::VARIANTS),)*
            $((std::any::type_name::<$struct>, &[stringify!($struct)]),)*
        ];

        $(impl $crate::testing::coverage::Known for $enum {})*
        $(impl $crate::testing::coverage::Known for $struct {})*
    };
}
pub(crate) use rejections;

thread_local! {
    static COVERAGE: RefCell<Coverage> = RefCell::default();
}

/// What stories came to.
#[derive(Default)]
pub struct Coverage {
    refused: BTreeSet<Refused>,
    recorded: BTreeSet<&'static str>,
}

impl Coverage {
    /// Runs tests, and says what their stories came to.
    pub fn of(tests: &[fn()]) -> Coverage {
        COVERAGE.take();
        tests.iter().for_each(|test| test());
        COVERAGE.take()
    }

    /// Fails unless every variant of these types and every event was seen. `untested`: variants that no story reaches.
    #[track_caller]
    pub fn assert_complete<E: EventData>(mut self, rejections: Rejections, untested: &[(&'static str, &str)]) {
        for (path, variant) in untested {
            assert!(self.refused.insert((path, (*variant).to_owned())), "a story comes to {path}::{variant} by now");
        }
        let variants =
            rejections.iter().flat_map(|(path, names)| names.iter().map(|name| (path(), (*name).to_owned())));
        let missing: Vec<Refused> = variants.filter(|variant| !self.refused.contains(variant)).collect();
        assert_eq!(missing, [], "rejections that no test comes to");
        let missing: Vec<&str> = E::NAMES.iter().copied().filter(|name| !self.recorded.contains(name)).collect();
        assert_eq!(missing, [""; 0], "events that no test comes to");
    }
}

/// The variant of a rejection in its own words.
pub fn variant_of(refusal: &str) -> &str {
    refusal.split([' ', '(']).next().unwrap_or(refusal)
}

/// A story came to a rejection.
pub(super) fn note_refused<R: Debug>(refusal: &R) {
    let variant = variant_of(&format!("{refusal:?}")).to_owned();
    COVERAGE.with_borrow_mut(|coverage| coverage.refused.insert((type_name::<R>(), variant)));
}

/// A story came to an event.
pub(super) fn note_recorded(name: &'static str) {
    COVERAGE.with_borrow_mut(|coverage| coverage.recorded.insert(name));
}
