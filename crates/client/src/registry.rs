//! The image registry's raw calls (OCI distribution spec 1.1): blobs and manifests, pushed and
//! pulled piece by piece, going on where a broken connection left off. Checking digests is the
//! caller's work on the way down and the server's on the way up.

use api::digest::Digest;
use api::error::{ApiError, ErrorCode};
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite, AsyncWriteExt};

use crate::call::{Answer, Call, Client, Opened, code_of};
use crate::error::{ClientError, Unreached};

/// Bytes sent at a time: what is lost and sent again when a connection breaks.
const CHUNK: usize = 4 << 20;

/// Tries to go on without getting anywhere before giving up.
const STUCK: usize = 5;

/// Media types of manifests and indexes, OCI's and Docker's.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// A manifest or index as stored: its bytes are what its digest is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its media type.
    pub media_type: String,
    /// Its digest, as the server says.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Bytes,
}

/// One repository of the cluster's registry.
#[derive(Debug, Clone)]
pub struct Registry {
    client: Client,
    repository: String,
}

#[derive(Deserialize)]
struct OciErrors {
    errors: Vec<OciError>,
}

#[derive(Deserialize)]
struct OciError {
    code: String,
    #[serde(default)]
    message: String,
}

/// What a registry's refusal says.
fn refused(status: StatusCode, body: &[u8], what: &str) -> ClientError {
    if let Ok(error) = serde_json::from_slice::<ApiError>(body) {
        return ClientError::Api(error);
    }
    let said = match serde_json::from_slice::<OciErrors>(body) {
        Ok(OciErrors { errors }) if !errors.is_empty() => {
            let texts = errors.iter().map(|error| match error.message.as_str() {
                "" => error.code.clone(),
                message => message.to_owned(),
            });
            texts.collect::<Vec<_>>().join("; ")
        }
        _ => status.to_string(),
    };
    let code = match status.as_u16() {
        // The spec's answer to a body whose digest is another, and to other bad input.
        400 | 416 => ErrorCode::Invalid,
        _ => code_of(status),
    };
    ClientError::Api(ApiError::new(code, format!("{what}: {said}")))
}

impl Client {
    /// A repository of the cluster's registry.
    #[must_use]
    pub fn registry(&self, repository: &str) -> Registry {
        Registry { client: self.clone(), repository: repository.to_owned() }
    }
}

impl Registry {
    fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.repository)
    }

    async fn expect(&self, call: &Call, what: &str) -> Result<Answer, ClientError> {
        let answer = self.client.fetch(call).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(refused(answer.status, &answer.body, what))
    }

    /// The size of a blob in bytes; none when the repository has none with this digest.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, ClientError> {
        let call = Call::new(Method::HEAD, self.path(&format!("blobs/{digest}")));
        let answer = self.client.fetch(&call).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => {
                Ok(Some(number(&answer.headers, CONTENT_LENGTH.as_str())))
            }
            status => Err(refused(status, &answer.body, &format!("look for blob {digest}"))),
        }
    }

    /// Makes a blob of another repository known in this one; says whether that was possible.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn mount_blob(&self, digest: &Digest, from: &str) -> Result<bool, ClientError> {
        let path = self.path(&format!("blobs/uploads/?mount={digest}&from={from}"));
        let call = Call::new(Method::POST, path).safe_again();
        let answer = self.expect(&call, &format!("mount blob {digest} from {from}")).await?;
        if answer.status == StatusCode::CREATED {
            return Ok(true);
        }
        // Not possible: the server began an upload instead, which nobody will go on with.
        if let Ok(place) = place(&answer) {
            let cancelled = self.client.fetch(&Call::new(Method::DELETE, place)).await;
            tracing::debug!(done = cancelled.is_ok(), "an upload that is not needed was ended");
        }
        Ok(false)
    }

    /// Sends a blob of `size` bytes from the start of `source`, unless the repository has it.
    /// `progress` hears how many bytes the server has.
    ///
    /// # Errors
    /// When the source can't be read, or the server refuses; `digest_invalid` when the bytes are
    /// not what the digest says.
    pub async fn push_blob<R: AsyncRead + AsyncSeek + Unpin>(
        &self,
        digest: &Digest,
        size: u64,
        source: &mut R,
        mut progress: impl FnMut(u64),
    ) -> Result<(), ClientError> {
        if self.blob_size(digest).await?.is_some() {
            progress(size);
            return Ok(());
        }
        let what = format!("push blob {digest}");
        let start = Call::new(Method::POST, self.path("blobs/uploads/")).safe_again();
        let mut upload = place(&self.expect(&start, &what).await?)?;
        let (mut sent, mut stuck) = (0_u64, 0);
        while sent < size {
            let mut gap = false;
            let chunk = read_chunk(source, sent, size).await?;
            let end = sent + chunk.len() as u64;
            let call = Call::new(Method::PATCH, upload.clone())
                .header(CONTENT_RANGE, &format!("{sent}-{}", end - 1))
                .body("application/octet-stream", chunk);
            match self.client.fetch(&call).await {
                Ok(answer) if answer.status.is_success() => {
                    upload = place(&answer)?;
                    (sent, stuck) = (end, 0);
                    progress(sent);
                    continue;
                }
                Ok(answer) if answer.status == StatusCode::RANGE_NOT_SATISFIABLE => gap = true,
                Ok(answer) if code_of(answer.status) == ErrorCode::Unavailable && stuck < STUCK => {
                }
                Ok(answer) => return Err(refused(answer.status, &answer.body, &what)),
                Err(ClientError::Lost(_) | ClientError::Unreachable(_)) if stuck < STUCK => {}
                Err(error) => return Err(error),
            }
            // Ask how far it came, and go on there.
            stuck += 1;
            tokio::time::sleep(std::time::Duration::from_millis(100) * stuck as u32).await;
            let status = match self.expect(&Call::new(Method::GET, upload.clone()), &what).await {
                Ok(status) => status,
                Err(ClientError::Unreachable(_)) if stuck < STUCK => continue,
                Err(error) => return Err(error),
            };
            let has = received(&status.headers, gap && sent == 0);
            if has > sent {
                stuck = 0;
            }
            sent = has.min(size);
            progress(sent);
            if stuck > STUCK {
                let text = format!("{what}: the server does not get beyond {sent} bytes");
                return Err(ClientError::Api(ApiError::new(ErrorCode::Unavailable, text)));
            }
        }
        self.finish(&upload, digest, &what).await
    }

    async fn finish(&self, upload: &str, digest: &Digest, what: &str) -> Result<(), ClientError> {
        let separator = if upload.contains('?') { '&' } else { '?' };
        let call = Call::new(Method::PUT, format!("{upload}{separator}digest={digest}"));
        let answer = self.client.fetch(&call).await?;
        let done_before = answer.repeated && answer.status == StatusCode::NOT_FOUND;
        if answer.status.is_success() {
            return Ok(());
        }
        if done_before && self.blob_size(digest).await?.is_some() {
            return Ok(());
        }
        Err(refused(answer.status, &answer.body, what))
    }

    /// Fetches a blob into `sink`, going on where a broken connection left off; gives its size in
    /// bytes. `progress` hears how many have been written. The caller checks the digest.
    ///
    /// # Errors
    /// When there is no such blob, or the sink fails.
    pub async fn pull_blob<W: AsyncWrite + Unpin>(
        &self,
        digest: &Digest,
        sink: &mut W,
        mut progress: impl FnMut(u64),
    ) -> Result<u64, ClientError> {
        let (mut written, mut stuck) = (0_u64, 0);
        loop {
            let mut call = Call::new(Method::GET, self.path(&format!("blobs/{digest}")));
            if written > 0 {
                call = call.header(RANGE, &format!("bytes={written}-"));
            }
            let opened = self.client.open(&call).await?;
            if written > 0 && opened.response.status() != StatusCode::PARTIAL_CONTENT {
                let text = format!("go on with blob {digest}: the server sends it from the start");
                return Err(ClientError::Api(ApiError::new(ErrorCode::Unavailable, text)));
            }
            let before = written;
            match copy(opened, sink, &mut written, &mut progress).await {
                Ok(()) => break,
                Err(ClientError::Lost(lost)) => {
                    stuck = if written > before { 0 } else { stuck + 1 };
                    if stuck > STUCK {
                        return Err(ClientError::Lost(lost));
                    }
                    tracing::debug!(%lost, written, "a blob broke off");
                }
                Err(error) => return Err(error),
            }
        }
        let flushed = sink.flush().await;
        flushed.map_err(|cause| ClientError::Io { what: format!("write blob {digest}"), cause })?;
        Ok(written)
    }

    /// A manifest or index by tag or digest; none when there is none.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn manifest(&self, reference: &str) -> Result<Option<Manifest>, ClientError> {
        let call = Call::new(Method::GET, self.path(&format!("manifests/{reference}")))
            .header(ACCEPT, MANIFESTS);
        let answer = self.client.fetch(&call).await?;
        let what = format!("get manifest {}:{reference}", self.repository);
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(refused(answer.status, &answer.body, &what));
        }
        let digest = digest_of(&answer, &what)?;
        let media_type = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.unwrap_or_default().to_owned();
        Ok(Some(Manifest { media_type, digest, bytes: answer.body }))
    }

    /// Puts a manifest or index under a tag or its digest; everything it refers to must be there.
    /// Gives its digest, and what the server warns of: that few servers have the image.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn push_manifest(
        &self,
        reference: &str,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<(Digest, Option<String>), ClientError> {
        let call = Call::new(Method::PUT, self.path(&format!("manifests/{reference}")))
            .body(media_type, bytes);
        let what = format!("push manifest {}:{reference}", self.repository);
        let answer = self.expect(&call, &what).await?;
        let warning = answer.headers.get("warning").and_then(|value| value.to_str().ok());
        let warning = warning.and_then(|text| text.split('"').nth(1)).map(str::to_owned);
        Ok((digest_of(&answer, &what)?, warning))
    }
}

/// Reads what is sent next.
async fn read_chunk<R: AsyncRead + AsyncSeek + Unpin>(
    source: &mut R,
    at: u64,
    size: u64,
) -> Result<Bytes, ClientError> {
    let failed = |cause| ClientError::Io { what: "read the blob to push".into(), cause };
    source.seek(std::io::SeekFrom::Start(at)).await.map_err(failed)?;
    let want = usize::try_from(size - at).unwrap_or(usize::MAX).min(CHUNK);
    let mut chunk = BytesMut::zeroed(want);
    source.read_exact(&mut chunk).await.map_err(failed)?;
    Ok(chunk.freeze())
}

async fn copy<W: AsyncWrite + Unpin>(
    opened: Opened,
    sink: &mut W,
    written: &mut u64,
    progress: &mut impl FnMut(u64),
) -> Result<(), ClientError> {
    let address = opened.address;
    let mut body = opened.response.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let cause = error.to_string();
            ClientError::Lost(Unreached { address: address.clone(), cause })
        })?;
        if let Ok(data) = frame.into_data() {
            let wrote = sink.write_all(&data).await;
            wrote.map_err(|cause| ClientError::Io { what: "write a blob".into(), cause })?;
            *written += data.len() as u64;
            progress(*written);
        }
    }
    Ok(())
}

/// Where an upload goes on: path and query of the `Location`.
fn place(answer: &Answer) -> Result<String, ClientError> {
    let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let uri = location.and_then(|text| text.parse::<http::Uri>().ok());
    let path = uri.as_ref().and_then(|uri| uri.path_and_query());
    path.map(ToString::to_string).ok_or_else(|| ClientError::Answer {
        address: answer.address.clone(),
        what: "an upload".into(),
        reason: "it does not say where to go on".into(),
    })
}

fn digest_of(answer: &Answer, what: &str) -> Result<Digest, ClientError> {
    let header = answer.headers.get("docker-content-digest").and_then(|v| v.to_str().ok());
    header.and_then(|text| text.parse().ok()).ok_or_else(|| ClientError::Answer {
        address: answer.address.clone(),
        what: what.to_owned(),
        reason: "it names no digest".into(),
    })
}

/// How many bytes of an upload the server has: `Range: 0-LAST`. One byte and none look alike there
/// (`0-0`): none is assumed unless the server has just refused to begin at none.
fn received(headers: &HeaderMap, refused_none: bool) -> u64 {
    let range = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let range = range.map(|range| range.strip_prefix("bytes=").unwrap_or(range));
    let last =
        range.and_then(|range| range.split_once('-')).and_then(|(_, last)| last.parse().ok());
    match last {
        Some(0) if refused_none => 1,
        None | Some(0) => 0,
        Some(last) => u64::saturating_add(last, 1),
    }
}

fn number(headers: &HeaderMap, name: &str) -> u64 {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.and_then(|text| text.parse().ok()).unwrap_or(0)
}
