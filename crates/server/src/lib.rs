//! The control plane: HTTP API, controllers, image registry.
