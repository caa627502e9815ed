//! The specification's endpoints, with their codes.

use axum::body::Body;
use axum::http::{Method, Request};
use image::Digest;
use serde_json::json;
use server::oci::PeerHost;

use crate::world::{INDEX, MANIFEST, World, descriptor, manifest, noise};

/// Method, path, status, code. `DIGEST` is a blob of `a/b`, `NONE` nothing, `UPLOAD` an upload to
/// `a/b`, `OTHER` the same upload under another repository.
const TABLE: &[(&str, &str, u16, &str)] = &[
    ("GET", "/v2", 200, ""),
    ("GET", "/v2/", 200, ""),
    ("POST", "/v2/", 405, "UNSUPPORTED"),
    ("GET", "/v2/a/b/nothing/x", 404, "UNSUPPORTED"),
    ("GET", "/v2/A/manifests/v1", 400, "NAME_INVALID"),
    ("GET", "/v2/a/../b/manifests/v1", 400, "NAME_INVALID"),
    ("GET", "/v2/a%2Fb/manifests/v1", 400, "NAME_INVALID"),
    ("GET", "/v2/a/b/blobs/DIGEST", 200, ""),
    ("HEAD", "/v2/a/b/blobs/DIGEST", 200, ""),
    ("GET", "/v2/a/b/blobs/NONE", 404, "BLOB_UNKNOWN"),
    ("HEAD", "/v2/a/b/blobs/NONE", 404, ""),
    ("GET", "/v2/other/blobs/DIGEST", 404, "BLOB_UNKNOWN"),
    ("GET", "/v2/a/b/blobs/sha256:12", 400, "DIGEST_INVALID"),
    ("GET", "/v2/a/b/blobs/SHA512", 400, "DIGEST_INVALID"),
    ("PUT", "/v2/a/b/blobs/DIGEST", 405, "UNSUPPORTED"),
    ("DELETE", "/v2/a/b/blobs/NONE", 404, "BLOB_UNKNOWN"),
    ("DELETE", "/v2/a/b/blobs/DIGEST", 403, "DENIED"),
    ("GET", "/v2/a/b/blobs/uploads/", 405, "UNSUPPORTED"),
    ("POST", "/v2/a/b/blobs/uploads/?digest=x", 400, "DIGEST_INVALID"),
    ("POST", "/v2/a/b/blobs/uploads/?digest=NONE", 400, "DIGEST_INVALID"),
    ("POST", "/v2/a/b/blobs/uploads/?mount=x&from=a/b", 202, ""),
    ("POST", "/v2/a/b/blobs/uploads/?mount=NONE&from=a/b", 202, ""),
    ("POST", "/v2/a/b/blobs/uploads/?mount=DIGEST&from=../x", 202, ""),
    ("POST", "/v2/a/b/blobs/uploads/?mount=DIGEST", 202, ""),
    ("POST", "/v2/c/blobs/uploads/?mount=DIGEST&from=a/b", 201, ""),
    ("GET", "UPLOAD", 204, ""),
    ("GET", "OTHER", 404, "BLOB_UPLOAD_UNKNOWN"),
    ("GET", "/v2/a/b/blobs/uploads/nonsense", 404, "BLOB_UPLOAD_UNKNOWN"),
    ("POST", "UPLOAD", 405, "UNSUPPORTED"),
    ("PUT", "UPLOAD", 400, "DIGEST_INVALID"),
    ("PUT", "UPLOAD?digest=sha256:1", 400, "DIGEST_INVALID"),
    ("DELETE", "UPLOAD", 204, ""),
    ("DELETE", "UPLOAD", 404, "BLOB_UPLOAD_UNKNOWN"),
    ("PATCH", "UPLOAD", 404, "BLOB_UPLOAD_UNKNOWN"),
    ("GET", "/v2/a/b/manifests/v1", 200, ""),
    ("HEAD", "/v2/a/b/manifests/v1", 200, ""),
    ("GET", "/v2/a/b/manifests/v2", 404, "MANIFEST_UNKNOWN"),
    ("GET", "/v2/none/manifests/v1", 404, "MANIFEST_UNKNOWN"),
    ("GET", "/v2/a/b/manifests/.x", 400, "TAG_INVALID"),
    ("GET", "/v2/a/b/manifests/DIGEST", 404, "MANIFEST_UNKNOWN"),
    ("PUT", "/v2/a/b/manifests/v1", 400, "MANIFEST_INVALID"),
    ("POST", "/v2/a/b/manifests/v1", 405, "UNSUPPORTED"),
    ("DELETE", "/v2/a/b/manifests/v2", 404, "MANIFEST_UNKNOWN"),
    ("DELETE", "/v2/a/b/manifests/NONE", 404, "MANIFEST_UNKNOWN"),
    ("GET", "/v2/a/b/tags/list", 200, ""),
    ("GET", "/v2/a/b/tags/list?n=x", 400, "PAGINATION_NUMBER_INVALID"),
    ("GET", "/v2/none/tags/list", 404, "NAME_UNKNOWN"),
    ("DELETE", "/v2/a/b/tags/list", 405, "UNSUPPORTED"),
    ("GET", "/v2/a/b/referrers/NONE", 200, ""),
    ("GET", "/v2/none/referrers/NONE", 200, ""),
    ("GET", "/v2/a/b/referrers/x", 400, "DIGEST_INVALID"),
    ("GET", "/v2/_catalog", 200, ""),
    ("PUT", "/v2/_catalog", 405, "UNSUPPORTED"),
];

#[tokio::test]
async fn every_endpoint_refuses_what_it_must() {
    let world = World::new();
    world.image("a/b", "v1", &[b"layer"]).await;
    let (known, none) = (Digest::of(b"layer"), Digest::of(b"none"));
    let upload = world.call(Method::POST, "/v2/a/b/blobs/uploads/", &[], "").await.expect(202);
    let upload = upload.header("location").to_owned();
    let other = upload.replace("/a/b/", "/other/");
    let sha512 = format!("sha512:{}", "0".repeat(128));
    for (method, path, status, code) in TABLE {
        let path = path
            .replace("UPLOAD", &upload)
            .replace("OTHER", &other)
            .replace("SHA512", &sha512)
            .replace("DIGEST", &known.to_string())
            .replace("NONE", &none.to_string());
        let method: Method = method.parse().unwrap();
        let answer = world.call(method.clone(), &path, &[], "").await;
        assert_eq!(answer.status.as_u16(), *status, "{method} {path}");
        assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
        if !code.is_empty() && method != Method::HEAD {
            assert_eq!(answer.code(), *code, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn nothing_is_told_to_strangers() {
    let world = World::new();
    world.image("retail/shop", "v1", &[b"layer"]).await;
    world.image("other/app", "v1", &[b"layer two"]).await;
    let ask = async |method: Method, path: &str, authorization: &str| {
        world.call(method, path, &[("authorization", authorization)], Body::empty()).await
    };
    for path in ["/v2/", "/v2/retail/shop/manifests/v1", "/v2/_catalog", "/v2/A/manifests/v1"] {
        for stranger in ["", "Bearer wrong", "Basic !!", "Digest x", "Basic dTp3cm9uZw=="] {
            let answer = ask(Method::GET, path, stranger).await.refused(401, "UNAUTHORIZED");
            assert!(answer.header("www-authenticate").starts_with("Basic realm=\"freehold\""));
        }
    }
    // base64 of "anybody:admin".
    ask(Method::GET, "/v2/", "Basic YW55Ym9keTphZG1pbg==").await.expect(200);
    ask(Method::GET, "/v2/", "Bearer down").await.refused(503, "UNAVAILABLE");
    ask(Method::GET, "/v2/retail/shop/manifests/v1", "Bearer reader").await.expect(200);
    ask(Method::PUT, "/v2/retail/shop/manifests/v1", "Bearer reader").await.refused(403, "DENIED");
    ask(Method::DELETE, "/v2/retail/shop/manifests/v1", "Bearer reader")
        .await
        .refused(403, "DENIED");
    ask(Method::GET, "/v2/other/app/tags/list", "Bearer retail").await.refused(403, "DENIED");
    let catalog = ask(Method::GET, "/v2/_catalog", "Bearer retail").await.expect(200);
    assert_eq!(catalog.json(), json!({ "repositories": ["retail/shop"] }));
    // A mount must not reach what its asker may not read, nor tell that it is there.
    let secret = Digest::of(b"layer two");
    let mount = format!("/v2/retail/new/blobs/uploads/?mount={secret}&from=other/app");
    ask(Method::POST, &mount, "Bearer retail").await.expect(202);
    ask(Method::POST, &mount, "Bearer admin").await.expect(201);
}

#[tokio::test]
async fn hosts_pull_without_a_token() {
    let world = World::new();
    world.image("a", "v1", &[b"layer"]).await;
    let ask = |method: Method, path: &'static str| {
        let mut request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        request.extensions_mut().insert(PeerHost("h1".into()));
        world.send(request)
    };
    ask(Method::GET, "/v2/").await.expect(200);
    ask(Method::GET, "/v2/a/manifests/v1").await.expect(200);
    ask(Method::PUT, "/v2/a/manifests/v1").await.refused(403, "DENIED");
    ask(Method::POST, "/v2/a/blobs/uploads/").await.refused(403, "DENIED");
    ask(Method::DELETE, "/v2/a/manifests/v1").await.refused(403, "DENIED");
}

#[tokio::test]
async fn blobs_are_read_in_ranges() {
    let world = World::new();
    // Larger than one piece from the disk.
    let content = noise(1, 700_000);
    let digest = world.blob("a", &content).await;
    let path = format!("/v2/a/blobs/{digest}");
    let whole = world.get(&path).await.expect(200);
    assert!(whole.body == content);
    assert_eq!(whole.header("content-length"), "700000");
    assert_eq!(whole.header("docker-content-digest"), digest.to_string());
    let range = async |range| world.call(Method::GET, &path, &[("range", range)], "").await;
    let part = range("bytes=10-299999").await.expect(206);
    assert!(part.body == content[10..=299_999]);
    assert_eq!(part.header("content-range"), "bytes 10-299999/700000");
    let tail = range("bytes=-5").await.expect(206);
    assert!(tail.body == content[699_995..]);
    assert!(range("bytes=699999-900000").await.expect(206).body == content[699_999..]);
    let none = range("bytes=700000-").await.expect(416);
    assert_eq!(none.header("content-range"), "bytes */700000");
    assert!(range("bytes=0-1,5-6").await.expect(200).body == content);
    let tag = whole.header("etag").to_owned();
    let known = world.call(Method::GET, &path, &[("if-none-match", &tag)], "").await.expect(304);
    assert!(known.body.is_empty());
    let head = world.call(Method::HEAD, &path, &[], "").await.expect(200);
    assert_eq!((head.header("content-length"), head.body.len()), ("700000", 0));
    let other = [("range", "bytes=0-1"), ("if-range", "\"other\"")];
    assert!(world.call(Method::GET, &path, &other, "").await.expect(200).body == content);
    // The empty blob.
    let empty = world.blob("a", b"").await;
    let answer = world.get(&format!("/v2/a/blobs/{empty}")).await.expect(200);
    assert_eq!((answer.header("content-length"), answer.body.len()), ("0", 0));
}

#[tokio::test]
async fn manifests_need_their_parts() {
    let world = World::new();
    let image = manifest(&[b"one", b"two"]);
    world.blob("a", b"one").await;
    world.blob("other", b"two").await;
    let (_, answer) = world.put("a", "v1", &image).await;
    let answer = answer.refused(404, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(answer.json()["errors"].as_array().unwrap().len(), 2, "two and the configuration");
    world.blob("a", b"two").await;
    world.blob("a", b"{}").await;
    let mut lying = image.clone();
    lying["layers"][0]["size"] = json!(99);
    world.put("a", "v1", &lying).await.1.refused(400, "SIZE_INVALID");
    lying["layers"][0]["size"] = json!(u64::MAX);
    world.put("a", "v1", &lying).await.1.refused(400, "SIZE_INVALID");
    let (digest, answer) = world.put("a", "v1", &image).await;
    let answer = answer.expect(201);
    assert_eq!(answer.header("location"), format!("/v2/a/manifests/{digest}"));
    assert_eq!(answer.header("docker-content-digest"), digest.to_string());
    let wrong = format!("/v2/a/manifests/{}", Digest::of(b"x"));
    let headers = [("content-type", MANIFEST)];
    world
        .call(Method::PUT, &wrong, &headers, image.to_string())
        .await
        .refused(400, "DIGEST_INVALID");
    world
        .call(Method::PUT, "/v2/a/manifests/v1", &[("content-type", INDEX)], image.to_string())
        .await
        .refused(400, "MANIFEST_INVALID");
    // An index may come before, or without, some of its platforms.
    let absent = manifest(&[b"three"]).to_string();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [
        descriptor(MANIFEST, image.to_string().as_bytes()), descriptor(MANIFEST, absent.as_bytes()),
    ]});
    let (digest, answer) = world.put("a", "multi", &index).await;
    answer.expect(201);
    for name in ["multi".to_owned(), digest.to_string()] {
        let got = world.get(&format!("/v2/a/manifests/{name}")).await.expect(200);
        assert_eq!(got.body, index.to_string().as_bytes());
        assert_eq!(got.header("content-type"), INDEX);
        assert_eq!(got.header("docker-content-digest"), digest.to_string());
    }
    let accept = async |accept| {
        world.call(Method::GET, "/v2/a/manifests/multi", &[("accept", accept)], "").await
    };
    accept(MANIFEST).await.refused(404, "MANIFEST_UNKNOWN");
    accept("text/plain, application/vnd.oci.image.index.v1+json;q=0.5").await.expect(200);
}

#[tokio::test]
async fn both_families_of_media_types_and_foreign_layers() {
    let world = World::new();
    world.blob("a", b"{}").await;
    let docker = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": descriptor("application/vnd.docker.container.image.v1+json", b"{}"),
        "layers": [descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", b"x")],
    });
    let (digest, answer) = world.put("a", "docker", &docker).await;
    answer.expect(201);
    let list = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json",
        "manifests": [descriptor(
            "application/vnd.docker.distribution.manifest.v2+json",
            docker.to_string().as_bytes(),
        )],
    });
    world.put("a", "list", &list).await.1.expect(201);
    let resolved = world.registry.resolve("a", "docker").await.unwrap().unwrap();
    assert_eq!(resolved.digest, digest);
    assert_eq!(resolved.media_type, "application/vnd.docker.distribution.manifest.v2+json");
    let schema1 = json!({ "schemaVersion": 1, "fsLayers": [] });
    world.put("a", "old", &schema1).await.1.refused(400, "MANIFEST_INVALID");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let world = World::new();
    for tag in ["b", "a", "C", "10", "9", "d"] {
        world.image("x", tag, &[b"layer"]).await;
    }
    let mut path = "/v2/x/tags/list?n=4".to_owned();
    let mut pages = Vec::new();
    loop {
        let answer = world.get(&path).await.expect(200);
        pages.push(answer.json()["tags"].clone());
        let link = answer.header("link");
        if link.is_empty() {
            break;
        }
        let (next, rel) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
        assert_eq!(rel, "; rel=\"next\"");
        path = next.to_owned();
    }
    assert_eq!(pages, [json!(["10", "9", "C", "a"]), json!(["b", "d"])]);
    assert_eq!(world.get("/v2/x/tags/list?n=0").await.json()["tags"], json!([]));
    let after = world.get("/v2/x/tags/list?last=b").await;
    assert_eq!(after.json(), json!({ "name": "x", "tags": ["d"] }));
    for repository in ["m/a", "m/b", "k"] {
        world.blob(repository, b"x").await;
    }
    let first = world.get("/v2/_catalog?n=2").await;
    assert_eq!(first.json(), json!({ "repositories": ["k", "m/a"] }));
    assert_eq!(first.header("link"), "</v2/_catalog?n=2&last=m/a>; rel=\"next\"");
    let rest = world.get("/v2/_catalog?n=2&last=m/a").await;
    assert_eq!(rest.json(), json!({ "repositories": ["m/b", "x"] }));
    assert_eq!(rest.header("link"), "");
}

#[tokio::test]
async fn referrers_are_listed_by_kind_and_page() {
    let world = World::new();
    let subject = manifest(&[b"layer"]);
    world.blob("a", b"{}").await;
    let mut expected = Vec::new();
    for n in 0..5 {
        let remark = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "artifactType": if n < 3 { "application/x.signature" } else { "application/x.sbom" },
            "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"),
            "layers": [],
            "subject": descriptor(MANIFEST, subject.to_string().as_bytes()),
            "annotations": { "n": n.to_string() },
        });
        let (digest, answer) = world.put("a", "", &remark).await;
        // The subject need not be there yet.
        let named = answer.expect(201).header("oci-subject").to_owned();
        assert_eq!(named, Digest::of(subject.to_string().as_bytes()).to_string());
        expected.push(digest.to_string());
    }
    expected.sort();
    let path = format!("/v2/a/referrers/{}", Digest::of(subject.to_string().as_bytes()));
    let all = world.get(&path).await.expect(200);
    assert_eq!(all.header("content-type"), INDEX);
    let digests = |value: &serde_json::Value| -> Vec<String> {
        let list = value["manifests"].as_array().unwrap();
        list.iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(digests(&all.json()), expected);
    assert!(all.json()["manifests"][0]["annotations"]["n"].is_string());
    let filtered = world.get(&format!("{path}?artifactType=application/x.sbom")).await;
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
    assert_eq!(digests(&filtered.json()).len(), 2);
    let mut next = format!("{path}?n=2&artifactType=application%2Fx.signature");
    let mut found = Vec::new();
    loop {
        let page = world.get(&next).await.expect(200);
        found.extend(digests(&page.json()));
        let Some(link) = page.header("link").strip_prefix('<') else { break };
        next = link.split_once('>').unwrap().0.to_owned();
    }
    assert_eq!(found.len(), 3);
    assert!(found.is_sorted());
    let other = world.get(&path.replace("/a/", "/b/")).await.expect(200);
    assert!(digests(&other.json()).is_empty());
}

#[tokio::test]
async fn deleting_tags_images_and_blobs() {
    let world = World::new();
    let digest = world.image("a", "v1", &[b"layer"]).await;
    world.image("a", "v2", &[b"layer"]).await;
    world.delete("/v2/a/manifests/v1").await.expect(202);
    world.get("/v2/a/manifests/v1").await.refused(404, "MANIFEST_UNKNOWN");
    world.get(&format!("/v2/a/manifests/{digest}")).await.expect(200);
    let blob = format!("/v2/a/blobs/{}", Digest::of(b"layer"));
    let refused = world.delete(&blob).await.refused(403, "DENIED");
    assert!(String::from_utf8(refused.body).unwrap().contains(&digest.to_string()));
    world.delete(&format!("/v2/a/manifests/{digest}")).await.expect(202);
    world.get("/v2/a/manifests/v2").await.refused(404, "MANIFEST_UNKNOWN");
    world.delete(&blob).await.expect(202);
    world.get(&blob).await.refused(404, "BLOB_UNKNOWN");
    world.delete(&blob).await.refused(404, "BLOB_UNKNOWN");
}

#[tokio::test]
async fn the_rest_of_the_server_asks_too() {
    let world = World::new();
    let digest = world.image("a", "v1", &[b"one", b"three"]).await;
    world.image("a", "v2", &[b"one", b"three"]).await;
    let bare = world.image("b", "", &[b"one"]).await;
    let list = world.registry.list(None).await.unwrap();
    let rows: Vec<_> =
        list.iter().map(|row| (row.repository.as_str(), row.tag.as_deref(), row.digest)).collect();
    assert_eq!(rows, [("a", Some("v1"), digest), ("a", Some("v2"), digest), ("b", None, bare)]);
    let size = manifest(&[b"one", b"three"]).to_string().len() as u64;
    assert_eq!(list[0].total_size, size + 2 + 3 + 5);
    assert_eq!(list[0].pusher, "admin");
    assert_eq!(world.registry.list(Some("b".parse().unwrap())).await.unwrap().len(), 1);
    let found = world.registry.resolve("a", &digest.to_string()).await.unwrap().unwrap();
    assert_eq!((found.digest, found.size), (digest, size));
    assert_eq!(world.registry.resolve("a", "v3").await.unwrap(), None);
    assert_eq!(world.registry.resolve("c", "v1").await.unwrap(), None);
    assert!(world.registry.resolve("../a", "v1").await.is_err());
    assert!(world.registry.config_of(Digest::of(b"none")).await.unwrap().is_none());
    // `{}` is no configuration.
    assert!(world.registry.config_of(digest).await.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn one_process_has_the_directory() {
    let world = World::new();
    let second = server::oci::Registry::open(world.dir.path(), server::oci::Options::default());
    let Err(error) = second else { panic!("opened twice") };
    assert!(error.to_string().contains("another process has it open"), "{error}");
}
