//! Whether a pushed table is taken, and its form made ready for lookups. Validate everything, then
//! swap whole: a table that breaks a rule changes nothing.

use std::collections::{HashMap, HashSet};

use api::id::Generation;
use api::ingress::{BackendRef, IngressTable, TcpListen};

use super::route::{Duplicate, Matcher, pattern_is_valid};

/// Why a table is refused; the one before goes on being served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An older table than the one served.
    #[error("generation {offered} is older than {serving}, which is served")]
    Older {
        /// The offered table's.
        offered: Generation,
        /// The present one's.
        serving: Generation,
    },
    /// The present generation with other content.
    #[error("generation {0} is served already with other content")]
    Changed(Generation),
    /// Two things have one name.
    #[error("the {what} {name:?} is there twice")]
    Twice {
        /// `route` or `backend`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A route names a backend that is not there.
    #[error("route {route:?} names backend {backend:?}, which is not in the table")]
    NoBackend {
        /// The route.
        route: String,
        /// The backend's name.
        backend: String,
    },
    /// A host or server name pattern is malformed.
    #[error("route {route:?} has host {host:?}; use a lower-case name, *.NAME or *")]
    Host {
        /// The route (or certificate's first host).
        route: String,
        /// The pattern.
        host: String,
    },
    /// A path prefix does not start with a slash.
    #[error("route {route:?} has path {path:?}, which does not start with /")]
    Path {
        /// The route.
        route: String,
        /// The path.
        path: String,
    },
    /// A passthrough on the https port needs names to pass.
    #[error("tcp route {0:?} is on the https port and lists no server names")]
    NoNames(String),
    /// Two routes claim the same.
    #[error("routes conflict")]
    Duplicate(#[from] Duplicate),
}

/// What to do with a pushed table.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// Acknowledge, nothing changes.
    Replay,
    /// Validate and swap.
    New,
}

/// Compares generations: older is refused, the same with other content is refused.
///
/// # Errors
/// See [`Refusal`].
pub fn admit(offered: &IngressTable, serving: Option<&IngressTable>) -> Result<Admission, Refusal> {
    let Some(serving) = serving else { return Ok(Admission::New) };
    let (new, old) = (offered.generation, serving.generation);
    if new < old {
        Err(Refusal::Older { offered: new, serving: old })
    } else if new > old {
        Ok(Admission::New)
    } else if offered == serving {
        Ok(Admission::Replay)
    } else {
        Err(Refusal::Changed(new))
    }
}

/// A valid table with its indexes. Routes and groups are numbered as in the table.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The table as it came.
    pub table: IngressTable,
    /// Finds HTTP routes.
    pub http: Matcher,
    /// Per HTTP route, its groups as (backend's index, weight).
    pub groups: Vec<Vec<(usize, u32)>>,
    /// Per TCP route, its groups.
    pub tcp_groups: Vec<Vec<(usize, u32)>>,
    /// Per TCP listener, which route takes what.
    pub tcp: HashMap<TcpListen, TcpMatcher>,
}

/// The routes of one TCP listener.
#[derive(Debug, Default)]
pub struct TcpMatcher {
    by_name: Matcher,
    /// The table's index of each route in `by_name`.
    indexes: Vec<usize>,
    rest: Option<usize>,
}

impl TcpMatcher {
    /// Whether the TLS hello must be read to choose.
    #[must_use]
    pub fn needs_name(&self) -> bool {
        !self.indexes.is_empty()
    }

    /// The index of the TCP route for a connection with this server name.
    #[must_use]
    pub fn find(&self, name: Option<&str>) -> Option<usize> {
        let named = name.and_then(|name| self.by_name.find(name, "/"));
        named.map(|found| self.indexes[found]).or(self.rest)
    }
}

/// Validates a table and builds its indexes.
///
/// # Errors
/// The first broken rule.
pub fn compile(table: IngressTable) -> Result<Compiled, Refusal> {
    let mut backends = HashMap::new();
    for (index, backend) in table.backends.iter().enumerate() {
        if backends.insert(backend.name.as_str(), index).is_some() {
            return Err(Refusal::Twice { what: "backend", name: backend.name.clone() });
        }
    }
    let groups_of = |route: &str, refs: &[BackendRef]| {
        let find = |r: &BackendRef| match backends.get(r.backend.as_str()) {
            Some(index) => Ok((*index, r.weight)),
            None => Err(Refusal::NoBackend { route: route.into(), backend: r.backend.clone() }),
        };
        refs.iter().map(find).collect::<Result<Vec<_>, _>>()
    };
    let mut names = HashSet::new();
    let mut groups = Vec::with_capacity(table.routes.len());
    for route in &table.routes {
        if !names.insert(route.name.as_str()) {
            return Err(Refusal::Twice { what: "route", name: route.name.clone() });
        }
        check_host(&route.name, &route.host)?;
        if !route.path.starts_with('/') {
            let (route, path) = (route.name.clone(), route.path.clone());
            return Err(Refusal::Path { route, path });
        }
        groups.push(groups_of(&route.name, &route.backends)?);
    }
    let mut tcp_groups = Vec::with_capacity(table.tcp.len());
    for route in &table.tcp {
        if !names.insert(route.name.as_str()) {
            return Err(Refusal::Twice { what: "route", name: route.name.clone() });
        }
        tcp_groups.push(groups_of(&route.name, &route.backends)?);
    }
    for certificate in &table.certificates {
        for host in &certificate.hosts {
            check_host("(certificate)", host)?;
        }
    }
    let tcp = tcp_matchers(&table)?;
    let http = Matcher::new(table.routes.iter().map(|r| (r.host.as_str(), r.path.as_str())))?;
    Ok(Compiled { http, groups, tcp_groups, tcp, table })
}

fn check_host(route: &str, host: &str) -> Result<(), Refusal> {
    if pattern_is_valid(host) {
        return Ok(());
    }
    Err(Refusal::Host { route: route.into(), host: host.into() })
}

fn tcp_matchers(table: &IngressTable) -> Result<HashMap<TcpListen, TcpMatcher>, Refusal> {
    let mut names: HashMap<TcpListen, Vec<(&str, usize)>> = HashMap::new();
    let mut matchers: HashMap<TcpListen, TcpMatcher> = HashMap::new();
    for (index, route) in table.tcp.iter().enumerate() {
        let matcher = matchers.entry(route.listen).or_default();
        if route.sni.is_empty() {
            if route.listen == TcpListen::Https {
                return Err(Refusal::NoNames(route.name.clone()));
            }
            if matcher.rest.replace(index).is_some() {
                let host = format!("{:?}", route.listen);
                return Err(Duplicate { host, path: String::new() }.into());
            }
        }
        for name in &route.sni {
            check_host(&route.name, name)?;
            names.entry(route.listen).or_default().push((name, index));
        }
    }
    for (listen, names) in names {
        let matcher = matchers.entry(listen).or_default();
        matcher.by_name = Matcher::new(names.iter().map(|(name, _)| (*name, "/")))?;
        matcher.indexes = names.iter().map(|(_, index)| *index).collect();
    }
    Ok(matchers)
}
