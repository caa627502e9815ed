//! Publishing virtual addresses: which hosts may hold each, and who is preferred. Who does, the
//! hosts agree among themselves.

use api::id::Generation;
use api::network::VipTable;

use crate::core::{Core, View};

/// Publishes the table of virtual addresses when it changed.
pub(super) struct VipPublisher {
    term: u64,
    generation: Generation,
    /// With generation 0.
    last: Option<VipTable>,
}

impl VipPublisher {
    /// Generations of a later term are above those of all earlier ones.
    pub(super) fn new(term: u64) -> Self {
        Self { term, generation: Generation(term << 32), last: None }
    }

    /// Publishes what follows from a view.
    pub(super) fn publish(&mut self, core: &Core, view: &View) {
        let table = core.vip_table(view);
        if self.last.as_ref() == Some(&table) {
            return;
        }
        self.generation = self.generation.next();
        let published = VipTable { generation: self.generation, ..table.clone() };
        core.servers.published.lead_vips(&core.agents.gathered, self.term, published);
        self.last = Some(table);
    }
}
