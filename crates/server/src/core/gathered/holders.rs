//! Which hosts say that they hold virtual addresses.

use std::net::Ipv4Addr;
use std::time::Duration;

use api::id::HostId;
use api::time::Timestamp;
use api::vip::HeldSince;
use tokio::time::Instant;

use super::{Gathered, HostWords, Word};

/// A host that has said nothing for so long may have lost what it held: half a dozen heartbeats.
const SILENT: Duration = Duration::from_millis(1500);

impl Gathered {
    /// Takes over which virtual addresses a host holds.
    pub fn holds(&self, host: &HostId, addresses: Vec<HeldSince>) {
        let now = Instant::now();
        self.inner.lock().own.of(host, now).holds.clone_from(&addresses);
        self.tell(|| Word::Holds { host: host.clone(), addresses });
    }

    /// The connected hosts that say that they hold a virtual address, and since when.
    #[must_use]
    pub fn holders(&self, address: Ipv4Addr) -> Vec<(HostId, Timestamp)> {
        let inner = self.inner.lock();
        // One that was frozen is connected for a while and holds nothing any more.
        let lives = |words: &HostWords| words.connected && words.heard.elapsed() < SILENT;
        let newest = inner.newest(|words| lives(words).then_some(&words.holds));
        let held = newest.into_iter().filter_map(|(host, holds)| {
            let held = holds.iter().find(|held| held.address == address)?;
            Some((host.clone(), held.since))
        });
        held.collect()
    }
}
