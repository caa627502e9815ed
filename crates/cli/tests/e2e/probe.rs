//! An app that runs a shell script in a container and prints what it found: busybox on nothing else.

use crate::cluster::{Cluster, PATIENCE};
use std::time::Instant;

/// Pushes the image `probe:1`, which has busybox and nothing else.
pub(crate) fn push(cluster: &Cluster) {
    cluster.freehold(&[
        "image",
        "build",
        "--base",
        "scratch",
        "--add",
        "/bin/busybox:/bin/busybox",
        "--command",
        "/bin/busybox",
        "--tag",
        "probe:1",
    ]);
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
