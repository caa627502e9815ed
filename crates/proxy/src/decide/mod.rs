//! What the proxy decides, as pure functions over values: no sockets, no clock, no randomness of
//! their own (time and random numbers are arguments).

pub mod eject;
pub mod forwarded;
pub mod hello;
pub mod hop;
pub mod pick;
pub mod proxy_protocol;
pub mod retry;
pub mod route;
pub mod table;
