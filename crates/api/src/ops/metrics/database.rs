//! The connections that answers of read models are read with.

use super::figure::{Collectors, expect, gauge};
use prometheus::{IntGauge, IntGaugeVec, Opts};
use readmodels::read::Usage;

pub struct Database {
    connections: IntGaugeVec,
    connections_max: IntGauge,
    waiting: IntGauge,
}

impl Database {
    pub(super) fn new() -> Database {
        let connections =
            Opts::new("onsale_database_connections", "Connections to the read models, by state (`in_use`, `idle`)");
        Database {
            connections: expect(IntGaugeVec::new(connections, &["state"])),
            connections_max: gauge(
                "onsale_database_connections_max",
                "Connections to the read models that may be open",
            ),
            waiting: gauge("onsale_database_waiting", "Questions to the read models that wait for a connection"),
        }
    }

    pub(super) fn collectors(&self) -> Collectors {
        vec![Box::new(self.connections.clone()), Box::new(self.connections_max.clone()), Box::new(self.waiting.clone())]
    }

    /// How many are in use now.
    pub fn set(&self, usage: &Usage) {
        self.connections.with_label_values(&["in_use"]).set(usage.in_use as i64);
        self.connections.with_label_values(&["idle"]).set(usage.idle as i64);
        self.connections_max.set(usage.connections_max as i64);
        self.waiting.set(usage.waiting as i64);
    }
}
