//! The same container made by libcontainer and by runc looks the same from inside.

use std::process::Command;

use agent::runtime::*;

use crate::support::*;

const LOOK: &str = "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:)' /proc/self/status; \
    echo --; awk '{print $2, $3, $4}' /proc/self/mounts | sort; echo --; cat /proc/self/uid_map; \
    ulimit -n; ulimit -c; env | sort; hostname; pwd; ls -l / | awk '{print $1, $3, $4, $NF}'; \
    cat /proc/self/oom_score_adj; ls -d /sys/class/net/*; \
    touch /x 2>&1; mount -t tmpfs x /tmp 2>&1; unshare -r true 2>&1";

fn look(world: &World, user: &str) -> Vec<String> {
    let mut spec = world.spec("look", LOOK);
    spec.init = false;
    spec.user = user.to_owned();
    world.run(&spec);
    let output = world.output("look");
    let state = world.options.state_dir.display().to_string();
    // Sizes of the host's tables and ids of overlays differ from mount to mount.
    let mut lines: Vec<String> = output
        .lines()
        .map(|line| line.replace(&state, ""))
        .map(|line| {
            line.split(',').filter(|o| !o.starts_with("lowerdir")).collect::<Vec<_>>().join(",")
        })
        .collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_view_is_that_of_runc() {
    if !possible() {
        return;
    }
    if Command::new("runc").arg("--version").output().is_err() {
        eprintln!("skipped: needs the runc command to compare with");
        return;
    }
    for user in ["0", "web"] {
        let ours = look(&World::new(), user);
        let theirs = look(&World::with(DriverKind::Runc), user);
        let only = |a: &[String], b: &[String]| -> Vec<String> {
            a.iter().filter(|line| !b.contains(line)).cloned().collect()
        };
        eprintln!("only ours {:#?}\nonly runc's {:#?}", only(&ours, &theirs), only(&theirs, &ours));
        assert_eq!(only(&ours, &theirs), only(&theirs, &ours));
    }
}
