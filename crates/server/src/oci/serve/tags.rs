//! Lists: the catalog, tags, referrers.

use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::response::Response;
use image::Digest;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answer::{self, Refusal};
use super::{Call, Service};
use crate::oci::metadata::Referrer;
use crate::oci::page::{self, MAX_PAGE, Page};
use crate::oci::{Action, NameError, RegistryError, RepositoryName};

/// Most referrers of a page.
const MAX_REFERRERS: usize = 100;

/// Bytes of annotations after which a page of referrers ends. With the last manifest's own, under
/// 4 MiB, an answer stays under 6 MB.
const MAX_ANNOTATIONS: usize = 1024 * 1024;

/// Says that the list is filtered (OCI distribution specification, "Listing Referrers").
const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl Service {
    /// `/v2/_catalog`: the repositories that the asker may list.
    pub(super) async fn catalog(&self, call: &Call) -> Result<Response, Refusal> {
        readable(call)?;
        let page = call.page()?;
        let mut names: Vec<String> = Vec::new();
        let mut scan = Page { limit: MAX_PAGE, after: page.after.clone() };
        // One more than wanted says whether there is a next page.
        while names.len() <= page.limit && page.limit > 0 {
            let part = scan.clone();
            let mut found =
                self.registry.blocking(move |inner| inner.metadata.repositories(&part)).await?;
            let more = scan.cut(&mut found);
            if let Some(last) = found.last() {
                scan.after = last.to_string();
            }
            for repository in found {
                match self.allow(&call.asker, &repository, Action::List).await {
                    Ok(()) => names.push(repository.to_string()),
                    Err(refusal) if refusal.is_denial() => {}
                    Err(refusal) => return Err(refusal),
                }
            }
            if !more {
                break;
            }
        }
        let more = page.cut(&mut names);
        let last = names.last().filter(|_| more).cloned();
        let response = answer::json(json!({ "repositories": names }).to_string());
        Ok(linked(response, "/v2/_catalog", page.limit, last.as_deref(), ""))
    }

    /// `/v2/<name>/tags/list`
    pub(super) async fn tags(
        &self,
        call: &Call,
        repository: &RepositoryName,
    ) -> Result<Response, Refusal> {
        readable(call)?;
        self.allow(&call.asker, repository, Action::List).await?;
        let page = call.page()?;
        let (place, part) = (repository.clone(), page.clone());
        let found = self.registry.blocking(move |inner| inner.metadata.tags(&place, &part)).await?;
        let mut tags = found.ok_or_else(|| RegistryError::RepositoryUnknown(repository.clone()))?;
        let more = page.cut(&mut tags);
        let last = tags.last().filter(|_| more).cloned();
        let response =
            answer::json(json!({ "name": repository.as_str(), "tags": tags }).to_string());
        let path = format!("/v2/{repository}/tags/list");
        Ok(linked(response, &path, page.limit, last.as_deref(), ""))
    }

    /// `/v2/<name>/referrers/<digest>`: an index of what remarks on the digest, empty if nothing
    /// does or nobody knows it.
    pub(super) async fn referrers(
        &self,
        call: &Call,
        repository: &RepositoryName,
        digest: &str,
    ) -> Result<Response, Refusal> {
        readable(call)?;
        self.allow(&call.asker, repository, Action::Pull).await?;
        let parse = |text: &str| -> Result<Digest, RegistryError> {
            Ok(text.parse().map_err(NameError::Digest)?)
        };
        let subject = parse(digest)?;
        let after = call.parameter("last").map(parse).transpose()?;
        let limit = call.page()?.limit.clamp(1, MAX_REFERRERS);
        let kind = call.parameter("artifactType").map(str::to_owned);
        let (place, wanted) = (repository.clone(), kind.clone());
        let mut found = self
            .registry
            .blocking(move |inner| {
                let kind = wanted.as_deref();
                inner.metadata.referrers(&place, &subject, kind, after.as_ref(), limit + 1)
            })
            .await?;
        let more = cut_referrers(&mut found, limit);
        let last = found.last().filter(|_| more).map(|last| last.digest.to_string());
        let manifests = found.iter().map(descriptor).collect::<Vec<_>>().join(",");
        let index =
            format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{manifests}]}}"#);
        let mut response = answer::json(index);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(INDEX));
        let mut rest = String::new();
        if let Some(kind) = kind {
            response.headers_mut().insert(FILTERS, HeaderValue::from_static("artifactType"));
            rest = format!("&artifactType={}", escape(&kind));
        }
        let path = format!("/v2/{repository}/referrers/{subject}");
        Ok(linked(response, &path, limit, last.as_deref(), &rest))
    }
}

fn readable(call: &Call) -> Result<(), Refusal> {
    match call.method {
        Method::GET | Method::HEAD => Ok(()),
        ref other => Err(Refusal::method(other, "GET, HEAD")),
    }
}

/// Adds the way to the next page, if there is one.
fn linked(
    mut response: Response,
    path: &str,
    limit: usize,
    last: Option<&str>,
    rest: &str,
) -> Response {
    if let Some(last) = last
        && let Ok(link) = HeaderValue::from_str(&page::link(path, limit, last, rest))
    {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// Ends a page at its limit or where the annotations become too much; `true`: there are more.
fn cut_referrers(found: &mut Vec<Referrer>, limit: usize) -> bool {
    let mut bytes = 0;
    let fits = found.iter().take(limit).take_while(|referrer| {
        let before = bytes;
        bytes += referrer.annotations.as_ref().map_or(0, String::len);
        before < MAX_ANNOTATIONS
    });
    let keep = fits.count();
    let more = found.len() > keep;
    found.truncate(keep);
    more
}

/// A referrer as a descriptor, in JSON. Annotations are JSON already.
fn descriptor(referrer: &Referrer) -> String {
    let mut fields = serde_json::Map::new();
    fields.insert("mediaType".into(), referrer.media_type.clone().into());
    fields.insert("digest".into(), referrer.digest.to_string().into());
    fields.insert("size".into(), referrer.size.into());
    if let Some(kind) = &referrer.artifact_type {
        fields.insert("artifactType".into(), kind.clone().into());
    }
    let mut text = Value::Object(fields).to_string();
    let annotations = referrer.annotations.as_deref();
    if let Some(Ok(annotations)) = annotations.map(serde_json::from_str::<&RawValue>) {
        text.pop();
        text.push_str(",\"annotations\":");
        text.push_str(annotations.get());
        text.push('}');
    }
    text
}

/// Escapes all that is not plain in a query.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(b).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
