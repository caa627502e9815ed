//! From an image to a served app: build, push, deploy to staging, promote to production.

use crate::cluster::Cluster;

pub(crate) const HELLO: &str = r#"
app = "hello"
team = "demo"
[process]
command = ["/hello"]
port = 8080
[resources]
cpu = "50m"
memory = "32MiB"
[scale]
instances = 3
[health]
http = "/healthz"
[routes]
hosts = ["hello.example.com"]
[on.staging.scale]
instances = 1
[on.staging.routes]
hosts = ["hello.staging.example.com"]
"#;

#[test]
fn an_image_goes_through_staging_to_production_and_answers_by_name() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.push_hello("hello:1");
    let manifest = cluster.manifest("hello", HELLO);
    cluster.freehold(&["deploy", "-f", &manifest, "--image", "hello:1", "--wait"]);
    let (status, body) = cluster.get("hello.staging.example.com", "/").unwrap();
    assert_eq!(status, 200, "{body}");
    assert_eq!(cluster.get("hello.example.com", "/").unwrap().0, 404, "not promoted yet");

    // The same again makes nothing new.
    let again = cluster.json(&["deploy", "-f", &manifest, "--image", "hello:1"]);
    assert_eq!((&again["unchanged"], &again["release"]), (&true.into(), &1.into()), "{again}");

    cluster.freehold(&["promote", "hello", "--wait"]);
    let rows = cluster.wait_healthy("hello", "production", 3);
    let (status, body) = cluster.get("hello.example.com", "/").unwrap();
    assert_eq!(status, 200, "{body}");
    let names: Vec<&str> = rows.iter().filter_map(|row| row["instance"].as_str()).collect();
    assert!(names.iter().any(|name| body.contains(name)), "{body} names none of {names:?}");

    for key in [
        "app",
        "environment",
        "release",
        "instance",
        "host",
        "domain",
        "state",
        "address",
        "restarts",
        "pid",
        "exit_cause",
    ] {
        assert!(rows[0].get(key).is_some(), "{key} is missing in {}", rows[0]);
    }
    cluster.wait("the request to be counted", || {
        let routes = cluster.json(&["route", "list"]);
        let rows = routes.as_array().cloned().unwrap_or_default();
        let counted = rows.iter().any(|row| row["requests"].as_u64() > Some(0));
        if counted { Ok(()) } else { Err(routes.to_string()) }
    });
    let status = cluster.json(&["status", "hello"]);
    assert_eq!(status.as_array().map(Vec::len), Some(2), "{status}");
    let logs = cluster.freehold(&["logs", "hello", "--env", "production"]);
    assert_eq!(logs.matches("listening on").count(), 3, "{logs}");

    cluster.freehold(&["app", "delete", "hello"]);
    cluster.wait("the app to be gone", || {
        let apps = cluster.json(&["app", "list"]);
        if apps.as_array().is_some_and(Vec::is_empty) { Ok(()) } else { Err(apps.to_string()) }
    });
}

#[test]
fn two_clusters_run_side_by_side_and_one_directory_serves_one() {
    let Some(one) = Cluster::start() else { return };
    let Some(two) = Cluster::start() else { return };
    for cluster in [&one, &two] {
        cluster.push_hello("hello:1");
        let manifest = cluster.manifest("hello", HELLO);
        cluster.freehold(&["deploy", "-f", &manifest, "--image", "hello:1", "--wait"]);
        assert_eq!(cluster.get("hello.staging.example.com", "/").unwrap().0, 200);
    }
    let data = one.data();
    let second = one.run(&["up", "--data", data.to_str().unwrap(), "--api", "127.0.0.1:0"]);
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(data.to_str().unwrap()) && said.contains("hint"), "{said}");
}

#[test]
fn a_name_without_overrides_goes_over_to_production_with_the_promotion() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.push_hello("hello:1");
    let text = HELLO.replace("[on.staging.routes]\nhosts = [\"hello.staging.example.com\"]\n", "");
    let manifest = cluster.manifest("hello", &text);
    cluster.freehold(&["deploy", "-f", &manifest, "--image", "hello:1", "--wait"]);
    let answers_in = |environment: &str| {
        cluster.wait(&format!("an answer of {environment}"), || {
            match cluster.get("hello.example.com", "/") {
                Ok((200, body)) if body.contains(&format!("hello-{environment}-")) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    };
    answers_in("staging");
    cluster.freehold(&["promote", "hello", "--wait"]);
    answers_in("production");
}
