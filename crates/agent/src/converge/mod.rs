//! From the assignment to running containers.
//!
//! [`Converger`] takes assignments and keeps one driver per instance; a driver owns the instance's
//! machine (`plan::instance`), carries out its effects and tells it what became of them. What to
//! run is decided by the server, when to start and stop by the machine; nothing is decided here.

mod accept;
mod adopt;
mod clock;
mod containers;
mod converger;
mod driver;
mod host;
mod spec;
mod work;

pub use accept::{Verdict, judge};
pub use clock::Clock;
pub use containers::{Containers, Paths, Prepared};
pub use converger::{Converger, Documents, Order, StatusReceiver};
pub use host::{Ended, Found, Host, Progress, Running, Unprepared};
pub use spec::{SpecError, container_spec};
