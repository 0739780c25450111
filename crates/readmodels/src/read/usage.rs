//! What is told of the connections.

/// How many of a reader's connections are in use.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Usage {
    pub connections_max: usize,
    pub in_use: usize,
    /// Open, and nobody uses them.
    pub idle: usize,
    /// Questions that wait for a connection.
    pub waiting: usize,
}
