//! TLS at the ingress: certificates by name, changed while connections go on.

use std::process::Command;

use crate::cluster::Cluster;
use crate::deploy::HELLO;

/// Makes a certificate of its own authority; gives chain, key and serial number.
fn certificate(cluster: &Cluster, name: &str, serial: &str) -> (String, String) {
    let path =
        |end: &str| cluster.dir.path().join(format!("{serial}.{end}")).to_str().unwrap().to_owned();
    let (chain, key) = (path("pem"), path("key"));
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", &format!("/CN={name}")])
        .args(["-addext", &format!("subjectAltName=DNS:{name}"), "-set_serial", serial])
        .args(["-keyout", &key, "-out", &chain])
        .output()
        .expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (chain, key)
}

/// A request over TLS that trusts one certificate only; gives the answer's body.
fn request(cluster: &Cluster, name: &str, chain: &str, more: &[&str]) -> Result<String, String> {
    let port = cluster.https.port();
    let output = Command::new("curl")
        .args(["-sS", "-m", "10", "--cacert", chain, "--resolve"])
        .arg(format!("{name}:{port}:127.0.0.1"))
        .args(more)
        .arg(format!("https://{name}:{port}/"))
        .output()
        .expect("curl runs");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
fn certificates_are_served_by_name_and_changed_without_a_restart() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.push_hello("hello:1");
    let manifest = cluster.manifest("hello", HELLO);
    cluster.freehold(&["deploy", "-f", &manifest, "--image", "hello:1", "--wait"]);
    let name = "hello.staging.example.com";
    let (first, first_key) = certificate(&cluster, name, "101");
    assert!(request(&cluster, name, &first, &[]).is_err(), "no certificate yet");
    cluster.freehold(&["cert", "set", "hello", "--chain", &first, "--key", &first_key]);
    let served = |chain: &str| {
        cluster.wait("the certificate", || request(&cluster, name, chain, &["--http2"]))
    };
    assert!(served(&first).contains("hello-staging-"));

    let (second, second_key) = certificate(&cluster, name, "102");
    cluster.freehold(&["cert", "set", "hello", "--chain", &second, "--key", &second_key]);
    assert!(served(&second).contains("hello-staging-"));
    assert!(request(&cluster, name, &first, &[]).is_err(), "the old one is still served");

    // A key that does not belong to the chain is refused, and the good one stays.
    let wrong = cluster.run(&["cert", "set", "hello", "--chain", &second, "--key", &first_key]);
    assert!(!wrong.status.success());
    assert!(served(&second).contains("hello-staging-"));
    let listed = cluster.json(&["cert", "list"]);
    assert_eq!(listed[0]["hosts"][0], name, "{listed}");
    let text = listed.to_string();
    assert!(!text.contains("PRIVATE"), "a key is shown: {text}");
}
