//! Everything that handlers share, made by whoever starts the server.

use crate::auth::accounts::Accounts;
use crate::catalogue::availability::Shown;
use crate::kit::lists::ReadModels;
use crate::ops::health::Operations;
use crate::pages::shell::Shells;
use crate::queues::admission_token::Admissions;
use crate::queues::handover::Handovers;
use crate::queues::line::Documents;
use crate::queues::statistics::Watched;
use crate::state::{EngineHandle, State, States};
use crate::streams::position_stream::Lines;
use crate::streams::sse::Hub;
use engine::ledger::Ledger;
use security::secrets::Secrets;
use std::sync::Arc;

macro_rules! services {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)+) => {
        /// What handlers share. Each type is a state that a handler can name.
        pub struct Services {
            $($(#[$doc])* pub $name: Arc<$type>,)+
        }

        $(impl State for $type {})+

        impl From<Services> for States {
            fn from(services: Services) -> States {
                States::default()$(.with(services.$name))+
            }
        }
    };
}

services! {
    // Those that are asked for most come first.
    handle: EngineHandle,
    accounts: Accounts,
    secrets: Secrets,
    availability: Shown,
    admissions: Admissions,
    hub: Hub,
    /// Queues as they are shown to everybody.
    public_lines: Documents,
    shells: Shells,
    handovers: Handovers,
    /// Queues that are watched by those who wait in them.
    lines: Lines,
    /// Queues that are watched by their organizers.
    statistics: Watched,
    read_models: ReadModels,
    ledger: Ledger,
    operations: Operations,
}
