//! The ingress: pure routing and balancing decisions and the engine.
