//! An image with busybox, in a content store.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use image::{ContentStore, Digest};

/// Makes the image and gives its digest.
pub fn busybox(store: &ContentStore, scratch: &Path) -> Digest {
    let root = scratch.join("busybox");
    for dir in ["bin", "www", "tmp"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for applet in ["sh", "httpd", "sleep", "cat", "wget", "nslookup", "kill", "echo"] {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs::write(root.join("www/index.html"), "hello\n").unwrap();
    let tar = scratch.join("layer.tar");
    let made = Command::new("tar")
        .args(["--owner=0", "--group=0", "--numeric-owner", "-C"])
        .arg(&root)
        .arg("-cf")
        .arg(&tar)
        .arg(".")
        .status();
    assert!(made.unwrap().success());
    let layer = fs::read(&tar).unwrap();
    let diff_id = store.write(&layer).unwrap();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = serde_json::json!({
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Entrypoint": ["/bin/httpd"],
            "Cmd": ["-f", "-p", "8080", "-h", "/www"],
            "Env": ["PATH=/bin"],
        },
        "rootfs": { "type": "layers", "diff_ids": [diff_id.to_string()] },
    });
    let config = serde_json::to_vec(&config).unwrap();
    let config_digest = store.write(&config).unwrap();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config_digest.to_string(),
            "size": config.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": diff_id.to_string(),
            "size": layer.len(),
        }],
    });
    store.write(&serde_json::to_vec(&manifest).unwrap()).unwrap()
}
