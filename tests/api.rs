//! The HTTP interface, through real servers.

mod api {
    mod attacks;
    mod bad_input;
    mod catalogue;
    mod charts;
    mod fairness;
    mod figures;
    mod folder;
    mod handover;
    mod manners;
    mod money;
    mod obedience;
    mod process;
    mod proxies;
    mod public_line;
    mod purchase;
    mod queue_streams;
    mod queues;
    mod refusals;
    mod repeats;
    mod stream_ends;
    mod tenants;
    mod text;
    mod watch;
}
mod common;
