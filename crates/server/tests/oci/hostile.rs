//! Input made to break things.

use axum::body::Body;
use axum::http::{Method, Uri};
use image::Digest;
use proptest::prelude::*;
use serde_json::json;

use crate::world::{MANIFEST, World, descriptor, manifest};

#[tokio::test]
async fn huge_manifests_are_refused() {
    let world = World::new();
    let limit = 4 << 20;
    let mut image = manifest(&[]);
    world.blob("a", b"{}").await;
    image["annotations"] = json!({ "pad": "" });
    let bare = image.to_string().len();
    image["annotations"] = json!({ "pad": "x".repeat(limit - bare) });
    assert_eq!(image.to_string().len(), limit);
    world.put("a", "fits", &image).await.1.expect(201);
    image["annotations"] = json!({ "pad": "x".repeat(limit - bare + 1) });
    world.put("a", "large", &image).await.1.refused(413, "SIZE_INVALID");
    // Without end: refused long before it ends.
    let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 65_536]));
    let body = Body::from_stream(endless);
    let headers = [("content-type", MANIFEST)];
    let answer = world.call(Method::PUT, "/v2/a/manifests/endless", &headers, body).await;
    answer.refused(413, "SIZE_INVALID");
    let layers = vec![descriptor("application/vnd.oci.image.layer.v1.tar", b"{}"); 129];
    image = manifest(&[]);
    image["layers"] = json!(layers);
    world.put("a", "deep", &image).await.1.refused(400, "MANIFEST_INVALID");
}

#[tokio::test]
async fn malformed_manifests_are_refused() {
    let world = World::new();
    world.blob("a", b"{}").await;
    let good = manifest(&[]);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let mut bad_digest = good.clone();
    bad_digest["config"]["digest"] = json!("sha256:../../etc/passwd");
    let mut both = good.clone();
    both["manifests"] = json!([]);
    let mut negative = good.clone();
    negative["config"]["size"] = json!(-1);
    let texts = [
        String::new(),
        "null".into(),
        "[]".into(),
        "{".into(),
        "\0\u{1}".into(),
        deep,
        bad_digest.to_string(),
        both.to_string(),
        negative.to_string(),
        good.to_string().replace("\"schemaVersion\":2", "\"schemaVersion\":3"),
    ];
    for text in texts {
        let shown: String = text.chars().take(80).collect();
        let answer = world.call(Method::PUT, "/v2/a/manifests/v1", &[], text).await;
        assert_eq!(answer.status.as_u16(), 400, "{shown}");
        assert!(
            ["MANIFEST_INVALID", "DIGEST_INVALID"].contains(&answer.code().as_str()),
            "{shown}"
        );
    }
    world.get("/v2/a/manifests/v1").await.expect(404);
}

#[tokio::test]
async fn nothing_outside_the_directory_is_reached() {
    let world = World::new();
    std::fs::write(world.dir.path().join("secret"), "secret").unwrap();
    let id = "00000000-0000-7000-8000-000000000000";
    std::fs::write(world.dir.path().join("content/uploads").join(id), "somebody's").unwrap();
    for path in [
        "/v2/../secret",
        "/v2/a/blobs/../../secret",
        "/v2/a/blobs/sha256:../../../secret",
        "/v2/a/blobs/uploads/../../secret",
        "/v2/a/blobs/uploads/..%2F..%2Fsecret",
        "/v2/a/manifests/..",
        "/v2/a/manifests/%2e%2e",
        "/v2/a%00/tags/list",
        // An upload that nobody here started.
        &format!("/v2/a/blobs/uploads/{id}"),
    ] {
        for method in [Method::GET, Method::PATCH, Method::DELETE] {
            let answer = world.call(method.clone(), path, &[], "x").await;
            let status = answer.status.as_u16();
            assert!([400, 404, 405].contains(&status), "{method} {path}: {status}");
        }
    }
    assert_eq!(std::fs::read(world.dir.path().join("secret")).unwrap(), b"secret");
    let upload = world.dir.path().join("content/uploads").join(id);
    assert_eq!(std::fs::read(upload).unwrap(), b"somebody's");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// No request brings the registry down, and every refusal is in the specification's form.
    #[test]
    fn any_request_is_answered(
        method in prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
        path in "/v2/[a-zA-Z0-9_./:%-]{0,40}(/blobs/|/manifests/|/tags/list|/referrers/)?\
                 (uploads/)?[a-z0-9:%.-]{0,20}",
        query in "(\\?[a-z&=%0-9:]{0,30})?",
        range in "[ -~]{0,20}",
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let uri = format!("{path}{query}");
        prop_assume!(uri.parse::<Uri>().is_ok());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let headers = [("range", range.as_str()), ("content-range", range.as_str())];
            let answer = world.call(method.parse().unwrap(), &uri, &headers, body).await;
            assert!(!answer.status.is_server_error(), "{}", answer.status);
            if answer.status.is_client_error() && method != "HEAD" {
                assert!(!answer.code().is_empty(), "{}", answer.json());
            }
        });
    }
}

#[tokio::test]
async fn rotten_content_is_not_handed_out_as_a_manifest() {
    let world = World::new();
    let digest = world.image("a", "v1", &[b"layer"]).await;
    std::fs::write(world.registry.content().path(&digest), "{\"rotten\":true}").unwrap();
    let text = world.get("/v2/a/manifests/v1").await.refused(500, "UNKNOWN").body;
    assert!(String::from_utf8(text).unwrap().contains("hint: delete and push it"));
    // Pushing again heals it.
    world.image("a", "v1", &[b"layer"]).await;
    world.get("/v2/a/manifests/v1").await.expect(200);
    // A lost blob is as if it were not there, so that clients push it again.
    let blob = Digest::of(b"layer");
    std::fs::remove_file(world.registry.content().path(&blob)).unwrap();
    let head = world.call(Method::HEAD, &format!("/v2/a/blobs/{blob}"), &[], "").await;
    head.expect(404);
    let report = world.registry.gc(&*world.uses).await.unwrap();
    assert_eq!(report.missing, [blob]);
    world.blob("a", b"layer").await;
    assert!(world.registry.gc(&*world.uses).await.unwrap().missing.is_empty());
}
