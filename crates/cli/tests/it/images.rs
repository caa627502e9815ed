//! Images on this machine: the same bytes each time, in and out of layouts.

use crate::world::{World, text};

/// Builds with the standard settings; gives the digest.
fn build(world: &World, base: &str, tag: &str) -> String {
    let add = format!("{}:/srv", text(&world.path("files")));
    let line = ["image", "build", "--base", base, "--add", &add, "--command", "/srv/a"];
    let built = world.good(&[&line[..], &["--env", "A=1", "--tag", tag, "-o", "json"]].concat());
    let answer: serde_json::Value = serde_json::from_str(&built.stdout).unwrap();
    answer["digest"].as_str().unwrap().to_owned()
}

#[test]
fn the_same_files_give_the_same_image_on_every_machine() {
    let digests = [0, 1].map(|round| {
        let world = World::new();
        let files = ["files/a", "files/sub/b"];
        let (first, second) = if round == 0 { (0, 1) } else { (1, 0) };
        // Made in another order, at another time, by another user's rules.
        for name in [files[first], files[second]] {
            world.write(name, name);
        }
        build(&world, "scratch", "it:1")
    });
    assert_eq!(digests[0], digests[1]);

    let world = World::new();
    world.write("files/a", "other");
    assert_ne!(build(&world, "scratch", "it:1"), digests[0]);
}

#[test]
fn an_image_goes_through_a_layout_and_back() {
    let world = World::new();
    world.write("files/a", "x");
    let digest = build(&world, "scratch", "it:1");
    let store = image::ContentStore::open(world.path(".local/share/freehold/images")).unwrap();
    let layout = world.path("layout");
    let named = [(Some("other.example/team/it:1".to_owned()), digest.parse().unwrap())];
    image::layout::export_directory(&store, &named, &layout).unwrap();

    let other = World::new();
    let imported = other.good(&["image", "import", text(&layout), "-o", "json"]);
    assert!(imported.stdout.contains(&digest) && imported.stdout.contains("\"team/it:1\""));
    let inspected = other.good(&["image", "inspect", "team/it:1", "-o", "json"]);
    let inspected: serde_json::Value = serde_json::from_str(&inspected.stdout).unwrap();
    assert_eq!(inspected["digest"], *digest);
    assert_eq!(inspected["command"], serde_json::json!(["/srv/a"]));
    assert_eq!(inspected["env"], serde_json::json!(["A=1"]));
    let list = other.good(&["image", "list", "--local"]);
    assert!(list.stdout.contains("team/it:1"));

    // On a layout as base, and on what was imported.
    other.write("files/b", "y");
    let on_layout = build(&other, text(&layout), "it:2");
    let on_name = build(&other, "team/it:1", "it:3");
    assert_eq!(on_layout, on_name);
    other.good(&["image", "delete", "--local", "team/it:1"]);
    let gone = other.run(&["image", "delete", "--local", "team/it:1"]);
    assert_eq!(gone.code, 4);
    other.good(&["image", "inspect", "it:2"]);
}

#[test]
fn bad_input_is_refused_and_named() {
    let world = World::new();
    let junk = world.write("junk.tar", "this is no archive");
    for (line, code) in [
        (&["image", "import", text(&junk)][..], 2),
        (&["image", "inspect", "nothing:1"], 2),
        (&["image", "build", "--base", "nothing:1", "--tag", "x:1"], 2),
        (&["image", "build", "--base", "scratch", "--add", "/nonexistent:/a", "--tag", "x:1"], 2),
    ] {
        let ended = world.run(line);
        assert_eq!(ended.code, code, "{line:?}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("error: "), "{line:?}: {}", ended.stderr);
    }
}
