//! Unfinished uploads in memory: who writes which, and the hash of what came so far. Everything
//! here can be lost: an upload is continued from its file, which is then hashed once more.

use std::collections::HashMap;
use std::sync::Arc;

use image::content::{Upload, UploadId};
use image::{ContentError, ContentStore, Digest};
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// What is known of an upload.
#[derive(Debug)]
pub(super) enum State {
    /// Nothing: it is read from its file.
    OnDisk,
    /// Its file is open.
    Open(Upload),
    /// The content is in its place, but linking it failed.
    Placed(Digest, u64),
}

/// The right to write an upload.
pub(super) struct Session {
    pub(super) id: UploadId,
    state: OwnedMutexGuard<State>,
}

/// All uploads that somebody wrote to since the start.
pub(super) struct Sessions {
    content: ContentStore,
    known: Mutex<HashMap<UploadId, Arc<tokio::sync::Mutex<State>>>>,
}

impl Sessions {
    pub(super) fn new(content: ContentStore) -> Self {
        Self { content, known: Mutex::default() }
    }

    /// Starts an upload. Blocks.
    pub(super) fn start(&self) -> Result<Session, ContentError> {
        let upload = self.content.start_upload()?;
        let id = upload.id();
        let state = Arc::new(tokio::sync::Mutex::new(State::Open(upload)));
        let guard = Arc::clone(&state).try_lock_owned().expect("nobody else knows the upload yet");
        self.known.lock().insert(id, state);
        Ok(Session { id, state: guard })
    }

    /// Takes the right to write an upload that exists according to the database. Blocks.
    pub(super) fn claim(&self, id: UploadId) -> Result<Session, ContentError> {
        let state = Arc::clone(
            self.known
                .lock()
                .entry(id)
                .or_insert_with(|| Arc::new(tokio::sync::Mutex::new(State::OnDisk))),
        );
        let mut guard = state.try_lock_owned().map_err(|_| ContentError::UploadBusy(id))?;
        if matches!(*guard, State::OnDisk) {
            match self.content.resume_upload(id) {
                Ok(upload) => *guard = State::Open(upload),
                Err(error) => {
                    self.forget(id);
                    return Err(error);
                }
            }
        }
        Ok(Session { id, state: guard })
    }

    /// Forgets an upload that is over.
    pub(super) fn forget(&self, id: UploadId) {
        self.known.lock().remove(&id);
    }

    /// Closes what nobody writes, so that it may be expired. The hashes are lost. Gives the number
    /// of uploads that somebody writes.
    pub(super) fn close_idle(&self, idle: impl Fn(UploadId) -> bool) {
        self.known.lock().retain(|id, state| {
            let placed = |state: &State| matches!(state, State::Placed(..));
            !idle(*id) || state.try_lock().map_or(true, |state| placed(&state))
        });
    }
}

impl Session {
    /// How many bytes came.
    pub(super) fn offset(&self) -> u64 {
        match &*self.state {
            State::OnDisk => 0,
            State::Open(upload) => upload.offset(),
            State::Placed(_, size) => *size,
        }
    }

    /// Adds bytes. Blocks.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), ContentError> {
        match &mut *self.state {
            State::Open(upload) => upload.append(bytes),
            State::Placed(..) if bytes.is_empty() => Ok(()),
            State::OnDisk | State::Placed(..) => Err(ContentError::NoUpload(self.id)),
        }
    }

    /// Makes what came survive a power failure. Blocks.
    pub(super) fn sync(&self) -> Result<(), ContentError> {
        match &*self.state {
            State::Open(upload) => upload.sync(),
            State::OnDisk | State::Placed(..) => Ok(()),
        }
    }

    /// Puts the content in its place if it is that of `digest`. The caller holds the digest's lock
    /// until it is linked; if that fails, this may be called again. Blocks.
    pub(super) fn place(
        &mut self,
        content: &ContentStore,
        digest: &Digest,
    ) -> Result<(), ContentError> {
        match std::mem::replace(&mut *self.state, State::OnDisk) {
            State::Open(upload) => {
                // A failure that is not a mismatch keeps the upload's file, to be opened again.
                let size = upload.finish(digest)?.size;
                *self.state = State::Placed(*digest, size);
                Ok(())
            }
            State::Placed(found, size) => {
                *self.state = State::Placed(found, size);
                if found != *digest {
                    let expected = *digest;
                    return Err(ContentError::Mismatch { expected, found, length: size });
                }
                // It may have been swept since: nothing linked it.
                if content.has(digest)? { Ok(()) } else { Err(ContentError::NoUpload(self.id)) }
            }
            State::OnDisk => Err(ContentError::NoUpload(self.id)),
        }
    }

    /// Removes what came. Blocks.
    pub(super) fn cancel(mut self) -> Result<(), ContentError> {
        match std::mem::replace(&mut *self.state, State::OnDisk) {
            State::Open(upload) => upload.cancel(),
            State::OnDisk | State::Placed(..) => Ok(()),
        }
    }
}
