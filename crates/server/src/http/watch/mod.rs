//! Changes as they happen, as server-sent events. A watch is the store's own watch translated:
//! what the store tells at one revision is told together, and a watcher that does not read is held
//! by the store's bound (1,000 events or 4 MiB), then told to list again.

mod feed;
mod instances;
mod kinds;
mod telling;

pub(super) use telling::stream;
