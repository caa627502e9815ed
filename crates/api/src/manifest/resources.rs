//! `[resources]` and `[scale]`: what an instance gets, and how many there are.

use crate::unit::{Bytes, MilliCpu};

use super::decode::table;

/// The most cpu an instance can ask for: 1,024 cores, above any machine.
const MAX_CPU: MilliCpu = MilliCpu(1_024_000);

table! {
    /// What an instance gets.
    pub struct Resources {
        /// The share of processor time it is guaranteed; what the planner counts.
        pub cpu: MilliCpu = MilliCpu(100), within MilliCpu(1), MAX_CPU;
        /// The most processor time it can use, at least `cpu`; none is no ceiling.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(example = "500m")]
        pub cpu_max: Option<MilliCpu> = None, within MilliCpu(1), MAX_CPU;
        /// The memory it can use, what is in `process.writable` included; 4MiB to 1TiB.
        pub memory: Bytes = Bytes::mib(128), within Bytes::mib(4), Bytes(1 << 40);
        /// How many processes and threads it can have.
        pub pids: u32 = 64, in 1, 32768;
        /// The disk it can use, at least the sum of `process.scratch`, which is the default.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(example = "2GiB")]
        pub disk: Option<Bytes> = None, within Bytes::mib(1), Bytes(64 << 40);
    }
}

table! {
    /// How many instances there are.
    pub struct Scale {
        /// The number of instances; 0 keeps the app without any.
        pub instances: u32 = 1, in 0, 10_000;
    }
}
