//! The log: what every kind of it keeps to, and what a disk can do to the durable one.

mod log {
    mod archive;
    mod contract;
    mod faults;
    mod snapshot;
    mod stores;
    mod tail;
}
