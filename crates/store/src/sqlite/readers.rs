//! A few connections that only read, lent to blocking tasks.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::failure::internal;
use super::open::open_reader;
use super::read;
use crate::hub::{History, Replay};
use crate::{KeyRange, Revision, StoreError};

/// Reads at once. Each holds a connection with SQLite's default page cache of 2 MB, so 8 MB.
const READERS: u32 = 4;

pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        let turns = Arc::new(Semaphore::new(READERS as usize));
        Self { path, idle: Arc::default(), turns }
    }

    /// Runs `read` on a connection of its own, off the runtime's threads.
    pub(super) async fn run<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let turns = Arc::clone(&self.turns);
        let turn = turns.acquire_owned().await.map_err(|_| StoreError::closed())?;
        let (path, idle) = (self.path.clone(), Arc::clone(&self.idle));
        let work = move || {
            let _turn = turn;
            let lent = idle.lock().pop();
            let mut conn = match lent {
                Some(conn) => conn,
                None => open_reader(&path)?,
            };
            let answer = read(&mut conn);
            // One that met an engine's error is not used again.
            if !matches!(&answer, Err(error) if error.is_engine()) {
                idle.lock().push(conn);
            }
            answer
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| internal("run a read", error))?
    }

    /// Waits for reads under way, closes their connections and refuses further ones.
    pub(super) async fn close(&self) {
        let all = self.turns.acquire_many(READERS).await;
        self.turns.close();
        drop(all);
        self.idle.lock().clear();
    }
}

#[async_trait]
impl History for Readers {
    async fn replay(
        &self,
        range: &KeyRange,
        from: Revision,
        to: Revision,
    ) -> Result<Replay, StoreError> {
        let range = range.clone();
        self.run(move |conn| read::replay(conn, &range, from, to)).await
    }
}
