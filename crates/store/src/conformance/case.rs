//! The list of cases, and running them.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{history, leases, transactions, watches};
use crate::Store;

/// One thing a backend must do.
pub struct Case {
    /// Which.
    pub name: &'static str,
    run: fn(Arc<dyn Store>) -> BoxFuture<'static, ()>,
}

impl Case {
    /// Runs it on an empty store.
    pub async fn run(&self, store: Arc<dyn Store>) {
        (self.run)(store).await;
    }
}

macro_rules! cases {
    ($($module:ident :: $name:ident),* $(,)?) => {
        [$(Case { name: stringify!($name), run: |store| Box::pin($module::$name(store)) }),*]
    };
}

/// Every case.
#[must_use]
pub fn cases() -> Vec<Case> {
    cases![
        transactions::one_revision_each,
        transactions::compares_decide,
        transactions::absent_keys_compare_as_zero,
        transactions::reads_see_writes_before_them,
        transactions::nothing_changed_makes_no_revision,
        transactions::a_key_is_written_once,
        transactions::limits_refuse,
        transactions::many_writers_of_one_counter,
        history::the_past_can_be_read,
        history::pages_cover_a_range,
        history::any_bytes_are_keys,
        history::compaction_forgets,
        history::status_tells,
        watches::past_and_present_without_gap,
        watches::only_what_is_asked_for,
        watches::progress_is_told,
        watches::compacted_history_ends_a_watch,
        watches::a_slow_reader_is_cut_off,
        watches::another_identity_ends_watches,
        leases::keys_go_with_a_revoked_lease,
        leases::keys_go_with_an_expired_lease,
        leases::a_put_moves_a_key_between_leases,
        leases::unknown_leases_are_refused,
    ]
    .into()
}

/// Runs every case, each on a store of its own.
pub async fn suite<F: Future<Output = Arc<dyn Store>>>(make: impl Fn() -> F) {
    for case in cases() {
        eprintln!("conformance: {}", case.name);
        case.run(make().await).await;
    }
}
