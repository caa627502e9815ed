//! How large a layer may be.

/// Limits of one layer. The defaults hold the largest images in use (machine learning ones have
/// layers of some 10 GiB and some 200,000 files) and stop what only means harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of the unpacked archive, and most bytes of all its files, holes included.
    pub total_bytes: u64,
    /// Most entries.
    pub entries: u64,
    /// Longest path, in bytes. The kernel takes 4,096 with the final NUL (`PATH_MAX`).
    pub path_bytes: usize,
    /// Deepest path, in components.
    pub depth: usize,
    /// Largest value of an extended attribute (the kernel's `XATTR_SIZE_MAX`).
    pub xattr_bytes: usize,
    /// Most unpacked bytes per byte of the blob, once there are more than
    /// [`Limits::ratio_floor_bytes`]. gzip can reach 1,032, zstd far
    /// more; real layers stay below 50.
    pub ratio: u64,
    /// Unpacked bytes up to which no ratio is asked.
    pub ratio_floor_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total_bytes: 64 << 30,
            entries: 2_000_000,
            path_bytes: 4095,
            depth: 256,
            xattr_bytes: 64 << 10,
            ratio: 400,
            ratio_floor_bytes: 512 << 20,
        }
    }
}
