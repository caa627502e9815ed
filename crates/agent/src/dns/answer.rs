//! The decision on one question: answered here, passed on, or refused. Pure.

use std::net::Ipv4Addr;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::table::{Found, NameTable};

/// The zone that is ours.
const ZONE: &str = "internal.";

/// How long an address may be remembered, in seconds: services keep theirs, so this only bounds how
/// long a name that was removed lives on.
const TTL_S: u32 = 5;

/// How long it may be remembered that a name is not there, in seconds (RFC 2308 §5): short, since
/// apps start before those they use.
const NEGATIVE_TTL_S: u32 = 1;

/// What becomes of a question.
#[derive(Debug)]
pub enum Answer {
    /// This is the answer, ready to be sent.
    Ready(Vec<u8>),
    /// The host's resolvers are to be asked.
    Forward,
    /// Nothing is sent: it was no question.
    Ignore,
}

/// Decides on the question in `packet`, asked from the address `asker`.
#[must_use]
pub fn answer(table: &NameTable, asker: Ipv4Addr, packet: &[u8]) -> Answer {
    let Ok(question) = Message::from_vec(packet) else { return malformed(packet) };
    if question.metadata.message_type != MessageType::Query {
        return Answer::Ignore;
    }
    let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
    reply.metadata.recursion_desired = question.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    if question.metadata.op_code != OpCode::Query {
        return finish(reply, ResponseCode::NotImp);
    }
    let [query] = question.queries.as_slice() else {
        return finish(reply, ResponseCode::FormErr);
    };
    let zone = Name::from_ascii(ZONE).expect("the zone's name is one");
    if query.query_class() != DNSClass::IN || !zone.zone_of(query.name()) {
        return Answer::Forward;
    }
    reply.metadata.authoritative = true;
    reply.add_query(query.clone());
    let labels: Vec<String> = query
        .name()
        .iter()
        .map(|label| String::from_utf8_lossy(label).to_ascii_lowercase())
        .collect();
    let found = table.find(asker, &labels[..labels.len().saturating_sub(1)]);
    match found {
        Found::Address(address)
            if matches!(query.query_type(), RecordType::A | RecordType::ANY) =>
        {
            let data = RData::A(A(address));
            reply.add_answer(Record::from_rdata(query.name().clone(), TTL_S, data));
            finish(reply, ResponseCode::NoError)
        }
        Found::Address(_) | Found::Branch => {
            reply.add_authority(start_of_authority(&zone));
            finish(reply, ResponseCode::NoError)
        }
        Found::Nothing => {
            reply.add_authority(start_of_authority(&zone));
            finish(reply, ResponseCode::NXDomain)
        }
    }
}

/// The answer to `packet` when nobody else could give one.
pub(super) fn server_failure(packet: &[u8]) -> Option<Vec<u8>> {
    let question = Message::from_vec(packet).ok()?;
    let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
    reply.metadata.recursion_desired = question.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    if let Some(query) = question.queries.first() {
        reply.add_query(query.clone());
    }
    match finish(reply, ResponseCode::ServFail) {
        Answer::Ready(bytes) => Some(bytes),
        _ => None,
    }
}

/// Says that a packet with at least a header could not be read (RFC 1035 §4.1.1).
fn malformed(packet: &[u8]) -> Answer {
    match packet.first_chunk::<12>() {
        Some(head) if head[2] & 0x80 == 0 => {
            let id = u16::from_be_bytes([head[0], head[1]]);
            finish(Message::response(id, OpCode::Query), ResponseCode::FormErr)
        }
        _ => Answer::Ignore,
    }
}

fn finish(mut reply: Message, code: ResponseCode) -> Answer {
    reply.metadata.response_code = code;
    match reply.to_vec() {
        Ok(bytes) => Answer::Ready(bytes),
        Err(_) => Answer::Ignore,
    }
}

fn start_of_authority(zone: &Name) -> Record {
    let soa = SOA::new(zone.clone(), zone.clone(), 1, 60, 60, 60, NEGATIVE_TTL_S);
    Record::from_rdata(zone.clone(), NEGATIVE_TTL_S, RData::SOA(soa))
}

#[cfg(test)]
mod tests {
    use api::id::{AppName, EnvironmentName, Generation, InstanceId};
    use api::network::{InstanceAddress, NetworkTable, Service};
    use hickory_proto::op::Query;
    use proptest::collection::vec;
    use proptest::prelude::any;

    use super::*;

    fn address(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 128, 0, last)
    }

    fn table() -> NameTable {
        let instance = |app: &str, environment: &str, last| InstanceAddress {
            instance: InstanceId::new(format!("{app}-{environment}-1")).unwrap(),
            app: AppName::new(app).unwrap(),
            environment: EnvironmentName::new(environment).unwrap(),
            address: address(last),
        };
        let service = |app: &str, environment: &str, last| Service {
            app: AppName::new(app).unwrap(),
            environment: EnvironmentName::new(environment).unwrap(),
            address: Ipv4Addr::new(10, 127, 0, last),
            port: 80,
            endpoints: vec![],
        };
        NameTable::new(&NetworkTable {
            generation: Generation(1),
            services: vec![service("shop", "production", 1), service("shop", "staging", 2)],
            instances: vec![instance("shop", "production", 2), instance("shop", "staging", 3)],
            hosts: vec![],
        })
    }

    fn ask(name: &str, kind: RecordType, asker: Ipv4Addr) -> Option<Message> {
        let mut question = Message::query();
        question.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        match answer(&table(), asker, &question.to_vec().unwrap()) {
            Answer::Ready(bytes) => {
                let reply = Message::from_vec(&bytes).unwrap();
                assert_eq!(reply.metadata.id, question.metadata.id);
                Some(reply)
            }
            _ => None,
        }
    }

    fn addresses(reply: &Message) -> Vec<String> {
        reply.answers.iter().map(|record| record.data.to_string()).collect()
    }

    #[test]
    fn a_container_sees_its_own_environment_only() {
        let shop = "shop.production.internal.";
        let reply = ask(shop, RecordType::A, address(2)).unwrap();
        assert_eq!(addresses(&reply), ["10.127.0.1"]);
        assert_eq!(reply.answers[0].ttl, 5);
        let reply = ask("SHOP.Production.INTERNAL.", RecordType::A, address(2)).unwrap();
        assert_eq!(addresses(&reply), ["10.127.0.1"]);
        for asker in [address(3), address(99)] {
            let reply = ask(shop, RecordType::A, asker).unwrap();
            assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
        }
        let own = "shop-production-1.instances.internal.";
        assert_eq!(addresses(&ask(own, RecordType::A, address(2)).unwrap()), ["10.128.0.2"]);
        let reply = ask(own, RecordType::A, address(3)).unwrap();
        assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    }

    #[test]
    fn no_address_of_that_kind_is_not_no_such_name() {
        let reply = ask("shop.production.internal.", RecordType::AAAA, address(2)).unwrap();
        assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
        assert!(reply.answers.is_empty());
        assert_eq!(reply.authorities.len(), 1);
        let reply = ask("production.internal.", RecordType::A, address(2)).unwrap();
        assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
        let reply = ask("a.b.production.internal.", RecordType::A, address(2)).unwrap();
        assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(reply.authorities[0].ttl, 1);
    }

    #[test]
    fn the_outside_is_passed_on_and_what_is_no_question_is_not_answered() {
        assert!(ask("example.com.", RecordType::A, address(2)).is_none());
        assert!(ask("notinternal.", RecordType::A, address(2)).is_none());
        let silent = |bytes: &[u8]| matches!(answer(&table(), address(2), bytes), Answer::Ignore);
        assert!(silent(b"") && silent(&[0xff; 11]));
        let mut reply = Message::response(7, OpCode::Query);
        reply.metadata.response_code = ResponseCode::NoError;
        assert!(silent(&reply.to_vec().unwrap()));
    }

    proptest::proptest! {
        #[test]
        fn no_packet_panics(bytes in vec(any::<u8>(), 0..80)) {
            let _ = answer(&table(), address(2), &bytes);
            let _ = server_failure(&bytes);
        }
    }
}
