//! Properties of the pure decisions.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::collections::HashSet;
use std::net::SocketAddr;

use api::id::{Generation, ReleaseNumber};
use api::ingress::{Backend, BackendRef, Endpoint, IngressTable, Protocol, Route};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, header};
use proptest::prelude::*;
use proxy::decide::eject::{FAILURES_TO_EJECT, FIRST_MS, Health, LONGEST_MS, Outcome};
use proxy::decide::forwarded::Peer;
use proxy::decide::hello::{self, Hello};
use proxy::decide::pick::{Candidate, SCAN_UP_TO, pick, pick_group};
use proxy::decide::retry::{Failed, MAX_ATTEMPTS, Sent, is_idempotent, may_retry};
use proxy::decide::route::{Matcher, bare_host, normalise_host};
use proxy::decide::table::{Admission, Refusal, admit, compile};
use proxy::decide::{hop, proxy_protocol};

/// The rules of `Route`'s documentation, read literally over all routes.
fn naive(routes: &[(String, String)], host: &str, path: &str) -> Option<usize> {
    let host_rank = |pattern: &str| -> Option<usize> {
        if pattern == host {
            Some(usize::MAX)
        } else if pattern == "*" {
            Some(0)
        } else {
            let suffix = pattern.strip_prefix('*')?;
            (host.ends_with(suffix) && host.len() > suffix.len()).then_some(suffix.len())
        }
    };
    let path_rank = |prefix: &str| -> Option<usize> {
        let prefix = prefix.trim_end_matches('/');
        let fits = path == prefix || path.starts_with(&format!("{prefix}/")) || prefix.is_empty();
        fits.then_some(prefix.len())
    };
    let ranks = routes.iter().enumerate().filter_map(|(index, (pattern, prefix))| {
        Some(((host_rank(pattern)?, path_rank(prefix)?), index))
    });
    ranks.max().map(|(_, index)| index)
}

fn host() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4)
        .prop_map(|labels| labels.join("."))
}

fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![host(), host().prop_map(|host| format!("*.{host}")), Just("*".to_owned())]
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["/", "/a", "/b", "/ab", "a"]), 0..4)
        .prop_map(|parts| format!("/{}", parts.concat().trim_start_matches('/')))
}

proptest! {
    #[test]
    fn the_matcher_agrees_with_the_literal_reading(
        routes in prop::collection::vec((pattern(), path()), 0..12),
        asked in prop::collection::vec((host(), path()), 1..20),
    ) {
        let mut seen = HashSet::new();
        let routes: Vec<_> = routes
            .into_iter()
            .filter(|(host, path)| {
                seen.insert((host.clone(), path.trim_end_matches('/').to_owned()))
            })
            .collect();
        let pairs = routes.iter().map(|(host, path)| (host.as_str(), path.as_str()));
        let matcher = Matcher::new(pairs).unwrap();
        for (host, path) in asked {
            prop_assert_eq!(matcher.find(&host, &path), naive(&routes, &host, &path));
        }
    }

    #[test]
    fn hosts_are_bare_or_refused_and_never_panic(authority in "\\PC{0,40}") {
        if let Some(host) = bare_host(&authority) {
            prop_assert!(authority.starts_with(host));
            prop_assert!(!host.contains(['/', '@', ' ']));
            let normal = normalise_host(&authority).unwrap();
            prop_assert_eq!(normalise_host(&normal).unwrap(), normal.clone());
        }
    }

    #[test]
    fn pick_takes_an_open_endpoint_while_there_is_one(
        candidates in prop::collection::vec(
            (0u32..5, 0u32..4, any::<bool>(), any::<bool>()), 0..24),
        random: u64,
    ) {
        let all: Vec<Candidate> = candidates
            .into_iter()
            .map(|(in_flight, weight, ejected, tried)| {
                Candidate { in_flight, weight, ejected, tried }
            })
            .collect();
        let picked = pick(all.len(), random, |index| all[index]);
        let exists = |f: &dyn Fn(&Candidate) -> bool| all.iter().any(f);
        prop_assert_eq!(picked.is_some(), exists(&|c| !c.tried));
        if let Some(index) = picked {
            prop_assert!(!all[index].tried);
            prop_assert!(!all[index].ejected || !exists(&|c| !c.tried && !c.ejected));
        }
    }

    /// Up to SCAN_UP_TO endpoints of equal weight the loads never differ by more than one.
    #[test]
    fn least_request_keeps_loads_within_one(count in 1..=SCAN_UP_TO, randoms: Vec<u64>) {
        let mut loads = vec![0u32; count];
        for random in randoms {
            let look = |index: usize| {
                Candidate { in_flight: loads[index], weight: 1, ejected: false, tried: false }
            };
            let index = pick(count, random, look).unwrap();
            loads[index] += 1;
            let (min, max) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
            prop_assert!(max - min <= 1, "{:?}", loads);
        }
    }

    #[test]
    fn groups_without_endpoints_or_weight_get_nothing(
        groups in prop::collection::vec((0u32..4, any::<bool>()), 0..6),
        random: u64,
    ) {
        let picked = pick_group(&groups, random);
        prop_assert_eq!(picked.is_some(), groups.iter().any(|(_, has)| *has));
        if let Some(index) = picked {
            let weighty = groups.iter().any(|(weight, has)| *has && *weight > 0);
            prop_assert!(groups[index].1);
            prop_assert!(!weighty || groups[index].0 > 0);
        }
    }

    #[test]
    fn ejections_end_and_a_success_forgives(
        outcomes in prop::collection::vec(
            prop::sample::select(vec![Outcome::Answered, Outcome::Failed, Outcome::Unreachable]),
            0..60),
    ) {
        let mut health = Health::default();
        let mut now = 1;
        let mut row = 0;
        for outcome in outcomes {
            health = health.after(outcome, now);
            row = if outcome == Outcome::Failed { row + 1 } else { 0 };
            if outcome == Outcome::Unreachable || row >= FAILURES_TO_EJECT {
                prop_assert!(health.ejected(now));
                row = 0;
            }
            if outcome == Outcome::Answered {
                prop_assert!(!health.ejected(now));
            }
            prop_assert!(!health.ejected(now + LONGEST_MS));
            now += 10;
        }
    }

    #[test]
    fn many_failures_at_once_eject_once(
        storm in prop::collection::vec((2u64..=FIRST_MS, any::<bool>()), 0..60),
    ) {
        let mut storm = storm;
        storm.sort_unstable();
        let mut health = Health::default().after(Outcome::Unreachable, 1);
        for (now, unreachable) in storm {
            let outcome = if unreachable { Outcome::Unreachable } else { Outcome::Failed };
            health = health.after(outcome, now);
        }
        prop_assert!(health.ejected(FIRST_MS) && !health.ejected(FIRST_MS + 1));
        let health = health.after(Outcome::Unreachable, FIRST_MS + 1);
        prop_assert!(health.ejected(3 * FIRST_MS) && !health.ejected(3 * FIRST_MS + 1));
    }

    #[test]
    fn nothing_hop_by_hop_remains_and_nothing_else_goes(
        present in prop::collection::vec(0..HEADERS.len(), 0..12),
        named in prop::collection::vec(0..HEADERS.len(), 0..4),
    ) {
        let mut headers = HeaderMap::new();
        for index in &present {
            headers.insert(HEADERS[*index], HeaderValue::from_static("trailers"));
        }
        let list = named.iter().map(|index| HEADERS[*index]).collect::<Vec<_>>().join(", ");
        if !named.is_empty() {
            headers.insert(header::CONNECTION, HeaderValue::from_str(&list).unwrap());
        }
        let before = headers.clone();
        hop::remove(&mut headers);
        for name in &HOP[1..] {
            prop_assert!(!headers.contains_key(*name), "{}", name);
        }
        for name in before.keys() {
            let name = name.as_str();
            let protected = ["host", "content-length", "x-forwarded-for"].contains(&name);
            let is_named = list.split(", ").any(|n| n == name) && !protected;
            let stays = !HOP.contains(&name) && !is_named;
            prop_assert_eq!(headers.contains_key(name), stays || name == "te", "{}", name);
        }
    }

    #[test]
    fn a_client_never_gets_its_own_word_about_itself_through(
        theirs in prop::collection::vec((0..5usize, "[a-z0-9.,;= ]{0,20}"), 0..6),
        client: [u8; 4],
    ) {
        const NAMES: [&str; 5] =
            ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip"];
        let mut headers = HeaderMap::new();
        for (name, value) in theirs {
            let name = HeaderName::from_static(NAMES[name]);
            headers.append(name, HeaderValue::from_str(&value).unwrap());
        }
        let mut peer = Peer::new(SocketAddr::from((client, 1)), true);
        let host = HeaderValue::from_static("a.test");
        peer.apply(&mut headers, &host, &["203.0.113.0/24".parse().unwrap()]);
        prop_assume!(client[..3] != [203, 0, 113]);
        let ip = std::net::Ipv4Addr::from(client).to_string();
        let mut expected = HeaderMap::new();
        expected.insert("x-forwarded-for", ip.parse().unwrap());
        expected.insert("x-real-ip", ip.parse().unwrap());
        expected.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        expected.insert("x-forwarded-host", host);
        expected.insert(
            "forwarded", format!("for={ip};host=\"a.test\";proto=https").parse().unwrap());
        prop_assert_eq!(headers, expected);
    }

    #[test]
    fn no_bytes_make_the_hello_reader_panic(bytes: Vec<u8>) {
        let _ = hello::read(&bytes);
        let mut record = vec![0x16, 3, 1];
        record.extend(bytes);
        let _ = hello::read(&record);
    }
}

const HOP: [&str; 9] = [
    "te",
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "expect",
    "proxy-authenticate",
    "proxy-authorization",
];

const HEADERS: [&str; 14] = [
    "te",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "expect",
    "proxy-authenticate",
    "proxy-authorization",
    "host",
    "content-length",
    "x-forwarded-for",
    "x-one",
    "x-two",
    "accept",
];

/// Every combination there is: a small world.
#[test]
fn retries_follow_rfc_9110() {
    for attempts in 1..=MAX_ATTEMPTS + 1 {
        for bits in 0..16u8 {
            let bit = |n: u8| bits & (1 << n) != 0;
            let failed = Failed {
                sent: if bit(0) { Sent::Nothing } else { Sent::Perhaps },
                idempotent: bit(1),
                body_whole: bit(2),
                response_begun: bit(3),
                attempts,
            };
            let expected = (bit(0) || bit(1)) && bit(2) && !bit(3) && attempts < MAX_ATTEMPTS;
            assert_eq!(may_retry(failed), expected, "{failed:?}");
        }
    }
    for (method, idempotent) in [
        (Method::GET, true),
        (Method::HEAD, true),
        (Method::OPTIONS, true),
        (Method::PUT, true),
        (Method::DELETE, true),
        (Method::POST, false),
        (Method::PATCH, false),
        (Method::CONNECT, false),
        (Method::from_bytes(b"QUERYX").unwrap(), false),
    ] {
        assert_eq!(is_idempotent(&method), idempotent, "{method}");
    }
}

#[test]
fn the_proxy_header_is_as_the_specification_shows() {
    let v4 = proxy_protocol::header("1.2.3.4:258".parse().unwrap(), "5.6.7.8:80".parse().unwrap());
    let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    expected.extend_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 0, 80]);
    assert_eq!(v4, expected);
    let v6 = proxy_protocol::header("[::1]:1".parse().unwrap(), "5.6.7.8:80".parse().unwrap());
    assert_eq!((v6[13], v6[15], v6.len()), (0x21, 36, 16 + 36));
    let mapped = "[::ffff:1.2.3.4]:258".parse().unwrap();
    assert_eq!(proxy_protocol::header(mapped, "5.6.7.8:80".parse().unwrap()), v4);
}

#[test]
fn a_real_hello_gives_its_name_at_its_last_byte() {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = "Shop.Example.com".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    for end in 1..bytes.len() {
        assert_eq!(hello::read(&bytes[..end]), Hello::Partial, "{end}");
    }
    assert_eq!(hello::read(&bytes), Hello::Complete(Some("shop.example.com".into())));
    assert_eq!(hello::read(b"GET / HTTP/1.1\r\n"), Hello::NotTls);
}

fn table(generation: u64, route_hosts: &[&str]) -> IngressTable {
    let route = |(n, host): (usize, &&str)| Route {
        name: format!("r{n}"),
        host: (*host).to_owned(),
        path: "/".into(),
        app: "a".parse().unwrap(),
        environment: "e".parse().unwrap(),
        backends: vec![BackendRef { backend: "b".into(), weight: 1 }],
        protocol: Protocol::Http1,
        redirect_to_https: false,
        response_timeout_ms: 1,
        idle_timeout_ms: 1,
        max_body_bytes: None,
    };
    IngressTable {
        generation: Generation(generation),
        routes: route_hosts.iter().enumerate().map(route).collect(),
        backends: vec![Backend {
            name: "b".into(),
            endpoints: vec![Endpoint {
                instance: "a-e-1".parse().unwrap(),
                release: ReleaseNumber(1),
                address: "10.0.0.1:80".parse().unwrap(),
                weight: 1,
            }],
        }],
        ..IngressTable::default()
    }
}

#[test]
fn generations_only_grow() {
    let serving = table(5, &["a"]);
    assert_eq!(admit(&serving, None), Ok(Admission::New));
    assert_eq!(admit(&serving, Some(&serving)), Ok(Admission::Replay));
    assert_eq!(admit(&table(6, &["a"]), Some(&serving)), Ok(Admission::New));
    assert_eq!(admit(&table(5, &["b"]), Some(&serving)), Err(Refusal::Changed(Generation(5))));
    let older = Refusal::Older { offered: Generation(4), serving: Generation(5) };
    assert_eq!(admit(&table(4, &["a"]), Some(&serving)), Err(older));
}

#[test]
fn malformed_hosts_are_refused_by_name() {
    for good in ["a", "a.b", "*.a.b", "*", "10.0.0.1", "[::1]"] {
        assert!(compile(table(1, &[good])).is_ok(), "{good}");
    }
    for bad in ["", "A.b", "a:80", "*.*.a", "*a.b", "a.*", "a/b", "a b", "a.", "*."] {
        let refusal = compile(table(1, &[bad])).unwrap_err();
        assert!(matches!(&refusal, Refusal::Host { host, .. } if host == bad), "{bad}: {refusal}");
    }
    assert!(matches!(compile(table(1, &["a", "a"])), Err(Refusal::Duplicate(_))));
}
