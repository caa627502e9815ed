//! An app that runs a shell script in a container and prints what it found: busybox and curl.

use std::process::Command;
use std::time::Instant;

use crate::cluster::{Cluster, PATIENCE};

/// Pushes the image `probe:1`, which has busybox and curl.
pub(crate) fn push(cluster: &Cluster) {
    // curl speaks and resolves as programs do: with the libraries it is linked with.
    let linked = Command::new("ldd").arg("/usr/bin/curl").output().expect("ldd runs");
    let linked = String::from_utf8_lossy(&linked.stdout).into_owned();
    let libraries = linked.split_whitespace().filter(|word| word.starts_with('/'));
    let rules = cluster.dir.path().join("nsswitch.conf");
    std::fs::write(&rules, "hosts: files dns\n").expect("the directory is writable");
    let mut added = vec![
        "/bin/busybox:/bin/busybox".to_owned(),
        format!("{}:/etc/nsswitch.conf", rules.display()),
    ];
    for file in std::iter::once("/usr/bin/curl").chain(libraries) {
        let real = std::fs::canonicalize(file).expect("it exists");
        added.push(format!("{}:{file}", real.display()));
    }
    let mut args = vec!["image", "build", "--base", "scratch"];
    args.extend(added.iter().flat_map(|add| ["--add", add.as_str()]));
    args.extend(["--command", "/bin/busybox", "--tag", "probe:1"]);
    cluster.freehold(&args);
    cluster.freehold(&["image", "push", "probe:1"]);
}

/// A manifest of an app that runs `script` with busybox's shell and then sleeps.
pub(crate) fn manifest(app: &str, script: &str, more: &str) -> String {
    let whole = format!("b=/bin/busybox\n{script}\necho finished\nexec $b sleep 100000\n");
    format!(
        "app = {app:?}\nteam = \"demo\"\n[process]\ncommand = [\"/bin/busybox\", \"sh\", \"-c\", \
         {whole:?}]\n{more}"
    )
}

/// Deploys a script to an environment and gives what it printed until it finished.
pub(crate) fn run(cluster: &Cluster, environment: &str, app: &str, script: &str) -> String {
    let path = cluster.manifest(app, &manifest(app, script, "writable = [\"/tmp\"]\n"));
    cluster.freehold(&[
        "deploy",
        "-f",
        &path,
        "--image",
        "probe:1",
        "--env",
        environment,
        "--wait",
    ]);
    let started = Instant::now();
    loop {
        let logs = cluster.freehold(&["logs", app, "--env", environment, "--tail", "1000"]);
        if logs.contains("finished") {
            return logs;
        }
        assert!(started.elapsed() < PATIENCE, "the script did not finish:\n{logs}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
