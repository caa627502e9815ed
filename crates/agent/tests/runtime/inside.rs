//! What a container sees and may do.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use agent::runtime::*;

use crate::support::*;

#[test]
fn nothing_is_privileged() {
    if !possible() {
        return;
    }
    let world = World::new();
    for (name, user) in [("user", "1000"), ("root", "0")] {
        let script = "grep -E '^(Uid|Cap|NoNewPrivs|Seccomp:)' /proc/self/status; \
            grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp:)' /proc/1/status; cat /proc/self/uid_map";
        let mut spec = world.spec(name, script);
        spec.user = user.to_owned();
        let output = world.said(&spec);
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert!(output.contains(&format!("{set}:\t0000000000000000")), "{set}: {output}");
        }
        assert!(!output.contains("NoNewPrivs:\t0") && !output.contains("Seccomp:\t0"), "{output}");
        assert_eq!(output.matches("Seccomp:\t2").count(), 2, "{output}");
        let map: Vec<&str> = output.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(map, ["0", "1000000", "65536"]);
        assert!(output.contains(&format!("Uid:\t{user}\t{user}")), "{output}");
    }
}

#[test]
fn the_host_sees_a_user_of_the_range() {
    if !possible() {
        return;
    }
    let world = World::new();
    let mut spec = world.spec("mapped", "echo up; exec sleep 1000");
    spec.user = "0".to_owned();
    let started = world.runtime.create(&spec).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", started.pid)).unwrap();
    assert!(status.contains("Uid:\t1000000\t1000000\t1000000\t1000000"), "{status}");
}

#[test]
fn the_root_is_read_only_and_writable_paths_are_not() {
    if !possible() {
        return;
    }
    let world = World::new();
    let script = "for d in / /bin /etc /proc /sys /dev/x/.. /run; do \
            touch $d/new 2>/dev/null && echo wrote $d; done; \
        echo x > /tmp/a && cat /tmp/a; echo y > /data/deep/b && cat /data/deep/b; \
        echo z > /scratch/c && cat /scratch/c; mknod /tmp/dev c 1 3 2>/dev/null && echo made; \
        (echo ro > /proc/sys/kernel/hostname) 2>/dev/null && echo sysctl; \
        touch /bin/busybox 2>/dev/null && echo touched; grep ' / ' /proc/mounts";
    let mut spec = world.spec("ro", script);
    let scratch = world.disk.path().join("scratch");
    spec.writable.push(WritableTmpfs { path: "/data/deep".into(), size_bytes: Some(1 << 20) });
    let source = scratch.clone();
    spec.scratch.push(Scratch { path: "/scratch".into(), source, size_bytes: None });
    let output = world.said(&spec);
    let (mount, words): (Vec<&str>, Vec<&str>) =
        output.lines().partition(|line| line.contains(" / "));
    assert_eq!(words, ["x", "y", "z"]);
    let options = mount[0].split(' ').nth(3).unwrap();
    assert!(options.starts_with("ro,") && options.contains("nosuid"), "{mount:?}");
    assert_eq!(fs::read_to_string(scratch.join("c")).unwrap(), "z\n");
    // The layers on disk are as they were.
    assert!(!world.layer.join("new").exists() && !world.layer.join("proc").exists());
}

#[test]
fn scratch_space_ends_at_its_size_and_outlives_a_start() {
    if !possible() {
        return;
    }
    let world = World::new();
    let script = "ls /scratch/kept 2>/dev/null; touch /scratch/kept; \
        head -c 40000000 /dev/zero > /scratch/much 2>/dev/null || echo full; \
        wc -c < /scratch/much";
    let scratch = Scratch {
        path: "/scratch".into(),
        source: world.disk.path().join("scratch"),
        size_bytes: Some(32 << 20),
    };
    let image = world.disk.path().join("scratch.ext4");
    for (name, first) in [("first", "full"), ("second", "/scratch/kept")] {
        let mut spec = world.spec(name, script);
        spec.scratch.push(scratch.clone());
        let started = world.runtime.create(&spec).unwrap();
        assert_eq!(started.unenforced, Vec::<String>::new());
        world.end_of(&spec.id);
        let output = world.output(name);
        assert_eq!(output.lines().next(), Some(first), "{output}");
        let written: u64 = output.lines().last().unwrap().trim().parse().unwrap();
        assert!((20_000_000..32 << 20).contains(&written), "{output}");
    }
    let held = std::process::Command::new("losetup").arg("-j").arg(&image).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&held.stdout), "", "a loop device stayed");
}

#[test]
fn forbidden_calls_are_refused() {
    if !possible() {
        return;
    }
    let world = World::new();
    let script = "mount -t tmpfs x /tmp 2>&1 | head -1; unshare -r true 2>&1 | head -1; \
        chroot / true 2>&1 | head -1; hostname other 2>&1 | head -1; \
        ls /proc/1/root 2>&1 | head -1; cat /proc/kcore 2>/dev/null | wc -c; \
        ls /sys/firmware | wc -l; ls /sys/fs/cgroup 2>&1 | wc -l";
    let mut spec = world.spec("calls", script);
    spec.user = "0".to_owned();
    let output = world.said(&spec);
    let lines: Vec<&str> = output.lines().collect();
    for line in &lines[..5] {
        assert!(line.contains("not permitted") || line.contains("denied"), "{output}");
    }
    assert_eq!(lines[5..], ["0", "0", "0"], "{output}");
}

#[test]
fn devices_are_the_few_that_harm_nobody() {
    if !possible() {
        return;
    }
    let world = World::new();
    let script = "ls /dev | tr '\\n' ' '; echo; head -c 4 /dev/zero | wc -c; \
        head -c 4 /dev/urandom | wc -c; echo x > /dev/null && echo null; \
        echo s > /dev/shm/s && cat /dev/shm/s; echo o > /dev/stdout; cat /proc/self/cgroup";
    let output = world.said(&world.spec("dev", script));
    let mut lines = output.lines();
    let mut names: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    names.sort_unstable();
    let mut want = vec![
        "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
        "stdout", "tty", "urandom", "zero",
    ];
    if Path::new("/proc/kcore").exists() {
        want.insert(2, "kcore");
    }
    assert_eq!(names, want);
    assert_eq!(lines.by_ref().take(5).collect::<Vec<_>>(), ["4", "4", "null", "s", "o"]);
    // A cgroup namespace of its own: its cgroup is its root.
    for line in lines {
        assert!(line.ends_with(":/"), "{output}");
    }
}

#[test]
fn binds_environment_user_and_names() {
    if !possible() {
        return;
    }
    let world = World::new();
    let host = world.disk.path();
    fs::write(host.join("resolv"), "nameserver 10.0.0.1\n").unwrap();
    fs::create_dir(host.join("secrets")).unwrap();
    fs::write(host.join("secrets/key"), "k\n").unwrap();
    let script = "cat /etc/resolv.conf /run/secrets/key; id -u; id -g; id -G; pwd; echo $HOME; \
        hostname; echo $HOSTNAME $GREETING; ulimit -n; ulimit -c; \
        echo x 2>/dev/null >> /etc/resolv.conf || echo sealed; ls -ld /etc | cut -c1-10";
    let mut spec = world.spec("binds", script);
    let bind = |from: &str, to: &str| Bind { source: host.join(from), path: to.into() };
    spec.binds = vec![bind("resolv", "/etc/resolv.conf"), bind("secrets", "/run/secrets")];
    spec.writable.push(WritableTmpfs { path: "/run".into(), size_bytes: Some(1 << 20) });
    spec.user = "web".to_owned();
    spec.working_dir = "/srv/app".to_owned();
    let output = world.said(&spec);
    let lines: Vec<&str> = output.lines().collect();
    let want = [
        "nameserver 10.0.0.1",
        "k",
        "101",
        "102",
        "102 200",
        "/srv/app",
        "/srv",
        "binds",
        "binds hello",
        "1024",
        "0",
        "sealed",
        "drwxr-xr-x",
    ];
    assert_eq!(lines, want);
}

#[test]
fn hostile_images_reach_nothing_of_the_host() {
    if !possible() {
        return;
    }
    let world = World::new();
    let secret = world.disk.path().join("secret");
    fs::write(&secret, "evil:x:77:77::/:\n").unwrap();
    let layer = world.disk.path().join("hostile");
    fs::create_dir_all(layer.join("etc")).unwrap();
    // Names of users out of a file of the host, and mount points that lead out of the root.
    symlink(&secret, layer.join("etc/passwd")).unwrap();
    symlink("../../../../../../../..", layer.join("out")).unwrap();
    symlink(world.disk.path(), layer.join("abs")).unwrap();
    let mut spec = world.spec("evil", "ls /abs/ /out/; cat /out/f/x /abs/f/x");
    spec.layers.push(layer);
    spec.user = "evil".to_owned();
    let error = world.runtime.create(&spec).unwrap_err();
    assert!(chain(&error).contains("no user \"evil\""), "{}", chain(&error));
    spec.user = "7".to_owned();
    let source = world.disk.path().join("f");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("x"), "x\n").unwrap();
    let bind = |to: &str| Bind { source: source.clone(), path: PathBuf::from(to) };
    spec.binds = vec![bind("/abs/f"), bind("/out/f")];
    spec.args[2] = "cat /abs/f/x /f/x; ls -d /out/tmp".to_owned();
    assert_eq!(world.said(&spec), "x\nx\n/out/tmp\n");
    assert!(!world.disk.path().join("f/f").exists());
    // A FIFO where names of users are read must not hang anything.
    let fifo = world.disk.path().join("fifo");
    fs::create_dir_all(fifo.join("etc")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        fifo.join("etc/passwd"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    let mut spec = world.spec("fifo", "true");
    spec.layers.push(fifo);
    assert_eq!(world.run(&spec).cause, ExitCause::Code(0));
}

#[test]
fn forty_layers_and_what_they_hide() {
    if !possible() {
        return;
    }
    let world = World::new();
    let mut spec = world.spec("layers", "cat /top /l7; ls /dir; stat -c %u:%g /own");
    for n in 0..39 {
        let layer = world.disk.path().join(format!("l{n}"));
        fs::create_dir_all(layer.join("dir")).unwrap();
        fs::write(layer.join("top"), format!("{n}\n")).unwrap();
        fs::write(layer.join(format!("l{n}")), format!("own {n}\n")).unwrap();
        if n == 30 {
            fs::write(layer.join("own"), "").unwrap();
            std::os::unix::fs::chown(layer.join("own"), Some(33), Some(44)).unwrap();
            fs::write(layer.join("dir/kept"), "").unwrap();
        }
        if n == 20 {
            fs::write(layer.join("dir/hidden"), "").unwrap();
        }
        if n == 25 {
            // A whiteout of overlayfs: a character device 0/0.
            rustix::fs::mknodat(
                rustix::fs::CWD,
                layer.join("dir/hidden"),
                rustix::fs::FileType::CharacterDevice,
                rustix::fs::Mode::from_raw_mode(0o600),
                0,
            )
            .unwrap();
        }
        spec.layers.push(layer);
    }
    assert_eq!(world.said(&spec), "38\nown 7\nkept\n33:44\n");
}

#[test]
fn granted_capabilities_and_no_others() {
    if !possible() {
        return;
    }
    let world = World::new();
    let mut spec = world.spec(
        "caps",
        "grep ^Cap /proc/self/status; touch /tmp/f && chown 5:6 /tmp/f \
        && stat -c %u:%g /tmp/f",
    );
    spec.user = "0".to_owned();
    spec.capabilities = vec![Capability::Chown];
    let output = world.said(&spec);
    assert_eq!(output.matches("0000000000000001").count(), 5, "{output}");
    assert!(output.ends_with("5:6\n"), "{output}");
}

#[test]
fn low_ports_are_open_and_the_network_is_its_own() {
    if !possible() {
        return;
    }
    let world = World::new();
    let script = "(nc -l -p 80 -e echo served &); \
        until nc 127.0.0.1 80 </dev/null 2>/dev/null; do :; done; \
        ls /sys/class/net; cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
    let output = world.said(&world.spec("net", script));
    assert_eq!(output, "served\nlo\n0\n");
}
