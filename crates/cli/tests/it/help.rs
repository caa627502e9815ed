//! What the binary says about itself.

use crate::world::World;

#[test]
fn help_is_as_committed() {
    let world = World::new();
    insta::assert_snapshot!("help", world.good(&["--help"]).stdout);
    insta::assert_snapshot!("help deploy", world.good(&["deploy", "--help"]).stdout);
    insta::assert_snapshot!("help up", world.good(&["up", "--help"]).stdout);
    insta::assert_snapshot!("help image build", world.good(&["image", "build", "--help"]).stdout);
    insta::assert_snapshot!("help exit-codes", world.good(&["help", "exit-codes"]).stdout);
}

#[test]
fn wrong_words_end_with_the_code_of_wrong_input() {
    let world = World::new();
    for line in [&["deplyo"][..], &["ps", "-o", "xml"], &["team", "create", "Not-A-Name"], &[]] {
        let ended = world.run(line);
        assert_eq!(ended.code, 2, "{line:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{line:?}");
    }
    assert!(world.run(&["deplyo"]).stderr.contains("deploy"), "the near name is told");
}

#[test]
fn generated_files_are_printed() {
    let world = World::new();
    for (line, begin) in [
        (&["gen", "schema"][..], "{"),
        (&["gen", "cli"], "# The command line"),
        (&["gen", "openapi"], "{"),
        (&["completions", "bash"], "_freehold()"),
        (&["completions", "zsh"], "#compdef freehold"),
        (&["completions", "fish"], "#"),
    ] {
        let printed = world.good(line).stdout;
        assert!(printed.starts_with(begin), "{line:?}: {:.60}", printed);
        assert!(printed.ends_with('\n'), "{line:?}");
    }
}

#[test]
fn without_a_cluster_it_says_how_to_find_one() {
    let world = World::new();
    let ended = world.run(&["ps"]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("hint: export FREEHOLD_API"), "{}", ended.stderr);
    let mut nobody = world.command(&["ps"]);
    let output = nobody.env("FREEHOLD_API", "127.0.0.1:1").output().unwrap();
    let ended = crate::world::ended(&output);
    assert_eq!(ended.code, 7, "{}", ended.stderr);
    assert!(ended.stderr.contains("127.0.0.1:1"), "{}", ended.stderr);
    assert_eq!(world.good(&["version"]).stdout, "freehold  0.1.0\n");
}

#[test]
fn a_context_is_used_when_asked_for() {
    let world = World::new();
    world.write(
        ".config/freehold/config.toml",
        "current = \"one\"\n[contexts.one]\napi = [\"127.0.0.1:1\"]\n\
         [contexts.two]\napi = [\"127.0.0.1:2\"]\n",
    );
    let reached = |line: &[&str], port: &str| {
        let ended = world.run(line);
        assert!(ended.stderr.contains(&format!("127.0.0.1:{port}")), "{}", ended.stderr);
    };
    // A CA file is not given, so the machine's own authorities are used or found missing.
    reached(&["ps", "--context", "two"], "2");
    reached(&["ps"], "1");
    let unknown = world.run(&["ps", "--context", "thre"]);
    assert_eq!(unknown.code, 4);
    assert!(unknown.stderr.contains("known: one, two"), "{}", unknown.stderr);
}
