//! Instances from assignment to nothing left.

use std::time::{Duration, Instant};

use api::assignment::Wanted;
use api::status::{ExitCause, InstanceState};
use rustix::process::{Pid, Signal};

use super::world::{World, possible};

const WEB: &str = "[process]\nport = 8080\nwritable = [\"/tmp\"]\n[health]\nhttp = \"/\"\n";

fn curl(world: &World, host: &str) -> String {
    let output = world
        .command("curl")
        .args(["-sS", "--max-time", "10", "-H", &format!("host: {host}")])
        .arg("http://127.0.0.1:7080/")
        .output()
        .unwrap();
    let (out, err) = (output.stdout, output.stderr);
    format!("{}{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err))
}

#[tokio::test(flavor = "multi_thread")]
async fn three_instances_live_are_found_heal_and_go() {
    if !possible() {
        return;
    }
    let mut world = World::new("life");
    let before = world.traces();
    world.ephemeral();
    world.start_agent();
    let entries = vec![
        world.entry("web-production-1", "web", "production", 2),
        world.entry("web-production-2", "web", "production", 3),
        world.entry("web-staging-1", "web", "staging", 4),
    ];
    let workloads =
        vec![world.workload("web", "production", WEB), world.workload("web", "staging", WEB)];
    let generation = world.assign(entries.clone(), workloads.clone());
    let status = world.healthy(generation, 3).await;

    // Names, services and isolation, from inside the first instance.
    let first = &status.instances[0];
    let names = world.inside(first, "nslookup web.production.internal 10.201.7.1");
    assert!(names.contains("10.231.0.1"), "{names}");
    let names = world.inside(first, "nslookup web.staging.internal 10.201.7.1");
    assert!(names.contains("NXDOMAIN"), "{names}");
    let own = world.inside(first, "cat /etc/resolv.conf /etc/hosts /etc/hostname");
    assert!(own.contains("nameserver 10.201.7.1\nsearch production.internal"), "{own}");
    assert!(own.contains("10.201.7.2\tweb-production-1"), "{own}");
    let page = world.fetch(first, "http://10.231.0.1/");
    assert_eq!(page, "hello\n", "the service address");
    let page = world.fetch(first, "http://10.201.7.4:8080/");
    assert!(!page.contains("hello"), "another environment was reached");
    // The first process is our init; the app is its only child.
    let init = first.pid.unwrap();
    let app = std::fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
    let env = std::fs::read(format!("/proc/{}/environ", app.trim())).unwrap();
    let env = String::from_utf8_lossy(&env).replace('\0', "\n");
    assert!(env.contains("FREEHOLD_INSTANCE=web-production-1\n"), "{env}");

    // The ingress.
    assert_eq!(curl(&world, "web-production.example"), "hello\n", "{}", world.agent_log());
    assert!(curl(&world, "nobody.example").contains("404") || !curl(&world, "x").is_empty());

    // A killed process comes back by itself.
    let pid = Pid::from_raw(i32::try_from(first.pid.unwrap()).unwrap()).unwrap();
    let killed = Instant::now();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    let status = world
        .reports(|status| {
            let first = &status.instances[0];
            first.restarts == 1 && first.state == InstanceState::Healthy
        })
        .await;
    eprintln!("healthy again after {:?}", killed.elapsed());
    let exit = status.instances[0].last_exit.clone().unwrap();
    assert_eq!(exit.cause, ExitCause::Signaled(9));

    // One is stopped, the others stay.
    let mut fewer = entries.clone();
    fewer[1].wanted = Wanted::Stop;
    world.assign(fewer, workloads.clone());
    let stopped = world.reports(|status| status.instances[1].state == InstanceState::Stopped).await;
    assert_eq!(stopped.instances[0].pid, status.instances[0].pid);
    assert_eq!(stopped.instances[2].pid, status.instances[2].pid);
    world.assign(vec![entries[0].clone()], workloads);
    world.reports(|status| status.instances.len() == 1).await;

    // Ephemeral: an orderly end leaves nothing.
    world.end_agent(Signal::TERM).await;
    assert_eq!(world.traces(), before, "{}", world.agent_log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why_and_its_last_lines_are_read() {
    if !possible() {
        return;
    }
    let mut world = World::new("fail");
    world.ephemeral();
    world.start_agent();
    let broken = "[process]\ncommand = [\"/bin/nothing\"]\n";
    let dying = "[process]\ncommand = [\"/bin/sh\", \"-c\", \"echo one; echo two >&2; exit 7\"]\n";
    let entries = vec![
        world.entry("broken-staging-1", "broken", "staging", 2),
        world.entry("dying-staging-1", "dying", "staging", 3),
        world.entry("missing-staging-1", "missing", "staging", 4),
    ];
    let workloads = vec![
        world.workload("broken", "staging", broken),
        world.workload("dying", "staging", dying),
    ];
    world.assign(entries, workloads);
    let status = world
        .reports(|status| {
            status.instances.len() == 3
                && status.instances[0].last_exit.is_some()
                && status.instances[1].restarts >= 1
                && status.instances[1].last_exit.is_some()
        })
        .await;
    let cause = &status.instances[0].last_exit.as_ref().unwrap().cause;
    assert!(
        matches!(cause, ExitCause::StartFailed(why) if why.contains("/bin/nothing")),
        "{cause:?}"
    );
    let cause = &status.instances[1].last_exit.as_ref().unwrap().cause;
    assert_eq!(*cause, ExitCause::Exited(7));
    assert!(status.instances[2].message.contains("no workload"), "{status:?}");

    let instance = status.instances[1].instance.clone();
    let id = "r1".to_owned();
    let request = api::protocol::LogRequest { id, instance, tail: 2, follow: false };
    world.server.say(&api::protocol::Down::Logs(request));
    let mut lines = world.server.lines.lock().await;
    let mut texts = Vec::new();
    for _ in 0..2 {
        let line = tokio::time::timeout(Duration::from_secs(30), lines.recv()).await;
        let line = line.unwrap().unwrap();
        texts.push((line.text, line.stderr));
    }
    texts.sort();
    assert_eq!(texts, [("one".to_owned(), false), ("two".to_owned(), true)]);
    drop(lines);
    world.end_agent(Signal::TERM).await;
}
