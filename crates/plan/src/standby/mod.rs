//! Which hosts have which images ahead of need, so that recovery never waits for a fetch: for each
//! host and each failure domain that could be lost, the hosts that would take its instances. And
//! which hosts give layers to which.

mod foresee;
mod sources;
#[cfg(test)]
mod tests;

pub use foresee::{ASSUMED_SIZE, MAX_IMAGES, Standby, standby};
pub use sources::{Lists, lists};
