//! OCI images: types, content store, pack and unpack.
