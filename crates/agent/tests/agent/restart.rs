//! Agents and proxies that die.

use std::time::Duration;

use api::status::{ExitCause, HostStatus};
use rustix::process::{Pid, Signal};

use super::world::{World, possible};

const WEB: &str = "[process]\nport = 8080\n[health]\nhttp = \"/\"\n";
/// Writes a number every millisecond or so.
const COUNTING: &str = "[process]\ncommand = [\"/bin/sh\", \"-c\", \
    \"i=0; while true; do i=$((i+1)); echo $i; /bin/sleep 0.001; done\"]\n";

fn pids(status: &HostStatus) -> Vec<Option<u32>> {
    status.instances.iter().map(|instance| instance.pid).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_is_followed_by_one_that_takes_over() {
    if !possible() {
        return;
    }
    let mut world = World::new("again");
    world.start_agent();
    let entries = vec![
        world.entry("count-staging-1", "count", "staging", 2),
        world.entry("once-staging-1", "once", "staging", 3),
        world.entry("web-staging-1", "web", "staging", 4),
    ];
    let once = "[process]\ncommand = [\"/bin/sleep\", \"1000\"]\n";
    let workloads = vec![
        world.workload("count", "staging", COUNTING),
        world.workload("once", "staging", once),
        world.workload("web", "staging", WEB),
    ];
    let generation = world.assign(entries, workloads);
    let before = world.healthy(generation, 3).await;
    let serves = |world: &World| {
        let mut curl = world.command("curl");
        let curl = curl.args(["-sS", "--max-time", "10", "-H", "host: web-staging.example"]);
        let output = curl.arg("http://127.0.0.1:7080/").output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(serves(&world), "hello\n");

    world.end_agent(Signal::KILL).await;
    // The ingress goes on without an agent; what dies meanwhile is known afterwards.
    assert_eq!(serves(&world), "hello\n");
    let pid = before.instances[1].pid.unwrap();
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::USR1).unwrap();
    world.start_agent();
    let after = world
        .reports(|status| {
            status.generation == generation
                && status.instances.len() == 3
                && status.instances[1].restarts == 1
                && status.instances[1].pid.is_some()
        })
        .await;
    assert_eq!(pids(&after)[0], pids(&before)[0]);
    assert_eq!(pids(&after)[2], pids(&before)[2]);
    let exit = after.instances[1].last_exit.clone().unwrap();
    assert_eq!(exit.cause, ExitCause::Signaled(Signal::USR1.as_raw()));
    assert_eq!(after.instances[0].restarts, 0);
    assert_eq!(serves(&world), "hello\n");

    // Every number once and in order, across the agent's death.
    let instance = after.instances[0].instance.clone();
    let request =
        api::protocol::LogRequest { id: "c".into(), instance, tail: 50_000, follow: true };
    world.server.say(&api::protocol::Down::Logs(request));
    let mut lines = world.server.lines.lock().await;
    for expected in 1..=500_u64 {
        let line = tokio::time::timeout(Duration::from_secs(30), lines.recv()).await;
        let line = line.unwrap().unwrap();
        assert_eq!((line.text.as_str(), line.sequence), (&*expected.to_string(), expected));
    }
    drop(lines);

    // An orderly end leaves containers running too; then the ephemeral one clears up.
    world.end_agent(Signal::TERM).await;
    assert_eq!(serves(&world), "hello\n");
    world.start_agent();
    world.reports(|status| pids(status) == pids(&after)).await;
    world.end_agent(Signal::KILL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_proxy_refuses_nobody() {
    if !possible() {
        return;
    }
    let mut world = World::new("proxy");
    world.ephemeral();
    world.start_agent();
    let entries = vec![world.entry("web-staging-1", "web", "staging", 2)];
    let workloads = vec![world.workload("web", "staging", WEB)];
    let generation = world.assign(entries, workloads);
    world.healthy(generation, 1).await;
    let ask = |world: &World| {
        let mut curl = world.command("curl");
        let curl = curl.args(["-sS", "--max-time", "20", "-H", "host: web-staging.example"]);
        let output = curl.arg("http://127.0.0.1:7080/").output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (String::from_utf8_lossy(&output.stdout).into_owned(), error)
    };
    assert_eq!(ask(&world).0, "hello\n");
    for _ in 0..3 {
        let control = "/dev/shm/freehold-agent-proxy/proxy.sock";
        let (_, greeting) = proxy::control::Client::connect(control.as_ref()).await.unwrap();
        let pid = Pid::from_raw(i32::try_from(greeting.pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
        // The socket is the agent's: the question waits there for the next proxy.
        let (page, error) = ask(&world);
        assert_eq!(page, "hello\n", "{error}\n{}", world.agent_log());
    }
    world.end_agent(Signal::TERM).await;
}
