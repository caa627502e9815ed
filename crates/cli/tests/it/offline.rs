//! What needs no cluster: judging manifests and restoring backups.

use store::{Op, SqliteOptions, SqliteStore, Store, Txn};

use crate::world::{World, text};

const GOOD: &str = "app = \"shop\"\nteam = \"retail\"\n[process]\nport = 8080\n";

#[test]
fn manifests_are_judged_in_their_text() {
    let world = World::new();
    world.write("freehold.toml", GOOD);
    let good = world.good(&["check", "-o", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&good.stdout).unwrap();
    assert_eq!(answer["environments"][0]["port"], 8080);
    for (line, place) in [
        ("[resources]\nmemory = \"128\"\n", "bad.toml:6:10: resources.memory"),
        ("prot = 1\n", "bad.toml:5:1: process.prot"),
        ("[process2]\n", "bad.toml:5:2: process2"),
        ("[metrics]\nport = 1\n", "bad.toml:5:2: metrics"),
    ] {
        world.write("bad.toml", &format!("{GOOD}{line}"));
        let bad = world.run(&["check", "-f", "bad.toml"]);
        assert_eq!((bad.code, bad.stdout.as_str()), (2, ""), "{line}");
        assert!(bad.stderr.contains(place), "{line}: {}", bad.stderr);
    }
    let none = world.run(&["deploy"]);
    assert!(none.stderr.contains("add --image REF"), "{}", none.stderr);
}

#[test]
fn an_images_needs_are_compared_with_the_manifest() {
    let world = World::new();
    world.write("freehold.toml", "app = \"shop\"\nteam = \"retail\"\n");
    world.good(&[
        "image",
        "build",
        "--base",
        "scratch",
        "--command",
        "/bin/x",
        "--port",
        "9000",
        "--tag",
        "shop:1",
    ]);
    let checked = world.good(&["check", "--image", "shop:1"]);
    assert!(checked.stdout.contains("add: [process] port = 9000"), "{}", checked.stdout);
}

/// A backup of a store with one key.
fn backup(world: &World) -> std::path::PathBuf {
    let path = world.path("backup");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let from = world.path("from.db");
        let store = SqliteStore::open(from, SqliteOptions::default()).await.unwrap();
        store.txn(Txn::of(vec![Op::put("a", "1")])).await.unwrap();
        let mut out = tokio::fs::File::create(&path).await.unwrap();
        store::backup::backup(&store, &mut out).await.unwrap();
        out.sync_all().await.unwrap();
        store.close().await.unwrap();
    });
    path
}

#[test]
fn restores_go_into_empty_directories_only() {
    let world = World::new();
    let backup = backup(&world);
    let data = world.path("data");
    let line = ["restore", text(&backup), "--data", text(&data)];
    world.good(&line);
    let again = world.run(&line);
    assert_eq!(again.code, 5, "{}", again.stderr);
    world.write("used/file", "");
    let used = world.run(&["restore", text(&backup), "--data", text(&world.path("used"))]);
    assert_eq!(used.code, 5, "{}", used.stderr);

    let store = world.path("data/server/state.db");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(store, SqliteOptions::default()).await.unwrap();
        let got = store.get(b"a", None).await.unwrap();
        assert_eq!(got.kv.unwrap().value, "1");
        store.close().await.unwrap();
    });
}

#[test]
fn damaged_backups_make_nothing() {
    let world = World::new();
    let backup = backup(&world);
    let bytes = std::fs::read(&backup).unwrap();
    for damaged in [&bytes[..bytes.len() - 5], b"{}\n", b""] {
        std::fs::write(&backup, damaged).unwrap();
        let data = world.path("data");
        let ended = world.run(&["restore", text(&backup), "--data", text(&data)]);
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(!data.exists());
    }
}

#[test]
fn keys_are_taken_over_with_their_modes() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let backup = backup(&world);
    world.write("old/server/master.key", "key");
    world.write("old/pki/ca.key", "key");
    world.write("old/ca.pem", "pem");
    let (old, data) = (world.path("old"), world.path("data"));
    let line = ["restore", text(&backup), "--data", text(&data), "--keys", text(&old)];
    world.good(&line);
    let mode = |name| std::fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        [mode("server/master.key"), mode("pki/ca.key"), mode("ca.pem")],
        [0o600, 0o600, 0o644]
    );
    let data = world.path("data2");
    let none = world.path("none");
    let ended =
        world.run(&["restore", text(&backup), "--data", text(&data), "--keys", text(&none)]);
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    assert!(!data.exists());
}
