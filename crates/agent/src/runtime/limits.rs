//! What a container may use, and the arithmetic from our units to the kernel's.

use serde::{Deserialize, Serialize};

/// Shares of one whole core: cgroup v1's default weight (1024), see
/// Documentation/scheduler/sched-bwc.
const SHARES_PER_CORE: u64 = 1024;
/// Least and most `cpu.shares` the kernel takes.
const SHARES_RANGE: (u64, u64) = (2, 262_144);
/// Quota period: 100 ms, the kernel's default; a shorter one throttles in finer steps but costs
/// more.
pub(super) const CPU_PERIOD_US: u64 = 100_000;
/// Least quota the kernel takes is 1 ms a period.
const MIN_QUOTA_US: i64 = 1_000;

/// CPU: a guarantee by weight and an optional ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuLimits {
    /// Guaranteed share in thousandths of a core; what the planner counts.
    pub guaranteed_milli: u32,
    /// Ceiling in thousandths of a core; none means all that is idle.
    pub max_milli: Option<u32>,
}

/// All limits of one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// CPU guarantee and ceiling.
    pub cpu: CpuLimits,
    /// Hard memory limit in bytes; writable tmpfs counts; swap is off.
    pub memory_bytes: u64,
    /// Most processes and threads at once, our init included.
    pub pids: u32,
    /// Open files per process (soft and hard); never above the host's own hard limit.
    pub open_files: u64,
}

impl CpuLimits {
    /// `cpu.shares` of cgroup v1; the OCI unit, which drivers turn into `cpu.weight` on v2.
    #[must_use]
    pub fn shares(self) -> u64 {
        let (least, most) = SHARES_RANGE;
        (u64::from(self.guaranteed_milli) * SHARES_PER_CORE / 1000).clamp(least, most)
    }

    /// Microseconds of CPU time per [`CPU_PERIOD_US`], when there is a ceiling.
    #[must_use]
    pub fn quota_us(self) -> Option<i64> {
        let milli = u64::from(self.max_milli?);
        let quota = milli * CPU_PERIOD_US / 1000;
        Some(i64::try_from(quota).unwrap_or(i64::MAX).max(MIN_QUOTA_US))
    }
}

#[cfg(test)]
mod tests {
    use super::CpuLimits;

    #[test]
    fn shares_keep_the_ratio_and_the_range() {
        let of = |milli| CpuLimits { guaranteed_milli: milli, max_milli: None }.shares();
        assert_eq!((of(250), of(750), of(1000)), (256, 768, 1024));
        assert_eq!((of(0), of(u32::MAX)), (2, 262_144));
    }

    #[test]
    fn quota_is_part_of_the_period() {
        let of = |max_milli| CpuLimits { guaranteed_milli: 1, max_milli }.quota_us();
        assert_eq!(of(Some(500)), Some(50_000));
        assert_eq!(of(Some(2500)), Some(250_000));
        assert_eq!(of(Some(1)), Some(1_000));
        assert_eq!(of(None), None);
    }
}
