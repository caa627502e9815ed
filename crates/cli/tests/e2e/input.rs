//! Bad input gets a clear error and loses nothing.

use crate::cluster::Cluster;
use crate::deploy::HELLO;

/// Runs a command that must fail; gives what it said.
fn fails(cluster: &Cluster, args: &[&str]) -> (i32, String) {
    let output = cluster.run(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{args:?} went through");
    (output.status.code().unwrap_or(-1), said)
}

#[test]
fn bad_manifests_say_where_and_what_instead() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.push_hello("hello:1");
    for (name, text, words) in [
        ("unknown", HELLO.replace("memory =", "memroy ="), ["memroy", "memory"]),
        ("unit", HELLO.replace("32MiB", "32Mib"), ["32Mib", "MiB"]),
        ("port", HELLO.replace("port = 8080", "port = 80800"), ["80800", "65535"]),
        ("later", HELLO.to_owned() + "[uses]\napps = [\"db\"]\n", ["uses", "later"]),
    ] {
        let path = cluster.manifest(name, &text);
        let (code, said) = fails(&cluster, &["deploy", "-f", &path, "--image", "hello:1"]);
        assert_eq!(code, 2, "{said}");
        for word in words {
            assert!(said.contains(word), "{name}: {word:?} is missing:\n{said}");
        }
        assert!(said.contains(".toml:"), "{name}: no line:\n{said}");
        let (_, said) = fails(&cluster, &["check", "-f", &path]);
        assert!(said.contains(words[0]), "{said}");
    }
    assert_eq!(cluster.json(&["app", "list"]).as_array().map(Vec::len), Some(0));
}

#[test]
fn what_is_not_there_is_named_with_what_to_do() {
    let Some(cluster) = Cluster::start() else { return };
    let manifest = cluster.manifest("hello", HELLO);
    let (code, said) = fails(&cluster, &["deploy", "-f", &manifest, "--image", "nothing:1"]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("nothing:1") && said.contains("hint"), "{said}");
    let (code, said) = fails(&cluster, &["status", "nothing"]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("nothing"), "{said}");
    let output = cluster
        .command(&["ps"])
        .env("FREEHOLD_API", "https://127.0.0.1:1")
        .output()
        .expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("127.0.0.1:1"), "{said}");
    let mut stranger = cluster.command(&["ps"]);
    stranger.env_remove("FREEHOLD_TOKEN_FILE").env("FREEHOLD_TOKEN", "fh_0_0");
    let output = stranger.output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
}
