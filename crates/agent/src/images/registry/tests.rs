//! Against a registry of the kind found outside: tokens, redirects to storage, wrong content.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use api::protocol::SecretValue;
use api::registry::Registry;
use http::Request;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::super::origin::Origins;
use super::*;

const MANIFEST: &[u8] = b"{\"schemaVersion\":2}";
const BLOB: &[u8] = b"the bytes of a layer";

async fn serve<F>(answer: F) -> SocketAddr
where
    F: Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let response = answer(&request);
                async move { Ok::<_, Infallible>(response) }
            });
            let builder = hyper::server::conn::http1::Builder::new();
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

fn response(status: u16, headers: &[(&str, String)], body: &'static [u8]) -> Response<Full<Bytes>> {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, value);
    }
    builder.body(Full::new(Bytes::from_static(body))).unwrap()
}

fn header(request: &Request<Incoming>, name: &str) -> String {
    let value = request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    value.unwrap_or_default()
}

/// A registry that wants a token, which wants user and password, and keeps blobs elsewhere.
async fn registry() -> Repository {
    pki::install_provider();
    let storage = serve(|request| {
        assert_eq!(header(request, "authorization"), "", "credentials went to another host");
        response(200, &[], BLOB)
    })
    .await;
    let tokens = serve(|request| {
        // ann:secret, RFC 7617.
        if header(request, "authorization") != "Basic YW5uOnNlY3JldA==" {
            return response(401, &[], b"who are you?");
        }
        let query = request.uri().query().unwrap_or_default();
        assert!(query.contains("scope=repository%3Ateam%2Fapp%3Apull"), "{query}");
        response(200, &[], b"{\"token\":\"t0ken\"}")
    })
    .await;
    let main = serve(move |request| {
        if header(request, "authorization") != "Bearer t0ken" {
            let challenge = format!("Bearer realm=\"http://{tokens}/token\",service=\"r\"");
            return response(401, &[("www-authenticate", challenge)], b"");
        }
        let path = request.uri().path();
        if path.contains("/manifests/") {
            let media = "application/vnd.oci.image.manifest.v1+json; charset=utf-8".to_owned();
            return response(200, &[("content-type", media)], MANIFEST);
        }
        if path.ends_with(&Digest::of(BLOB).to_string()) {
            return response(307, &[("location", format!("http://{storage}/b"))], b"");
        }
        response(404, &[], b"no such blob")
    })
    .await;
    let identity = {
        let now = jiff::Timestamp::now();
        let authority = pki::CertificateAuthority::create("test", now).unwrap();
        let host = authority.issue_host("host", now).unwrap();
        let authorities = pki::SwappableAuthorities::new(authority.bundle()).unwrap();
        (authorities, pki::SwappableIdentity::new(&host).unwrap())
    };
    let described = Registry {
        host: main.to_string(),
        username: Some("ann".into()),
        password: Some(SecretValue("secret".into())),
        ca_pem: None,
        proxy: None,
        plain_http: true,
    };
    let servers = tokio::sync::watch::channel(crate::link::Servers::default()).1;
    let origins = Origins::new(servers, &identity.0, identity.1, &clock::Clock::system()).unwrap();
    let origins = origins.with(&[described]).unwrap();
    Repository::new(origins.of(Some(&main.to_string())), "team/app")
}

#[tokio::test]
async fn a_token_is_fetched_and_redirects_are_followed_without_it() {
    let repository = registry().await;
    let (manifest, media) = repository.manifest(&Digest::of(MANIFEST)).await.unwrap();
    assert_eq!(manifest, MANIFEST);
    assert_eq!(media.as_deref(), Some("application/vnd.oci.image.manifest.v1+json"));
    assert_eq!(repository.document(&Digest::of(BLOB)).await.unwrap(), BLOB);
}

#[tokio::test]
async fn wrong_content_is_final_and_absence_is_not() {
    let repository = registry().await;
    let error = repository.manifest(&Digest::of(b"other")).await.unwrap_err();
    assert!(matches!(error, RegistryError::Digest { .. }), "{error}");
    assert!(!error.retryable());
    let error = repository.document(&Digest::of(b"absent")).await.unwrap_err();
    assert!(error.to_string().contains("404 Not Found: no such blob"), "{error}");
    assert!(error.retryable());
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_named() {
    let repository = registry().await;
    let gone = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        listener.local_addr().unwrap()
    };
    let mut origin = repository.origin.clone();
    origin.bases = vec![format!("http://{gone}")];
    let error = Repository::new(origin, "team/app").document(&Digest::of(BLOB)).await.unwrap_err();
    assert!(error.retryable());
    let told = crate::failure::told(&error);
    assert!(told.contains(&gone.to_string()) && told.contains("refused"), "{told}");
}
