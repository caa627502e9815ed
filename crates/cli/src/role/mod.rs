//! The long-running roles: `up`, `server`, `agent` and `proxy`. Each puts options together and runs
//! what its crate gives; none of them decides anything about apps.

pub(crate) mod agent;
mod kept;
mod process;
pub(crate) mod proxy;
pub(crate) mod server;
mod unit;
pub(crate) mod up;
