//! From one loaded rule set to the next: elements straight into the kernel where nothing else
//! changes, by `nft` otherwise.
//!
//! `nft` reads every rule and set of the machine before it changes anything, so it takes tens of
//! milliseconds for one element of a large rule set.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_netfilter::nftables::{
    DataAttribute, ListAttribute, NfTablesMessage, SetElementAttribute, SetElementList,
    SetElementMessage, Verdict, VerdictAttribute,
};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};

use super::apply::{NftError, apply};
use super::diff::{Changes, diff};
use super::element::{Data, Key, Set, Value};
use super::ruleset::Ruleset;
use crate::netlink::{Family, Request, Socket};
use crate::{NetlinkError, Slug};

/// Elements per message: the attribute that holds them has 16 bits of length and one element at
/// most 100 bytes.
const PER_MESSAGE: usize = 500;
/// Elements that go straight into the kernel. More are seconds' work of somebody who joins: a
/// transaction of so many is some 3 MB.
const MOST: usize = 30_000;

/// Changes what is loaded in the network namespace where it was opened.
///
/// It is to be kept: closing its socket waits until the kernel has freed what changes replaced,
/// which takes longer than the changes.
#[derive(Debug)]
pub struct Changer {
    socket: Socket,
}

impl Changer {
    /// Opens it in the calling thread's network namespace.
    ///
    /// # Errors
    /// The kernel gives no socket.
    pub fn open() -> Result<Self, NetlinkError> {
        Ok(Self { socket: Socket::open(Family::Netfilter)? })
    }

    /// Brings the kernel from a loaded `old` to `new` in one transaction. It is called in the
    /// namespace where this was opened.
    ///
    /// # Errors
    /// When the kernel or nft refuses; the rules are as before then. It also refuses when the
    /// kernel's rules are not `old`: load `new` in full then.
    pub fn bring(&mut self, old: &Ruleset, new: &Ruleset) -> Result<(), NftError> {
        let Some(requests) = requests(old, new) else {
            return diff(old, new).map_or(Ok(()), |script| apply(&script));
        };
        if !requests.is_empty() {
            let (sets, requests): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
            let name = |index: usize| sets.get(index).map_or("a set", |set: &Set| set.name());
            let doing = |index| format!("changing elements of {}", name(index));
            self.socket.transact(requests, doing)?;
        }
        Ok(())
    }
}

/// The messages that change elements; none where more than that changes.
fn requests(old: &Ruleset, new: &Ruleset) -> Option<Vec<(Set, Request<NetfilterMessage>)>> {
    if old.base != new.base {
        return None;
    }
    let changes = Changes::between(old, new);
    let (deleted, added) = changes.elements().filter(|_| changes.len() <= MOST)?;
    let slug = &new.base.slug;
    let mut requests = Vec::new();
    for (set, keys) in deleted {
        for keys in keys.chunks(PER_MESSAGE) {
            let elements = keys.iter().map(|key| element(key, None)).collect::<Option<_>>()?;
            let message = NfTablesMessage::DeleteSetElement(of(slug, *set, elements));
            requests.push((*set, request(message, 0)));
        }
    }
    for (set, entries) in added {
        for entries in entries.chunks(PER_MESSAGE) {
            let elements = entries.iter().map(|(key, value)| element(key, value.as_ref()));
            let elements = elements.collect::<Option<_>>()?;
            let message = NfTablesMessage::NewSetElement(of(slug, *set, elements));
            requests.push((*set, request(message, NLM_F_CREATE | NLM_F_EXCL)));
        }
    }
    Some(requests)
}

fn request(message: NfTablesMessage, flags: u16) -> Request<NetfilterMessage> {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0);
    Request::new(NetfilterMessage::new(header, message), flags)
}

fn of(
    slug: &Slug,
    set: Set,
    elements: Vec<ListAttribute<SetElementAttribute>>,
) -> SetElementMessage {
    let attributes = vec![
        SetElementList::Table(slug.table()),
        SetElementList::Set(set.name().to_owned()),
        SetElementList::Elements(elements),
    ];
    SetElementMessage { attributes }
}

fn element(key: &Key, value: Option<&Value>) -> Option<ListAttribute<SetElementAttribute>> {
    let mut attributes = vec![SetElementAttribute::Key(DataAttribute::Value(key.bytes()?))];
    attributes.extend(value.map(|value| {
        SetElementAttribute::Data(match value.data() {
            Data::Bytes(bytes) => DataAttribute::Value(bytes),
            Data::Goto(chain) => DataAttribute::Verdict(vec![
                VerdictAttribute::Code(Verdict::Goto),
                VerdictAttribute::Chain(chain),
            ]),
        })
    }));
    Some(ListAttribute::Element(attributes))
}
