//! Supervision of real processes: shells that live, die and are told to end.

use std::path::Path;

use super::*;

struct World {
    dir: tempfile::TempDir,
    wish: watch::Sender<Wish>,
    handle: Handle,
    running: tokio::task::JoinHandle<bool>,
}

/// Supervises a shell running `script`, in which `$DIR` is a directory of the test's own.
fn world(script: &str) -> World {
    let dir = tempfile::tempdir().unwrap();
    let script = format!("DIR={}; {script}", dir.path().display());
    let role = Role {
        name: "child",
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script, "child".into()],
        held: File::open("/dev/null").unwrap(),
        log: log_path(dir.path(), "child"),
        echo: false,
    };
    let (wish, wished) = watch::channel(Wish::Run);
    let (supervised, handle) = Supervised::new(role, wished).unwrap();
    World { dir, wish, handle, running: tokio::spawn(supervised.run()) }
}

/// Waits until a file has this many lines; gives them.
async fn lines(path: &Path, count: usize) -> Vec<String> {
    let look = async {
        loop {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            if text.matches('\n').count() >= count {
                return text.lines().map(str::to_owned).collect();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), look).await;
    waited.unwrap_or_else(|_| panic!("{} never had {count} lines", path.display()))
}

#[tokio::test]
async fn what_dies_is_started_again_and_its_end_is_told() {
    let mut world = world("echo started >>$DIR/starts; echo oh no >&2; exit 3");
    lines(&world.dir.path().join("starts"), 3).await;
    let health = world.handle.health.wait_for(|health| health.deaths >= 2).await.unwrap().clone();
    assert_eq!(health.last, "exit code 3");
    assert!(world.handle.last_lines().iter().any(|line| line == "oh no"));
    world.wish.send_replace(Wish::Stop);
    assert!(world.running.await.unwrap());
}

#[tokio::test]
async fn a_killed_one_is_started_again() {
    let mut world = world("echo $$ >>$DIR/pids; exec sleep 1000");
    let pid: i32 = lines(&world.dir.path().join("pids"), 1).await[0].parse().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    let pids = lines(&world.dir.path().join("pids"), 2).await;
    assert_ne!(pids[0], pids[1]);
    world.handle.health.wait_for(|health| health.last == "signal 9").await.unwrap();
    world.wish.send_replace(Wish::Kill);
    assert!(!world.running.await.unwrap(), "it had to be killed");
}

#[tokio::test]
async fn an_end_in_order_lets_it_finish() {
    let script = "trap 'echo bye >>$DIR/log; exit 0' TERM; echo up >>$DIR/log; \
                  while :; do sleep 0.01; done";
    let world = world(script);
    let log = world.dir.path().join("log");
    lines(&log, 1).await;
    world.wish.send_replace(Wish::Stop);
    assert!(world.running.await.unwrap());
    assert_eq!(lines(&log, 2).await, ["up", "bye"]);
    assert_eq!(world.handle.health.borrow().deaths, 0);
}

#[tokio::test]
async fn the_supervisor_names_itself_and_hands_over_what_is_held() {
    let world =
        world("echo \"$1 $2\" >>$DIR/log; readlink /proc/$$/fd/0 >>$DIR/log; exec sleep 1000");
    let lines = lines(&world.dir.path().join("log"), 2).await;
    assert_eq!(lines, [format!("--supervised-by {}", std::process::id()), "/dev/null".into()]);
    world.wish.send_replace(Wish::Kill);
    world.running.await.unwrap();
}

#[test]
fn pauses_double_up_to_the_longest_and_end_with_a_good_life() {
    let short = Duration::from_millis(1);
    let mut pause = Duration::ZERO;
    let mut all = Vec::new();
    for _ in 0..8 {
        pause = next_pause(pause, short);
        all.push(pause.as_millis());
    }
    assert_eq!(all, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
    assert_eq!(next_pause(pause, GOOD_LIFE), Duration::ZERO);
}
