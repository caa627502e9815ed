//! Images on three real servers: what one acknowledged is there when its machine dies, and any of
//! them answers clients of other makers.

use std::path::Path;
use std::process::Command;

use rustix::process::{Signal, kill_process};

use crate::servers::Cluster;
use crate::world::text;

fn skopeo(cluster: &Cluster, line: &str) -> bool {
    let output = Command::new("skopeo").args(line.split_whitespace()).output().unwrap();
    let logs = String::from_utf8_lossy(&output.stderr);
    eprintln!("skopeo {}: {} {logs}", line.replace(secret(cluster).as_str(), "…"), output.status);
    output.status.success()
}

fn secret(cluster: &Cluster) -> String {
    let file = cluster.nodes[0].data.join("admin.token");
    std::fs::read_to_string(file).unwrap().trim().to_owned()
}

fn digest_in(layout: &Path) -> String {
    let index = std::fs::read(layout.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn an_acknowledged_push_outlives_the_machine_that_took_it() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        eprintln!("skipped: needs skopeo");
        return;
    }
    let Some(mut cluster) = Cluster::new() else { return };
    cluster.begin("s1", &["--init", "--cluster", "north"]);
    for (at, name) in ["s2", "s3"].into_iter().enumerate() {
        let token = cluster.token(at);
        let join = cluster.nodes[at].api.clone();
        cluster.begin(name, &["--join", &join, "--token-file", text(&token)]);
    }
    cluster.see_each_other();
    let certs = cluster.world.path("certs");
    std::fs::create_dir(&certs).unwrap();
    std::fs::copy(cluster.nodes[0].data.join("ca.pem"), certs.join("ca.crt")).unwrap();

    let content: Vec<u8> =
        (0..8_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::create_dir_all(cluster.world.path("files")).unwrap();
    std::fs::write(cluster.world.path("files/a"), content).unwrap();
    let add = format!("{}:/srv", text(&cluster.world.path("files")));
    let build = ["image", "build", "--base", "scratch", "--add", &add, "--command", "/srv/a"];
    let built = cluster.world.good(&[&build[..], &["--tag", "team/app:1", "-o", "json"]].concat());
    let built: serde_json::Value = serde_json::from_str(&built.stdout).unwrap();
    let pushed = cluster.asks(0, &["image", "push", "team/app:1"]);
    cluster.nodes[0].signal(Signal::KILL);
    kill_process(cluster.nodes[0].etcd().unwrap(), Signal::KILL).unwrap();
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);

    // Each of the others has it or gets it from the other; one of them had no copy.
    let (certs, secret) = (text(&certs).to_owned(), secret(&cluster));
    for at in [1, 2] {
        let out = cluster.world.path(&format!("out{at}"));
        let line = format!(
            "copy --insecure-policy --src-cert-dir {certs} --src-creds x:{secret} \
             docker://{}/team/app:1 oci:{}:1",
            cluster.nodes[at].api,
            text(&out)
        );
        cluster.wait("the image is pulled", || skopeo(&cluster, &line));
        assert_eq!(digest_in(&out), built["digest"].as_str().unwrap());
    }

    // With two servers left a push still goes to both of them.
    let line = format!(
        "copy --insecure-policy --dest-cert-dir {certs} --dest-creds x:{secret} oci:{}:1 \
         docker://{}/team/other:2",
        text(&cluster.world.path("out1")),
        cluster.nodes[1].api
    );
    cluster.wait("an image is pushed", || skopeo(&cluster, &line));
    let inspect = format!(
        "inspect --cert-dir {certs} --creds x:{secret} docker://{}/team/other:2",
        cluster.nodes[2].api
    );
    assert!(skopeo(&cluster, &inspect));
    let delete = format!(
        "delete --cert-dir {certs} --creds x:{secret} docker://{}/team/other:2",
        cluster.nodes[2].api
    );
    assert!(skopeo(&cluster, &delete));
    assert!(!skopeo(&cluster, &inspect.replace(&cluster.nodes[2].api, &cluster.nodes[1].api)));

    // The first comes back and has heard of everything.
    cluster.start(0, &[]);
    let known = inspect.replace(&cluster.nodes[2].api, &cluster.nodes[0].api);
    assert!(!skopeo(&cluster, &known));
    let known = known.replace("team/other:2", "team/app:1");
    cluster.wait("it has caught up", || skopeo(&cluster, &known));
}
