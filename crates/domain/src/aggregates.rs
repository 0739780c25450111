//! The list of all aggregates. Nothing else names them all.

use crate::account::Account;
use crate::concert::Concert;
use crate::organizer::Organizer;
use crate::performance::Performance;
use crate::queue::Queue;
use crate::wallet::Wallet;
use crate::{Aggregate, EventData};
use base::id::Category;
use std::any::Any;

/// Calls a macro of this crate with the list: each aggregate, named like its category, and what a part of it is called in
/// [`Aggregates`]. What stands behind the macro's name comes after the list.
#[macro_export]
macro_rules! for_each_aggregate {
    ($then:ident => $($arguments:tt)*) => {
        $crate::$then! {
            [
                (Concert concerts $crate::concert::Concert)
                (Organizer organizers $crate::organizer::Organizer)
                (Account accounts $crate::account::Account)
                (Wallet wallets $crate::wallet::Wallet)
                (Performance performances $crate::performance::Performance)
                (Queue queues $crate::queue::Queue)
            ]
            $($arguments)*
        }
    };
}

/// `each_aggregate!(A => statement)`: the statement for every aggregate `A`.
#[macro_export]
macro_rules! each_aggregate {
    ([$(($category:ident $part:ident $aggregate:path))+] $A:ident => $body:expr) => {
        $({
            type $A = $aggregate;
            $body;
        })+
    };
    ($A:ident => $body:expr) => {
        $crate::for_each_aggregate!(each_aggregate => $A => $body)
    };
}

/// `by_category!(category, A => expression)`: the expression for the aggregate `A` of a category.
#[macro_export]
macro_rules! by_category {
    ([$(($category:ident $part:ident $aggregate:path))+] $of:expr, $A:ident => $body:expr) => {
        match $of {
            $(::base::id::Category::$category => {
                type $A = $aggregate;
                $body
            })+
        }
    };
    ($of:expr, $A:ident => $body:expr) => {
        $crate::for_each_aggregate!(by_category => $of, $A => $body)
    };
}

/// Something that there is for each aggregate, of a type that depends on it.
pub trait PerAggregate {
    type Of<A: Aggregate>: 'static;
}

#[doc(hidden)]
#[macro_export]
macro_rules! declare_aggregates {
    ([$(($category:ident $part:ident $aggregate:path))+]) => {
        /// One of `T` for each aggregate.
        pub struct Aggregates<T: PerAggregate> {
            $(pub $part: T::Of<$category>),+
        }

        impl<T: PerAggregate> Aggregates<T> {
            /// The part of `A`. Which one it is, is known when this is compiled.
            pub fn of<A: Aggregate>(&self) -> &T::Of<A> {
                let part: &dyn Any = match A::CATEGORY { $(Category::$category => &self.$part),+ };
                part.downcast_ref().expect("a category has one aggregate")
            }

            pub fn of_mut<A: Aggregate>(&mut self) -> &mut T::Of<A> {
                let part: &mut dyn Any = match A::CATEGORY { $(Category::$category => &mut self.$part),+ };
                part.downcast_mut().expect("a category has one aggregate")
            }
        }

        impl<T: PerAggregate> Default for Aggregates<T>
        where
            $(T::Of<$category>: Default),+
        {
            fn default() -> Self {
                Aggregates { $($part: Default::default()),+ }
            }
        }
    };
}
for_each_aggregate!(declare_aggregates =>);

/// What the events of a category are called.
pub fn event_names(category: Category) -> &'static [&'static str] {
    by_category!(category, A => <A as Aggregate>::Event::NAMES)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Names;

    impl PerAggregate for Names {
        type Of<A: Aggregate> = Vec<std::marker::PhantomData<A>>;
    }

    #[test]
    fn each_aggregate_has_a_part_of_its_own() {
        let mut parts = Aggregates::<Names>::default();
        each_aggregate!(A => parts.of_mut::<A>().push(std::marker::PhantomData));
        each_aggregate!(A => assert_eq!(parts.of::<A>().len(), 1, "{:?}", A::CATEGORY));
    }
}
