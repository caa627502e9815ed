//! Where keys stand in etcd: ours under one prefix, the backend's own beside those of users.

use bytes::Bytes;

use crate::KeyRange;

#[derive(Clone, Debug)]
pub(super) struct Keyspace {
    prefix: Vec<u8>,
    data: Vec<u8>,
}

impl Keyspace {
    pub(super) fn new(prefix: &str) -> Self {
        let prefix = prefix.as_bytes().to_vec();
        Self { data: [&prefix[..], b"d/"].concat(), prefix }
    }

    /// Names the history; see [`Identity`](crate::Identity).
    pub(super) fn identity(&self) -> Vec<u8> {
        [&self.prefix[..], b"m/identity"].concat()
    }

    /// Written at each opening, so that where the store stands then is an event of ours.
    pub(super) fn opened(&self) -> Vec<u8> {
        [&self.prefix[..], b"m/opened"].concat()
    }

    /// Stands for keys that cannot be: never written.
    pub(super) fn nothing(&self) -> Vec<u8> {
        [&self.prefix[..], b"m/nothing"].concat()
    }

    /// All of ours, the backend's own keys included.
    pub(super) fn everything(&self) -> (Vec<u8>, Vec<u8>) {
        bounds(&KeyRange::prefix(self.prefix.clone()))
    }

    pub(super) fn key(&self, key: &[u8]) -> Vec<u8> {
        [&self.data[..], key].concat()
    }

    /// First key and end of a range that holds something.
    pub(super) fn range(&self, range: &KeyRange) -> (Vec<u8>, Vec<u8>) {
        let end = match &range.end {
            Some(end) => self.key(end),
            None => bounds(&KeyRange::prefix(self.data.clone())).1,
        };
        (self.key(&range.start), end)
    }

    /// The user's key, or none for one of the backend's own.
    pub(super) fn strip(&self, key: Vec<u8>) -> Option<Bytes> {
        let key = Bytes::from(key);
        key.starts_with(&self.data).then(|| key.slice(self.data.len()..))
    }
}

/// etcd writes "to the very last key" as a zero byte.
fn bounds(range: &KeyRange) -> (Vec<u8>, Vec<u8>) {
    let end = range.end.as_ref().map_or_else(|| vec![0], |end| end.to_vec());
    (range.start.to_vec(), end)
}
