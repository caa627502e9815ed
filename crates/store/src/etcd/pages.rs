//! Pages of a range within the limits in bytes. etcd limits answers by keys alone, so a page is
//! read in parts, each as large as the ones before let expect.

use etcd_client::{GetOptions, GetResponse};

use super::convert::{key_value, revision, signed};
use super::endpoints::{Endpoints, Kind};
use super::failure::Failed;
use super::keyspace::Keyspace;
use crate::evaluate::PageBuilder;
use crate::limits::{MAX_PAGE_BYTES, MAX_PAGE_KEYS, MAX_REQUEST_BYTES};
use crate::{KeyRange, Page, Revision};

/// Keys of the first part: of the largest values, 16 × 1.5 MiB = 24 MiB.
const FIRST_PART: usize = 16;

/// Bytes of one answer: 16 of the largest values and the page they would be cut from, 64 MiB.
pub(super) const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

const _: () = assert!(FIRST_PART * MAX_REQUEST_BYTES < MAX_ANSWER_BYTES);

/// Reads one page.
pub(super) async fn page(
    endpoints: &Endpoints,
    keys: &Keyspace,
    range: &KeyRange,
    limit: usize,
    at: Option<Revision>,
) -> Result<Page, Failed> {
    let mut page = PageBuilder::new(limit);
    let wanted = if limit == 0 { MAX_PAGE_KEYS } else { limit.min(MAX_PAGE_KEYS) };
    let (mut rest, mut at, mut part) = (range.clone(), at, FIRST_PART);
    let mut current = Revision::ZERO;
    loop {
        // An empty rest asks for a key that never is: the revision is still told.
        let (start, end) = match rest.is_empty() {
            true => (keys.nothing(), Vec::new()),
            false => keys.range(&rest),
        };
        let count = part.min(wanted - page.kvs.len());
        let mut got = match ask(endpoints, start, end, count, at).await {
            Err(Failed::TooLarge(_)) if count > FIRST_PART => {
                part = FIRST_PART;
                continue;
            }
            answer => answer?,
        };
        current = current.max(revision(got.header()));
        at = at.filter(|at| *at != Revision::ZERO).or(Some(current));
        let more = got.more();
        let all = got.take_kvs().into_iter().filter_map(|kv| key_value(keys, kv));
        let mut bytes = 0;
        for kv in all {
            bytes += kv.size();
            if !page.push(kv) {
                return Ok(Page { kvs: page.kvs, more: true, revision: current });
            }
        }
        match page.kvs.last() {
            Some(last) if more && page.kvs.len() < wanted => rest = range.after(&last.key),
            _ => return Ok(Page { kvs: page.kvs, more, revision: current }),
        }
        part = (MAX_PAGE_BYTES / 2 / (bytes / count.max(1)).max(1)).clamp(FIRST_PART, 2_000);
    }
}

async fn ask(
    endpoints: &Endpoints,
    start: Vec<u8>,
    end: Vec<u8>,
    count: usize,
    at: Option<Revision>,
) -> Result<GetResponse, Failed> {
    let mut options = GetOptions::new().with_limit(signed(count as u64));
    if !end.is_empty() {
        options = options.with_range(end);
    }
    if let Some(at) = at {
        options = options.with_revision(signed(at.0));
    }
    let read = endpoints.call(Kind::Read, |client| {
        let (start, options) = (start.clone(), options.clone());
        let mut client = client.kv_client().max_decoding_message_size(MAX_ANSWER_BYTES);
        async move { client.get(start, Some(options)).await }
    });
    read.await
}
