//! A request's ticket: what must be known when it ends. Dropping it accounts for the request, so
//! that no way out of the engine can forget to.

use std::rc::Rc;
use std::time::Instant;

use http::{HeaderValue, Method, Uri, Version};

use super::client::ClientState;
use super::endpoint::Endpoint;
use super::local::{Local, RouteStats};
use super::log_line;
use super::request_body::SharedBody;

/// The status logged for requests whose client left before an answer; not sent to anybody.
pub(crate) const CLIENT_LEFT: u16 = 499;

/// A request's place at an endpoint.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) endpoint: Rc<Endpoint>,
}

impl Lease {
    pub(crate) fn new(endpoint: Rc<Endpoint>) -> Self {
        endpoint.in_flight.set(endpoint.in_flight.get() + 1);
        Self { endpoint }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.in_flight.set(self.endpoint.in_flight.get() - 1);
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) client: Rc<ClientState>,
    pub(crate) local: Rc<Local>,
    /// The route's index, once it is known.
    pub(crate) route: Option<usize>,
    pub(crate) lease: Option<Lease>,
    pub(crate) started: Instant,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) host: Option<HeaderValue>,
    pub(crate) status: u16,
    pub(crate) retries: u32,
    pub(crate) body: Option<Rc<SharedBody>>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// The response went out to its end.
    pub(crate) complete: bool,
    /// What went wrong with the instance, if something did.
    pub(crate) error: Option<&'static str>,
}

impl Ticket {
    /// Begins a request; `begin` has been called on the client.
    pub(crate) fn begin(
        client: &Rc<ClientState>,
        method: Method,
        uri: Uri,
        version: Version,
    ) -> Box<Self> {
        client.begin();
        Box::new(Self {
            client: Rc::clone(client),
            local: Rc::clone(&client.worker.local.borrow()),
            route: None,
            lease: None,
            started: Instant::now(),
            method,
            uri,
            version,
            host: None,
            status: CLIENT_LEFT,
            retries: 0,
            body: None,
            bytes_in: 0,
            bytes_out: 0,
            complete: false,
            error: None,
        })
    }

    pub(crate) fn stats(&self) -> Option<&Rc<RouteStats>> {
        self.route.map(|route| &self.local.routes[route])
    }

    /// The route is known.
    pub(crate) fn set_route(&mut self, route: usize) {
        self.route = Some(route);
        let stats = &self.local.routes[route];
        stats.in_flight.set(stats.in_flight.get() + 1);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            self.bytes_in = body.bytes.get();
        }
        let elapsed = self.started.elapsed();
        let us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let worker = &self.client.worker;
        match self.stats() {
            Some(stats) => {
                stats.in_flight.set(stats.in_flight.get() - 1);
                self.count(&mut stats.counters.borrow_mut(), us);
            }
            None => worker.unrouted.set(worker.unrouted.get() + 1),
        }
        if let Some(lease) = &self.lease {
            self.count(&mut lease.endpoint.counters.borrow_mut(), us);
        }
        worker.log.line(|out| log_line::request(out, self, us));
        self.client.end();
    }
}

impl Ticket {
    fn count(&self, counters: &mut crate::metrics::Counters, us: u64) {
        let class = usize::from(self.status / 100).clamp(1, 5) - 1;
        counters.by_class[class] += 1;
        counters.errors += u64::from(self.error.is_some());
        counters.retries += u64::from(self.retries);
        counters.bytes_in += self.bytes_in;
        counters.bytes_out += self.bytes_out;
        counters.latency.observe(us);
    }
}
