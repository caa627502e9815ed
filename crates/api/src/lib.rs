//! Object kinds, typed ids and units, validation, host protocol types and error codes.
