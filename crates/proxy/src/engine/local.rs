//! A worker's own view of the table: the shared, immutable part plus this worker's counters,
//! health and connections, carried over from the view before.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use api::id::{AppName, EnvironmentName, InstanceId};

use super::endpoint::Endpoint;
use super::worker::Worker;
use crate::decide::pick::{Candidate, pick, pick_group};
use crate::decide::table::Compiled;
use crate::metrics::{Counters, RouteMetrics};

/// What a worker counts for a route.
#[derive(Debug)]
pub(crate) struct RouteStats {
    pub(crate) name: String,
    pub(crate) app: AppName,
    pub(crate) environment: EnvironmentName,
    pub(crate) in_flight: Cell<u32>,
    pub(crate) counters: RefCell<Counters>,
}

impl RouteStats {
    pub(crate) fn snapshot(&self) -> RouteMetrics {
        let mut counters = self.counters.borrow().clone();
        counters.in_flight = u64::from(self.in_flight.get());
        RouteMetrics {
            route: self.name.clone(),
            app: self.app.clone(),
            environment: self.environment.clone(),
            counters,
        }
    }
}

type EndpointKey = (InstanceId, SocketAddr);

/// See the module. Requests hold the view they began with.
#[derive(Debug, Default)]
pub(crate) struct Local {
    pub(crate) compiled: Arc<Compiled>,
    /// By the table's backend index.
    pub(crate) backends: Vec<Vec<Rc<Endpoint>>>,
    /// By the table's route index.
    pub(crate) routes: Vec<Rc<RouteStats>>,
    /// By the table's TCP route index.
    pub(crate) tcp: Vec<Rc<RouteStats>>,
}

impl Local {
    /// The endpoint for the next attempt among groups of (backend's index, weight): a group by
    /// weight, then the least loaded in it.
    pub(crate) fn choose(
        &self,
        worker: &Worker,
        groups: &[(usize, u32)],
        tried: &[Rc<Endpoint>],
    ) -> Option<Rc<Endpoint>> {
        let was_tried = |endpoint: &Rc<Endpoint>| tried.iter().any(|t| Rc::ptr_eq(t, endpoint));
        let open = |backend: usize| self.backends[backend].iter().any(|e| !was_tried(e));
        let backend = match groups {
            [] => return None,
            [(backend, _)] => *backend,
            many => {
                let weights: Vec<(u32, bool)> =
                    many.iter().map(|(backend, weight)| (*weight, open(*backend))).collect();
                many[pick_group(&weights, worker.random())?].0
            }
        };
        let endpoints = &self.backends[backend];
        let now = worker.clock.coarse_ms();
        let look = |index: usize| {
            let endpoint: &Rc<Endpoint> = &endpoints[index];
            Candidate {
                in_flight: endpoint.in_flight.get(),
                weight: endpoint.weight.get(),
                ejected: endpoint.health.get().ejected(now),
                tried: was_tried(endpoint),
            }
        };
        pick(endpoints.len(), worker.random(), look).map(|index| Rc::clone(&endpoints[index]))
    }
}

/// What survives from view to view.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) endpoints: HashMap<EndpointKey, Rc<Endpoint>>,
    pub(crate) stats: HashMap<String, Rc<RouteStats>>,
}

impl Kept {
    /// Makes the view of a new table. Endpoints that left lose their idle connections and are
    /// forgotten when their last request is through; counters of routes that left likewise.
    pub(crate) fn view(&mut self, compiled: Arc<Compiled>) -> Local {
        for endpoint in self.endpoints.values() {
            endpoint.set_gone_later();
        }
        let mut backends = Vec::with_capacity(compiled.table.backends.len());
        for backend in &compiled.table.backends {
            let mut endpoints = Vec::with_capacity(backend.endpoints.len());
            for wanted in &backend.endpoints {
                let key = (wanted.instance.clone(), wanted.address);
                let held = self.endpoints.entry(key).or_insert_with(|| Endpoint::new(wanted));
                held.weight.set(wanted.weight);
                held.keep();
                endpoints.push(Rc::clone(held));
            }
            backends.push(endpoints);
        }
        let table = &compiled.table;
        let routes = table.routes.iter().map(|r| self.stats(&r.name, &r.app, &r.environment));
        let routes = routes.collect();
        let tcp = table.tcp.iter().map(|r| self.stats(&r.name, &r.app, &r.environment)).collect();
        for endpoint in self.endpoints.values() {
            endpoint.settle();
        }
        Local { compiled, backends, routes, tcp }
    }

    fn stats(
        &mut self,
        name: &str,
        app: &AppName,
        environment: &EnvironmentName,
    ) -> Rc<RouteStats> {
        let fits = |held: &Rc<RouteStats>| held.app == *app && held.environment == *environment;
        if let Some(held) = self.stats.get(name).filter(|held| fits(held)) {
            return Rc::clone(held);
        }
        let fresh = Rc::new(RouteStats {
            name: name.into(),
            app: app.clone(),
            environment: environment.clone(),
            in_flight: Cell::new(0),
            counters: RefCell::default(),
        });
        self.stats.insert(name.into(), Rc::clone(&fresh));
        fresh
    }

    /// Forgets what no table names and nobody uses.
    pub(crate) fn forget_unused(&mut self) {
        self.endpoints.retain(|_, endpoint| Rc::strong_count(endpoint) > 1);
        self.stats.retain(|_, stats| Rc::strong_count(stats) > 1);
    }
}
