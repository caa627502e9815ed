//! What is shown of the cluster: joins of the view, the agents' reports and the planner's last
//! words.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::digest::Digest;
use api::error::{ApiError, ErrorCode};
use api::host::Capacity;
use api::id::{AppName, EnvironmentName, HostId, ServerId};
use api::instance::Instance;
use api::manifest::Spec;
use api::operation::{AppStatus, HostView, RouteView};
use api::server::NetReport;
use api::status::HostStatus;
use api::unit::{Bytes, MilliCpu, Millis};
use plan::place::Need;

use super::{Core, View, place_name};

impl Core {
    /// The newest report of every host: the agents' own where they are connected here.
    fn reports(&self, view: &View) -> BTreeMap<HostId, Arc<HostStatus>> {
        let stored = view.statuses.values().map(|row| {
            let status = row.document.body.clone();
            (status.host.clone(), Arc::new(status))
        });
        let mut reports: BTreeMap<_, _> = stored.collect();
        reports.extend(self.agents.gathered.statuses());
        reports
    }

    /// All instances, sorted by app, environment and id.
    #[must_use]
    pub fn instances(
        &self,
        app: Option<&AppName>,
        environment: Option<&EnvironmentName>,
    ) -> Vec<Instance> {
        let view = self.view();
        let reports = self.reports(&view);
        let mut instances = Vec::new();
        for assignment in view.assignments.values() {
            let Some(host) = view.hosts.get(assignment.host.as_str()) else { continue };
            let report = reports.get(&assignment.host);
            for entry in &assignment.entries {
                let wanted = app.is_none_or(|app| *app == entry.app)
                    && environment.is_none_or(|environment| *environment == entry.environment);
                if !wanted {
                    continue;
                }
                let status = report.and_then(|report| {
                    report.instances.iter().find(|status| status.instance == entry.instance)
                });
                instances.push(Instance::join(host, entry, status));
            }
        }
        instances.sort_by(|a, b| {
            (&a.app, &a.environment, &a.instance).cmp(&(&b.app, &b.environment, &b.instance))
        });
        instances
    }

    /// How an app is in each environment it runs in, in the pipeline's order.
    ///
    /// # Errors
    /// When there is no such app.
    pub fn status(&self, app: &AppName) -> Result<Vec<AppStatus>, ApiError> {
        let view = self.view();
        let Some(row) = view.apps.get(app.as_str()) else {
            return Err(ApiError::new(ErrorCode::NotFound, format!("there is no app {app}"))
                .hint("freehold app list"));
        };
        let stages = view.pipeline();
        let of = |stage: &EnvironmentName| self.status_in(&view, &row.team, app, stage);
        Ok(stages.iter().filter_map(|stage| of(&stage.name)).collect())
    }

    /// The same, as the server that leads knows it: what keeps an app from its goal is decided
    /// there.
    ///
    /// # Errors
    /// When there is no such app.
    pub async fn show_status(&self, app: &AppName) -> Result<Vec<AppStatus>, ApiError> {
        let mut own = self.status(app)?;
        if self.servers.term().is_some() {
            return Ok(own);
        }
        let leader = self.servers.leader().and_then(|name| ServerId::new(name).ok());
        let relay = leader.and_then(|leader| self.servers.relay(&leader));
        let asked = match relay {
            Some(relay) => relay.status(app).await,
            None => Err("no server is known to lead".to_owned()),
        };
        match asked {
            Ok(statuses) => Ok(statuses),
            Err(error) => {
                for status in &mut own {
                    let healthy = status.instances.iter().filter(|one| {
                        one.state == "healthy" && Some(one.release) == status.release
                    });
                    status.in_service = u32::try_from(healthy.count()).unwrap_or(u32::MAX);
                    status.why.push(format!("what keeps it from its goal is not known: {error}"));
                }
                Ok(own)
            }
        }
    }

    fn status_in(
        &self,
        view: &View,
        team: &api::id::TeamName,
        app: &AppName,
        environment: &EnvironmentName,
    ) -> Option<AppStatus> {
        let deployment = view.deployment(environment, app)?.document.body.clone();
        let spec = spec_of(view, &deployment);
        let planning = self.planning.lock().clone();
        let report = planning
            .report
            .iter()
            .find(|report| (&report.app, &report.environment) == (app, environment));
        let mut why: Vec<String> =
            report.iter().flat_map(|report| &report.blockers).map(ToString::to_string).collect();
        if !why.is_empty() {
            // Until a host has the newest tables nobody comes into service or is stopped.
            why.extend(planning.laggards.iter().map(|(host, since)| {
                let span = Millis::secs(self.now().since(*since).0 / 1000);
                format!(
                    "host {host} has taken no new tables for {span}: before it does, or is taken \
                     for dead, nothing new comes into service and nothing that leaves is stopped"
                )
            }));
        }
        if !deployment.reason.is_empty() {
            why.insert(0, deployment.reason.clone());
        }
        let mut routes = Vec::new();
        if let Some(spec) = &spec {
            routes.extend(spec.routes.hosts.iter().map(ToString::to_string));
            routes.extend(spec.routes.tcp.iter().map(|port| format!("tcp/{port}")));
        }
        let instances = self.instances(Some(app), Some(environment));
        let release = deployment.wanted_release().and_then(|number| view.release(app, number));
        let image = release.map(|release| release.image.digest.clone());
        let (warm, warming) =
            image.map(|image| self.warm(view, &image, &instances)).unwrap_or_default();
        let service = view.services.get(&place_name(environment, app));
        let port = spec.as_ref().and_then(|spec| spec.process.port);
        Some(AppStatus {
            app: app.clone(),
            team: team.clone(),
            environment: environment.clone(),
            release: deployment.wanted_release(),
            wanted: spec.as_ref().map_or(0, |spec| spec.scale.instances),
            in_service: report.map_or(0, |report| report.in_service),
            routes,
            service_address: service.zip(port).map(|(s, port)| format!("{}:{port}", s.address)),
            why,
            warm,
            warming,
            instances,
            deployment,
        })
    }

    /// The hosts that report an image and run none of `instances`, and those that are to have it
    /// ahead of need and do not report it.
    fn warm(
        &self,
        view: &View,
        image: &Digest,
        instances: &[Instance],
    ) -> (Vec<HostId>, Vec<HostId>) {
        let reports = self.reports(view);
        let has = |host: &HostId| {
            reports.get(host).is_some_and(|report| report.images.binary_search(image).is_ok())
        };
        let alive = view.hosts.values().filter(|row| !row.is_down()).map(|row| row.name.clone());
        let idle = alive.filter(|host| !instances.iter().any(|instance| instance.host == *host));
        let (warm, cold): (Vec<HostId>, Vec<HostId>) = idle.partition(has);
        let listed = |host: &HostId| {
            let list = self.servers.published.warm(host);
            list.is_some_and(|list| list.images.iter().any(|listed| listed.digest == *image))
        };
        (warm, cold.into_iter().filter(listed).collect())
    }

    /// The hosts that report an image.
    #[must_use]
    pub fn holders(&self, image: &Digest) -> Vec<HostId> {
        let view = self.view();
        let reports = self.reports(&view);
        let holds = |report: &&Arc<HostStatus>| report.images.binary_search(image).is_ok();
        let known = reports.values().filter(|report| view.hosts.contains_key(report.host.as_str()));
        known.filter(holds).map(|report| report.host.clone()).collect()
    }

    /// All hosts with what is used of them.
    #[must_use]
    pub fn hosts(&self) -> Vec<HostView> {
        let view = self.view();
        let reports = self.reports(&view);
        let network = self.net_report();
        let hosts = view.hosts.values();
        hosts
            .map(|row| {
                let report = reports.get(&row.name);
                let (used, instances) = used(&view, &row.name);
                HostView {
                    host: row.document.body.clone(),
                    connected: self.agents.gathered.is_connected(&row.name),
                    version: report.map(|report| report.version.clone()).unwrap_or_default(),
                    capacity: report.map(|report| report.capacity).unwrap_or_default(),
                    used,
                    instances,
                    problems: self.host_problems(&view, &network, &row.name),
                }
            })
            .collect()
    }

    fn host_problems(&self, view: &View, network: &NetReport, host: &HostId) -> Vec<String> {
        let mut problems = self.problems_of(view, host);
        problems.extend(self.unheard_by(network, host));
        problems
    }

    /// All public names and ports.
    #[must_use]
    pub fn routes(&self) -> Vec<RouteView> {
        let view = self.view();
        let mut routes = Vec::new();
        let addresses = self.entries(&view);
        for row in view.deployments.values() {
            let Some(spec) = spec_of(&view, row) else { continue };
            let healthy = self.instances(Some(&row.app), Some(&row.environment));
            let healthy = healthy.iter().filter(|instance| instance.state == "healthy").count();
            let mut add = |route: String, tls: bool| {
                let name = plan::tables::route_name(&row.environment, &row.app, &route);
                let counted = self.agents.gathered.traffic(&name);
                routes.push(RouteView {
                    requests: counted.requests,
                    failed: counted.failed,
                    retries: counted.retries,
                    p50_us: counted.quantile_us(500),
                    p99_us: counted.quantile_us(990),
                    route,
                    app: row.app.clone(),
                    environment: row.environment.clone(),
                    endpoints: u32::try_from(healthy).unwrap_or(u32::MAX),
                    tls,
                    addresses: addresses.clone(),
                });
            };
            for host in &spec.routes.hosts {
                let fits = |name: &String| {
                    *name == host.host
                        || name.strip_prefix("*.").is_some_and(|domain| {
                            host.host.split_once('.').is_some_and(|(_, rest)| rest == domain)
                        })
                };
                let mut certificates = view.certificates.values();
                let tls = certificates.any(|row| row.certificate.hosts.iter().any(fits));
                add(host.to_string(), tls);
            }
            for port in &spec.routes.tcp {
                add(format!("tcp/{port}"), false);
            }
        }
        routes.sort_by(|a, b| a.route.cmp(&b.route));
        routes
    }
}

fn spec_of(view: &View, deployment: &api::deployment::Deployment) -> Option<Spec> {
    let release = deployment.wanted_release().unwrap_or(deployment.release);
    let release = view.release(&deployment.app, release)?;
    release.manifest.resolve(&deployment.environment).ok()
}

/// What instances of a host are guaranteed.
fn used(view: &View, host: &HostId) -> (Capacity, u32) {
    let mut used = Capacity::default();
    let Some(assignment) = view.assignments.get(host.as_str()) else { return (used, 0) };
    for entry in &assignment.entries {
        let Some(release) = view.release(&entry.app, entry.release) else { continue };
        let Ok(spec) = release.manifest.resolve(&entry.environment) else { continue };
        let need = Need::of(&spec);
        used.cpu = MilliCpu(used.cpu.0.saturating_add(need.cpu.0));
        used.memory = Bytes(used.memory.0.saturating_add(need.memory.0));
        used.pids = used.pids.saturating_add(need.pids);
        used.disk = Bytes(used.disk.0.saturating_add(need.disk.0));
    }
    let instances = u32::try_from(assignment.entries.len()).unwrap_or(u32::MAX);
    used.instances = instances;
    (used, instances)
}
