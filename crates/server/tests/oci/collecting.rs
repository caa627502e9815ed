//! Garbage goes, and nothing else: alone, against a model, and while everybody works.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::Method;
use image::Digest;
use proptest::prelude::*;
use server::oci::{InUse, InUseError, Options, RegistryError};

use crate::world::{World, manifest};

fn at_once() -> Options {
    Options { grace: Duration::ZERO, ..Options::default() }
}

fn contents(world: &World) -> BTreeSet<Digest> {
    world.registry.content().list().unwrap().map(|info| info.unwrap().digest).collect()
}

#[tokio::test]
async fn what_no_manifest_needs_goes_after_its_grace() {
    let patient = World::new();
    patient.blob("a", b"fresh").await;
    let report = patient.registry.gc(&*patient.uses).await.unwrap();
    assert_eq!((report.blobs_unlinked, report.contents_removed, report.contents_kept), (0, 0, 1));

    let world = World::with(at_once());
    let image = world.image("a", "v1", &[b"kept"]).await;
    let loose = world.blob("a", b"loose").await;
    world.blob("b", b"loose").await;
    let report = world.registry.gc(&*world.uses).await.unwrap();
    assert_eq!((report.blobs_unlinked, report.contents_removed, report.bytes_freed), (2, 1, 5));
    assert!(!contents(&world).contains(&loose));
    world.get("/v2/b/tags/list").await.refused(404, "NAME_UNKNOWN");
    world.delete(&format!("/v2/a/manifests/{image}")).await.expect(202);
    let report = world.registry.gc(&*world.uses).await.unwrap();
    assert_eq!((report.contents_removed, report.contents_kept), (3, 0));
    assert!(contents(&world).is_empty());
}

#[tokio::test]
async fn what_is_in_use_stays() {
    let options = Options { untagged_retention: Some(Duration::ZERO), ..at_once() };
    let world = World::with(options);
    let used = world.image("a", "v1", &[b"used"]).await;
    world.image("b", "v1", &[b"used"]).await;
    world.use_image(Some("a"), used, "release 3 of app shop");
    let path = format!("/v2/a/manifests/{used}");
    let refused = world.delete(&path).await.refused(403, "DENIED");
    assert!(String::from_utf8(refused.body).unwrap().contains("release 3 of app shop"));
    // Elsewhere it may go, and the tag may go here.
    world.delete(&path.replace("/a/", "/b/")).await.expect(202);
    world.delete("/v2/a/manifests/v1").await.expect(202);
    let report = world.registry.gc(&*world.uses).await.unwrap();
    assert_eq!((report.manifests_removed, report.contents_removed), (0, 0));
    world.get(&path).await.expect(200);
    let error = world.registry.delete("a", &used.to_string(), &*world.uses).await.unwrap_err();
    assert!(matches!(error, RegistryError::InUse { .. }));
    world.uses.0.lock().unwrap().clear();
    // A release being made counts as one.
    let hold = world.registry.hold("a".parse().unwrap(), used);
    world.delete(&path).await.refused(403, "DENIED");
    assert_eq!(world.registry.gc(&*world.uses).await.unwrap().manifests_removed, 0);
    drop(hold);
    assert_eq!(world.registry.gc(&*world.uses).await.unwrap().manifests_removed, 1);
    assert!(contents(&world).is_empty());
}

#[tokio::test]
async fn the_parts_of_an_index_in_use_stay() {
    let options = Options { untagged_retention: Some(Duration::ZERO), ..at_once() };
    let world = World::with(options);
    let child = world.image("a", "", &[b"layer"]).await;
    let text = manifest(&[b"layer"]).to_string();
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": crate::world::INDEX,
        "manifests": [crate::world::descriptor(crate::world::MANIFEST, text.as_bytes())],
    });
    let (digest, answer) = world.put("a", "", &index).await;
    answer.expect(201);
    world.use_image(None, digest, "instance shop-1");
    world.delete(&format!("/v2/a/manifests/{child}")).await.refused(403, "DENIED");
    assert_eq!(world.registry.gc(&*world.uses).await.unwrap().contents_removed, 0);
    world.uses.0.lock().unwrap().clear();
    // Index first, then what only it needed: all in one collection.
    assert_eq!(world.registry.gc(&*world.uses).await.unwrap().manifests_removed, 2);
    assert!(contents(&world).is_empty());
}

struct Unknown;

#[async_trait::async_trait]
impl InUse for Unknown {
    async fn in_use(&self) -> Result<Vec<server::oci::ImageUse>, InUseError> {
        Err(InUseError("the store is away".into()))
    }
}

#[tokio::test]
async fn without_knowing_what_is_in_use_nothing_goes() {
    let world = World::with(at_once());
    let digest = world.image("a", "v1", &[b"layer"]).await;
    world.blob("a", b"loose").await;
    let before = contents(&world);
    assert!(world.registry.gc(&Unknown).await.is_err());
    let deleted = world.registry.delete("a", &digest.to_string(), &Unknown).await;
    assert!(matches!(deleted, Err(RegistryError::UsersUnknown(_))));
    assert_eq!(contents(&world), before);
}

/// Makes a release the moment it is asked what is in use, as a planner between two questions does.
struct Sudden<'a>(&'a World, Digest, AtomicBool);

#[async_trait::async_trait]
impl InUse for Sudden<'_> {
    async fn in_use(&self) -> Result<Vec<server::oci::ImageUse>, InUseError> {
        let seen = self.0.uses.in_use().await;
        if !self.2.swap(true, Ordering::SeqCst) {
            let hold = self.0.registry.hold("a".parse().unwrap(), self.1);
            let found = self.0.registry.resolve("a", &self.1.to_string()).await.unwrap();
            assert!(found.is_some());
            self.0.use_image(Some("a"), self.1, "release 1 of app sudden");
            drop(hold);
        }
        seen
    }
}

#[tokio::test]
async fn a_release_made_during_a_deletion_wins() {
    let world = World::new();
    let digest = world.image("a", "v1", &[b"layer"]).await;
    let sudden = Sudden(&world, digest, AtomicBool::new(false));
    let error = world.registry.delete("a", &digest.to_string(), &sudden).await.unwrap_err();
    assert!(error.to_string().contains("release 1 of app sudden"), "{error}");
}

const LAYERS: [&[u8]; 4] = [b"layer zero", b"layer one", b"layer two", b"layer three"];

/// Pushes an image the way clients do, until it is there. Blobs may go between looking and
/// relying on them, since there is no grace here; then the client pushes again.
async fn push(world: &World, repository: &str, layers: &[&[u8]]) -> Digest {
    for _ in 0..1000 {
        for content in layers.iter().copied().chain([b"{}".as_slice()]) {
            let digest = Digest::of(content);
            let path = format!("/v2/{repository}/blobs/{digest}");
            if world.call(Method::HEAD, &path, &[], "").await.status != 200 {
                world.blob(repository, content).await;
            }
        }
        let (digest, answer) = world.put(repository, "", &manifest(layers)).await;
        if answer.status == 201 {
            return digest;
        }
        answer.refused(404, "MANIFEST_BLOB_UNKNOWN");
    }
    panic!("an image could not be pushed in 1000 tries");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn collecting_while_everybody_works_loses_nothing() {
    let world = Arc::new(World::with(at_once()));
    // As many collections as rounds of pushing: with more, under no grace at all, nobody would ever
    // get from a first blob to a manifest.
    let (tick, mut ticks) = tokio::sync::mpsc::channel::<()>(1);
    let collector = {
        let world = world.clone();
        tokio::spawn(async move {
            let mut removed = 0;
            while ticks.recv().await.is_some() {
                removed += world.registry.gc(&*world.uses).await.unwrap().contents_removed;
            }
            removed
        })
    };
    let mut pushers = tokio::task::JoinSet::new();
    for pusher in 0..4_usize {
        let (world, tick) = (world.clone(), tick.clone());
        pushers.spawn(async move {
            let repository = format!("r{}", pusher % 2);
            let own = format!("of pusher {pusher}");
            for round in 0..30_usize {
                tick.send(()).await.unwrap();
                let shared = LAYERS[(pusher + round) % LAYERS.len()];
                let digest = push(&world, &repository, &[shared, own.as_bytes()]).await;
                // Whole, as long as nobody deletes it.
                let path = format!("/v2/{repository}/manifests/{digest}");
                world.get(&path).await.expect(200);
                for content in [shared, own.as_bytes(), b"{}"] {
                    let blob = format!("/v2/{repository}/blobs/{}", Digest::of(content));
                    assert_eq!(world.get(&blob).await.expect(200).body, content);
                }
                if round % 5 != 4 {
                    world.delete(&path).await.expect(202);
                }
            }
        });
    }
    while let Some(done) = pushers.join_next().await {
        done.unwrap();
    }
    drop(tick);
    assert!(collector.await.unwrap() > 0, "nothing was ever collected");
    let last = world.registry.gc(&*world.uses).await.unwrap();
    assert_eq!(last.missing, []);
    for image in world.registry.list(None).await.unwrap() {
        world
            .registry
            .delete(image.repository.as_str(), &image.digest.to_string(), &*world.uses)
            .await
            .unwrap();
    }
    let _ = world.registry.gc(&*world.uses).await.unwrap();
    assert!(contents(&world).is_empty());
}

#[derive(Debug, Clone)]
enum Op {
    Blob(u8, u8),
    Mount(u8, u8, u8),
    Push(u8, u8, u8),
    Untag(u8, u8),
    Delete(u8, u8),
    Use(u8),
    Unuse,
    Collect,
}

fn op() -> impl Strategy<Value = Op> {
    let (r, l) = (0_u8..2, 0_u8..4);
    prop_oneof![
        (r.clone(), l.clone()).prop_map(|(r, l)| Op::Blob(r, l)),
        (r.clone(), r.clone(), l.clone()).prop_map(|(a, b, l)| Op::Mount(a, b, l)),
        (r.clone(), l.clone(), 0_u8..2).prop_map(|(r, l, t)| Op::Push(r, l, t)),
        (r.clone(), 0_u8..2).prop_map(|(r, t)| Op::Untag(r, t)),
        (r.clone(), l.clone()).prop_map(|(r, l)| Op::Delete(r, l)),
        l.prop_map(Op::Use),
        Just(Op::Unuse),
        Just(Op::Collect),
    ]
}

/// What the registry should hold; images are named by the one layer they have.
#[derive(Debug, Default)]
struct Model {
    /// Layers linked, and configurations as layer 255.
    linked: BTreeSet<(u8, u8)>,
    images: BTreeSet<(u8, u8)>,
    tags: BTreeMap<(u8, u8), u8>,
    used: BTreeSet<u8>,
    /// Everything ever stored and not collected; images as `Err`.
    stored: BTreeSet<Result<u8, u8>>,
}

impl Model {
    fn collect(&mut self) {
        let images = self.images.clone();
        self.linked.retain(|(r, l)| {
            images.contains(&(*r, *l)) || *l == 255 && images.iter().any(|(other, _)| other == r)
        });
        let used = self.used.clone();
        let linked = self.linked.clone();
        self.stored.retain(|content| match content {
            Ok(l) => {
                linked.iter().any(|(_, other)| other == l)
                    || used.contains(l)
                    || *l == 255 && !used.is_empty()
            }
            Err(l) => images.iter().any(|(_, other)| other == l) || used.contains(l),
        });
    }
}

fn image_of(layer: u8) -> Digest {
    Digest::of(manifest(&[LAYERS[usize::from(layer)]]).to_string().as_bytes())
}

fn content_of(content: Result<u8, u8>) -> Digest {
    match content {
        Ok(255) => Digest::of(b"{}"),
        Ok(layer) => Digest::of(LAYERS[usize::from(layer)]),
        Err(layer) => image_of(layer),
    }
}

async fn step(world: &World, model: &mut Model, op: &Op) {
    let name = |r: u8| format!("r{r}");
    match *op {
        Op::Blob(r, l) => {
            world.blob(&name(r), LAYERS[usize::from(l)]).await;
            model.linked.insert((r, l));
            model.stored.insert(Ok(l));
        }
        Op::Mount(to, from, l) => {
            let digest = content_of(Ok(l));
            let path =
                format!("/v2/{}/blobs/uploads/?mount={digest}&from={}", name(to), name(from));
            let answer = world.call(Method::POST, &path, &[], "").await;
            assert_eq!(answer.status == 201, model.linked.contains(&(from, l)));
            if answer.status == 201 {
                model.linked.insert((to, l));
            }
        }
        Op::Push(r, l, t) => {
            let tag = format!("t{t}");
            world.image(&name(r), &tag, &[LAYERS[usize::from(l)]]).await;
            model.linked.extend([(r, l), (r, 255)]);
            model.images.insert((r, l));
            model.tags.insert((r, t), l);
            model.stored.extend([Ok(l), Ok(255), Err(l)]);
        }
        Op::Untag(r, t) => {
            let answer = world.delete(&format!("/v2/{}/manifests/t{t}", name(r))).await;
            let there = model.tags.remove(&(r, t)).is_some();
            answer.expect(if there { 202 } else { 404 });
        }
        Op::Delete(r, l) => {
            let answer = world.delete(&format!("/v2/{}/manifests/{}", name(r), image_of(l))).await;
            let status = match (model.images.contains(&(r, l)), model.used.contains(&l)) {
                (false, _) => 404,
                (true, true) => 403,
                (true, false) => 202,
            };
            answer.expect(status);
            if status == 202 {
                model.images.remove(&(r, l));
                model.tags.retain(|(repository, _), layer| (*repository, *layer) != (r, l));
            }
        }
        Op::Use(l) => {
            // Nothing comes into use that is not there.
            if model.images.iter().any(|(_, layer)| *layer == l) {
                world.use_image(None, image_of(l), "a test");
                model.used.insert(l);
            }
        }
        Op::Unuse => {
            world.uses.0.lock().unwrap().clear();
            model.used.clear();
        }
        Op::Collect => {
            let report = world.registry.gc(&*world.uses).await.unwrap();
            assert_eq!(report.missing, []);
            model.collect();
            let expected: BTreeSet<Digest> =
                model.stored.iter().map(|content| content_of(*content)).collect();
            assert_eq!(contents(world), expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever is done in whatever order, a collection leaves what the model says, and all that is
    /// linked can be read.
    #[test]
    fn agrees_with_a_model(ops in proptest::collection::vec(op(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::with(at_once());
            let mut model = Model::default();
            for op in ops.iter().chain([&Op::Collect]) {
                step(&world, &mut model, op).await;
            }
            for (r, l) in &model.linked {
                let path = format!("/v2/r{r}/blobs/{}", content_of(Ok(*l)));
                world.get(&path).await.expect(200);
            }
            for ((r, t), l) in &model.tags {
                let answer = world.get(&format!("/v2/r{r}/manifests/t{t}")).await.expect(200);
                assert_eq!(answer.header("docker-content-digest"), image_of(*l).to_string());
            }
        });
    }
}
