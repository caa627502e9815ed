//! The host side: runtime, shim, images, network, DNS, health, logs.
