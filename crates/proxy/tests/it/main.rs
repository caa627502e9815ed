//! The proxy as a process of its own, with real sockets, instances and clients.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod app;
mod failover;
mod features;
mod handover;
mod limits;
mod load;
mod smuggling;
mod tables;
mod tcp;
mod tls;
mod world;

/// What this test binary is when a test starts it again: a proxy, or an instance.
#[test]
fn role() {
    match std::env::var("PROXY_TEST_ROLE").as_deref() {
        Ok("proxy") => world::proxy_main(),
        Ok("app") => app::main(),
        _ => {}
    }
}
