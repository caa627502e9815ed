//! Certificate authority, certificates, tokens and sealing.
