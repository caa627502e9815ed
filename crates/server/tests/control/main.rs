//! The controllers on a real store, with agents that speak the real protocol and behave as told.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod copies;
mod observers;
mod servers;
mod severed;
mod vips;
mod world;

use std::time::Duration;

use api::deployment::Phase;
use api::error::ErrorCode;
use api::id::EnvironmentName;
use api::operation::{PromoteRequest, RollbackRequest};
use world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_goes_through_the_pipeline_and_back() {
    let world = World::start().await;
    world.agent("h1").await;
    let answer = world.deploy("shop", 2, "img:1", false).await.unwrap();
    assert_eq!((answer.release.0, answer.new_release, answer.unchanged), (1, true, false));
    world.wait_phase("shop", "staging", Phase::Complete).await;

    let caller = server::core::Caller::platform();
    let app = "shop".parse().unwrap();
    let promoted = world.core.promote(&caller, &app, PromoteRequest::default()).await.unwrap();
    assert_eq!(promoted.environment, EnvironmentName::new("production").unwrap());
    world.wait_phase("shop", "production", Phase::Complete).await;
    assert_eq!(world.core.instances(Some(&app), None).len(), 4);

    let same = world.deploy("shop", 2, "img:1", false).await.unwrap();
    assert!(same.unchanged && !same.new_release);
    let next = world.deploy("shop", 2, "img:2", false).await.unwrap();
    assert_eq!(next.release.0, 2);
    world.wait_phase("shop", "staging", Phase::Complete).await;
    let request = RollbackRequest { environment: Some(stage("staging")), ..Default::default() };
    let back = world.core.rollback(&caller, &app, request).await.unwrap();
    assert_eq!(back.release.0, 1);
    world.wait_phase("shop", "staging", Phase::Complete).await;

    world.core.remove_app(&caller, &app).await.unwrap();
    world.wait("the app to be gone", |core| core.view().apps.is_empty()).await;
    assert!(world.core.instances(None, None).is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_does_not_work_is_taken_back_and_says_why() {
    let world = World::start().await;
    let agent = world.agent("h1").await;
    world.deploy("shop", 2, "img:1", false).await.unwrap();
    world.wait_phase("shop", "staging", Phase::Complete).await;
    let before: Vec<_> = world.core.instances(None, None);
    agent.break_release(2);
    world.deploy("shop", 2, "img:2", false).await.unwrap();
    world.wait_phase("shop", "staging", Phase::RolledBack).await;
    world.wait("only the old instances", |core| core.instances(None, None).len() == 2).await;
    let after = world.core.instances(None, None);
    let ids = |rows: &[api::instance::Instance]| {
        rows.iter().map(|row| row.instance.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&before), ids(&after));
    let status = world.core.status(&"shop".parse().unwrap()).unwrap().remove(0);
    assert!(status.deployment.reason.contains("exit code 7"), "{}", status.deployment.reason);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_server_moves_nothing_and_shuts_the_old_one_out() {
    let world = World::start().await;
    let _agent = world.agent("h1").await;
    world.deploy("shop", 3, "img:1", false).await.unwrap();
    world.wait_phase("shop", "staging", Phase::Complete).await;
    let before = world.core.view().assignments.clone();

    // Another server takes the lead on the same store; its agent connects anew.
    let first_term = world.term().await;
    let second = world.second_server().await;
    second.term().await;
    let _agent = second.agent("h1").await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    let after = second.core.view().assignments.clone();
    for (host, row) in &before {
        assert_eq!(row.document.body, after[host].document.body);
    }
    // What the first one writes as a leader is refused by the store; only one of them plans.
    let team = api::team::Team {
        name: "late".parse().unwrap(),
        description: String::new(),
        created: api::time::Timestamp(0),
    };
    let write =
        |term: &server::core::Term| server::core::Change::new().create(&team).when(term.fence());
    let refused = write(&first_term).commit(world.store.as_ref()).await;
    assert!(matches!(refused, Err(server::core::CommitError::Conflict)), "{refused:?}");
    write(&second.term().await).commit(world.store.as_ref()).await.unwrap();
    world.deploy("cart", 1, "img:1", false).await.unwrap();
    second.wait_phase("cart", "staging", Phase::Complete).await;
    let instances = second.core.instances(Some(&"cart".parse().unwrap()), None);
    assert_eq!(instances.len(), 1, "two leaders would have made two: {instances:?}");
    second.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_admitted_changes_nothing() {
    let world = World::start().await;
    let error = world.deploy("shop", 1, "nothing:1", false).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound);
    assert!(error.hint.is_some());
    world.deploy("shop", 1, "img:1", true).await.unwrap();
    assert!(world.core.view().apps.is_empty(), "a dry run writes nothing");
    world.deploy("shop", 1, "img:1", false).await.unwrap();
    let taken = world.deploy_with_route("cart", "shop.example.com").await.unwrap_err();
    assert_eq!(taken.code, ErrorCode::Conflict, "{taken:?}");
    assert!(!world.core.view().apps.contains_key("cart"));
    let caller = server::core::Caller::platform();
    let app = "shop".parse().unwrap();
    let early = world.core.promote(&caller, &app, PromoteRequest::default()).await.unwrap_err();
    assert_eq!(early.code, ErrorCode::Blocked, "no host: it is not complete in staging");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_for_a_while_delays_and_loses_nothing() {
    let world = World::start().await;
    world.agent("h1").await;
    world.deploy("shop", 3, "img:1", false).await.unwrap();
    for _ in 0..5 {
        world.store.faults().fail_writes(3);
        tokio::time::sleep(Duration::from_millis(60)).await;
        world.store.disconnect_watches();
    }
    world.store.faults().heal();
    world.wait_phase("shop", "staging", Phase::Complete).await;
    assert_eq!(world.core.instances(None, None).len(), 3);
    world.stop().await;
}

fn stage(name: &str) -> EnvironmentName {
    EnvironmentName::new(name).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_of_two_environments_leads_to_the_last_that_was_ever_complete() {
    let world = World::start().await;
    let agent = world.agent("h1").await;
    let answer = world.deploy_named_everywhere("shop", "shop.example.com").await.unwrap();
    assert!(answer.warnings[0].contains("shop.example.com"), "{:?}", answer.warnings);
    world.wait_phase("shop", "staging", Phase::Complete).await;
    let owner = || {
        let mut specs = server::core::Specs::default();
        let snapshot = world.core.snapshot(&world.core.view(), &mut specs);
        let app = "shop".parse().unwrap();
        plan::tables::owner(&snapshot, &app, "shop.example.com").map(ToString::to_string)
    };
    assert_eq!(owner().as_deref(), Some("staging"));
    let caller = server::core::Caller::platform();
    let app = "shop".parse().unwrap();
    world.core.promote(&caller, &app, PromoteRequest::default()).await.unwrap();
    world.wait_phase("shop", "production", Phase::Complete).await;
    assert_eq!(owner().as_deref(), Some("production"));
    // It stays there, whatever becomes of it.
    agent.break_release(1);
    assert_eq!(owner().as_deref(), Some("production"));
    world.stop().await;
}
