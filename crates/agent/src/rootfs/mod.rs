//! A container's root: a read-only overlay on idmapped clones of its layers, with mount points for
//! whatever is mounted inside, and names of users resolved in it.
//!
//! Runs in the shim's forked child, in a mount namespace of its own, so nothing here is ever to be
//! unmounted: it all goes with the namespace.
