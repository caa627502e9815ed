//! Writing documents: what is created must be absent, what is updated must be as it was read, and
//! all of one change happens at one revision or not at all.

use api::error::{ApiError, ErrorCode};
use store::document::Document;
use store::{Compare, Op, Revision, Store, StoreError, Txn};

use super::kind::Kind;
use super::view::Row;

/// Several writes that happen together.
#[derive(Debug, Default)]
#[must_use]
pub struct Change {
    txn: Txn,
    problem: Option<String>,
}

impl Change {
    /// A change of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a document that must not exist.
    pub fn create<K: Kind>(self, body: &K) -> Self {
        let key = body.key();
        let absent = Compare::absent(key);
        self.when(absent).write(&Document::new(&K::SCHEMA, body.clone()))
    }

    /// Changes a document that must be as it was read. The key stays.
    pub fn update<K: Kind>(self, row: &Row<K>, body: K) -> Self {
        let unchanged = Compare::unchanged_since(row.document.body.key(), row.revision);
        let mut document = row.document.clone();
        document.body = body;
        self.when(unchanged).write(&document)
    }

    /// Changes a document that was read, or makes it where none was.
    pub fn put<K: Kind>(self, row: Option<&Row<K>>, body: &K) -> Self {
        match row {
            Some(row) => self.update(row, body.clone()),
            None => self.create(body),
        }
    }

    /// Removes a document that must be as it was read.
    pub fn delete<K: Kind>(self, row: &Row<K>) -> Self {
        let key = row.document.body.key();
        let unchanged = Compare::unchanged_since(key.clone(), row.revision);
        self.when(unchanged).then(Op::delete(key))
    }

    /// Happens only if this holds.
    pub fn when(mut self, compare: Compare) -> Self {
        self.txn = self.txn.when(compare);
        self
    }

    /// Does this too.
    pub fn then(mut self, op: Op) -> Self {
        self.txn = self.txn.then(op);
        self
    }

    fn write<K: Kind>(mut self, document: &Document<K>) -> Self {
        match document.encode(&K::SCHEMA) {
            Ok(bytes) => self.txn = self.txn.then(Op::put(document.body.key(), bytes)),
            Err(error) => self.problem = Some(error.to_string()),
        }
        self
    }

    /// Writes it.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when something was not as it should be; then nothing was written.
    pub async fn commit(self, store: &dyn Store) -> Result<Revision, CommitError> {
        if let Some(problem) = self.problem {
            return Err(CommitError::Document(problem));
        }
        let answer = store.txn(self.txn).await?;
        if answer.succeeded { Ok(answer.revision) } else { Err(CommitError::Conflict) }
    }
}

/// Why a change was not written.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Something else changed first.
    #[error("write a change: a document it is based on has changed since it was read")]
    Conflict,
    /// A document can't be written by this version.
    #[error("write a change: {0}")]
    Document(String),
    /// The store refused or did not answer.
    #[error("write a change")]
    Store(#[from] StoreError),
}

impl From<CommitError> for ApiError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict => Self::new(ErrorCode::Conflict, error.to_string())
                .hint("somebody else changed it at the same time; look and try again"),
            CommitError::Document(_) => Self::new(ErrorCode::Internal, error.to_string()),
            CommitError::Store(error) => store_error(&error),
        }
    }
}

/// A store's error as the API answers it.
#[must_use]
pub fn store_error(error: &StoreError) -> ApiError {
    let code = match error {
        StoreError::RequestTooLarge { .. } | StoreError::KeyTooLong { .. } => ErrorCode::TooLarge,
        error if error.retryable() => ErrorCode::Unavailable,
        StoreError::DiskFull { .. } => ErrorCode::Unavailable,
        _ => ErrorCode::Internal,
    };
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    ApiError::new(code, text)
}
