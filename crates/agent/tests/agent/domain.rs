//! The failure domain as a command of the operator's says it, while the agent runs and after.

use std::fs;

use rustix::process::Signal;

use super::world::{World, possible};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_command_says_counts_and_a_failure_changes_nothing() {
    if !possible() {
        return;
    }
    let mut world = World::new("domain");
    let answer = world.file("domain");
    let say = |text: &str| {
        // Whole or not at all: the command may read it at any time.
        fs::write(answer.with_extension("new"), text).unwrap();
        fs::rename(answer.with_extension("new"), &answer).unwrap();
    };
    say("rack-1/hv-1\n");
    world.set("domain_command", format!("cat {}", answer.display()));
    world.start_agent();
    let stands = async |world: &World, domain: &str, well: bool| {
        let wanted = |about: &api::about::About| {
            about.place.domain.as_ref().is_some_and(|it| it.to_string() == domain)
                && about.domain_problem.is_empty() == well
        };
        world.heard(world.server.about.clone(), wanted).await.domain_problem
    };
    stands(&world, "rack-1/hv-1", true).await;
    // The machine was moved.
    say("rack-1/hv-2");
    stands(&world, "rack-1/hv-2", true).await;

    fs::remove_file(&answer).unwrap();
    let problem = stands(&world, "rack-1/hv-2", false).await;
    assert!(problem.contains("No such file"), "{problem}");
    say("two\nlines");
    let not_one = |about: &api::about::About| about.domain_problem.contains("not one line");
    world.heard(world.server.about.clone(), not_one).await;
    stands(&world, "rack-1/hv-2", false).await;

    // What was known last is known to the next agent, before its command has said anything.
    world.end_agent(Signal::KILL).await;
    let before = world.streams(&world.server, |streams| streams.open == 0).await;
    fs::remove_file(&answer).unwrap();
    world.ephemeral();
    world.start_agent();
    world.streams(&world.server, |streams| streams.opened > before.opened).await;
    let gone = |about: &api::about::About| about.domain_problem.contains("No such file");
    world.heard(world.server.about.clone(), gone).await;
    stands(&world, "rack-1/hv-2", false).await;
    say("rack-2/hv-9");
    stands(&world, "rack-2/hv-9", true).await;
    world.end_agent(Signal::TERM).await;
}
