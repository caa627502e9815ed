//! What a container sees, and what it can't reach.

use std::net::TcpListener;

use crate::cluster::Cluster;
use crate::deploy::HELLO;
use crate::probe;

#[test]
fn nothing_is_privileged_inside() {
    let Some(cluster) = Cluster::start() else { return };
    probe::push(&cluster);
    let script = "
        $b id
        $b grep -E 'CapEff|CapBnd|CapAmb|NoNewPrivs|^Seccomp:' /proc/self/status
        $b touch /new && echo root-is-writable
        $b touch /tmp/new && echo tmp-is-writable
        $b mount -t tmpfs none /tmp && echo can-mount
        $b cat /proc/self/uid_map
        $b hostname
        $b ls -l /proc/1/root/etc/shadow
        $b dd if=/dev/vda of=/dev/null count=1 && echo can-read-disk
        echo 1 > /proc/sys/kernel/panic && echo can-write-sysctl
        $b cat /sys/fs/cgroup/*/release_agent 2>/dev/null && echo sees-agent
        $b ip route
    ";
    let said = probe::run(&cluster, "staging", "probe", script);
    for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(said.contains(line), "{line} is missing:\n{said}");
    }
    assert!(said.contains("CapAmb:\t0000000000000000") && said.contains("Seccomp:\t2"), "{said}");
    assert!(said.contains("tmp-is-writable"), "{said}");
    for bad in ["root-is-writable", "can-mount", "can-read-disk", "can-write-sysctl", "sees-agent"]
    {
        assert!(!said.contains(bad), "{bad}:\n{said}");
    }
    let row = cluster.instances("probe", "staging").remove(0);
    let name = row["instance"].as_str().unwrap();
    assert!(said.contains(name), "the host name is not {name}:\n{said}");
    let map = said.lines().find(|line| line.contains("65536")).expect("a map of ids");
    let outside: u64 = map.split_whitespace().rev().nth(1).unwrap().parse().unwrap();
    assert!(outside >= 65_536, "root inside is {outside} outside");
}

#[test]
fn names_resolve_and_other_environments_and_the_host_are_out_of_reach() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.push_hello("hello:1");
    let manifest = cluster.manifest("hello", HELLO);
    cluster.freehold(&["deploy", "-f", &manifest, "--image", "hello:1", "--wait"]);
    cluster.freehold(&["promote", "hello", "--wait"]);
    probe::push(&cluster);
    let address = |environment: &str| {
        let rows = cluster.instances("hello", environment);
        rows[0]["address"].as_str().unwrap().to_owned()
    };
    let (staging, production) = (address("staging"), address("production"));
    // Something of the host listens on all of its addresses, the bridge's among them.
    let host = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = host.local_addr().unwrap().port();
    let gateway = {
        let mut octets: Vec<&str> = staging.split('.').collect();
        octets[3] = "1";
        octets.join(".")
    };
    let api = cluster.api.port();
    let try_it = |name: &str, url: &str| {
        format!(
            "if /usr/bin/curl -sS -m 2 -f {url} >/tmp/o 2>&1; then echo reached-{name}; else \
             echo no-{name} $($b head -c 100 /tmp/o); fi\n"
        )
    };
    let script = [
        try_it("short-name", "http://hello:8080/"),
        try_it("full-name", "http://hello.staging.internal:8080/"),
        try_it("same-environment", &format!("http://{staging}:8080/")),
        try_it("other-environment", &format!("http://{production}:8080/")),
        try_it("other-name", "http://hello.production.internal:8080/"),
        try_it("host", &format!("http://{gateway}:{port}/")),
        try_it("api", &format!("http://{gateway}:{api}/")),
        try_it("loopback", &format!("http://127.0.0.1:{api}/")),
        "$b nslookup nothing.staging.internal 2>&1 | $b head -20\n".to_owned(),
    ]
    .concat();
    let said = probe::run(&cluster, "staging", "probe", &script);
    for name in ["short-name", "full-name", "same-environment"] {
        assert!(said.contains(&format!("reached-{name}")), "{name}:\n{said}");
    }
    for name in ["other-environment", "other-name", "host", "api", "loopback"] {
        assert!(said.contains(&format!("no-{name}")), "{name}:\n{said}");
    }
    drop(host);
}
