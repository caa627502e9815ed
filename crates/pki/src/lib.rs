//! The cluster's own trust: certificate authority, certificates, tokens and sealed secrets.
//!
//! * [`CertificateAuthority`] signs, [`Identity`] is a certificate with its key, [`CaBundle`] is
//!   what a peer trusts, [`PeerIdentity`] is what a certificate says about its holder.
//! * [`ServerTls`] and [`ClientTls`] make `rustls` configurations (one provider: ring), and so does
//!   [`SwappableAuthorities`], whose authorities may be exchanged meanwhile.
//! * [`Token`] and [`TokenHash`] are opaque credentials and what may be stored of them.
//! * [`JoinToken`] lets one machine in; [`PinnedAuthority`] is how it knows whom it joins,
//!   [`HandoverKey`] how a server gets the cluster's keys.
//! * [`Keyring`] seals secrets at rest.
//!
//! Nothing here reads a clock: the time is a parameter of every decision. Nothing here opens a
//! socket, and no private value is ever shown by `Debug` or put into an error.

mod between;
mod bundle;
mod ca;
mod files;
mod handover;
mod identity;
mod invite;
mod key;
mod keyring;
mod member;
mod peer;
mod pin;
mod random;
mod seal;
mod tls;
mod token;
mod trusting;
mod validity;

pub use between::member_tls;
pub use bundle::{BundleError, CaBundle, Fingerprint, ParseFingerprintError};
pub use ca::{CaError, CertificateAuthority, ServerNames};
pub use files::{FileError, PRIVATE_MODE, PUBLIC_MODE, read_private, write_atomic};
pub use handover::{HandoverError, HandoverKey, hand_over};
pub use identity::{Identity, IdentityError};
pub use invite::JoinToken;
pub use key::{HostKey, SigningRequest, key_of};
pub use keyring::{Keyring, KeyringError, MasterKeyId};
pub use member::{Member, MemberError};
pub use peer::{PeerError, PeerIdentity, PeerRole};
pub use pin::{PinError, PinnedAuthority};
pub use seal::{MAX_SECRET_BYTES, SealContext, SealError, Sealed};
pub use tls::{ClientAuth, ClientTls, SwappableIdentity, TlsError, install_provider, server_tls};
pub use tls::{ServerTls, client_tls};
pub use token::{MalformedTokenHash, Token, TokenError, TokenHash, TokenId, mint, verify};
pub use trusting::SwappableAuthorities;
pub use validity::{Renewal, Validity};
