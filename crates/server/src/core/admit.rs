//! What must hold before a release may run in an environment, and what would then happen.

use api::deployment::Deployment;
use api::error::{ApiError, ErrorCode};
use api::id::{AppName, EnvironmentName};
use api::manifest::{Problem, Spec};
use api::release::Release;

use super::{Core, Specs, View};

impl Core {
    /// What must hold before a release may run in an environment.
    pub(super) fn admit(
        &self,
        view: &View,
        release: &Release,
        environment: &EnvironmentName,
    ) -> Result<Spec, ApiError> {
        // Valid in every environment of the pipeline, so that a promotion is not the first to find
        // out.
        let mut found = None;
        for stage in view.pipeline() {
            let spec = release.manifest.resolve(&stage.name).map_err(invalid_manifest)?;
            if stage.name == *environment {
                found = Some(spec);
            }
        }
        let Some(spec) = found else {
            return Err(ApiError::new(
                ErrorCode::NotFound,
                format!("no environment {environment}"),
            ));
        };
        for row in view.deployments.values() {
            if row.app == release.app {
                continue;
            }
            let Some(other) = view.release(&row.app, row.release) else { continue };
            let Ok(theirs) = other.manifest.resolve(&row.environment) else { continue };
            routes_apart(&spec, &theirs, &row.app, &row.environment)?;
        }
        Ok(spec)
    }

    pub(super) fn warnings(
        &self,
        view: &View,
        release: &Release,
        spec: &Spec,
        environment: &EnvironmentName,
    ) -> Vec<String> {
        let mut warnings = Vec::new();
        if spec.singleton && view.deployment(environment, &release.app).is_some() {
            warnings.push(
                "a singleton: its instance ends before the next one begins, so for a moment none \
                 runs"
                    .to_owned(),
            );
        }
        for stage in view.pipeline().into_iter().filter(|stage| stage.name != *environment) {
            let Ok(elsewhere) = release.manifest.resolve(&stage.name) else { continue };
            for host in spec.routes.hosts.iter().filter(|h| elsewhere.routes.hosts.contains(h)) {
                warnings.push(format!(
                    "{host} is named in {environment} and in {}: it leads to the last environment \
                     of the pipeline in which the app was completely rolled out; give each its own \
                     with [on.{environment}.routes] hosts = [\"…\"]",
                    stage.name
                ));
            }
        }
        for value in spec.environment.values() {
            if let api::manifest::EnvironmentValue::Secret(name) = value
                && !view.secrets.contains_key(&format!("{}/{environment}/{name}", spec.team))
            {
                warnings.push(format!(
                    "secret {name} does not exist for team {} in {environment}: its variable stays \
                     unset; set it with: freehold secret set {name} --team {} --env {environment}",
                    spec.team, spec.team
                ));
            }
        }
        warnings
    }

    /// What the planner's first steps would be.
    pub(super) fn foresee(&self, view: &View, deployment: &Deployment, spec: Spec) -> Vec<String> {
        let mut snapshot = self.snapshot(view, &mut Specs::default());
        let place = (deployment.environment.clone(), deployment.app.clone());
        let key = (place.0.clone(), place.1.clone(), deployment.release);
        snapshot.specs.insert(key, std::sync::Arc::new(spec));
        snapshot.in_service = plan::tables::tables(&snapshot).serving;
        snapshot.deployments.insert(place, deployment.clone());
        let mut ids = plan::reconcile::Ids::new(deployment.started.0.unsigned_abs());
        let outcome = plan::reconcile::reconcile(&snapshot, deployment.started, &mut ids);
        let mut lines: Vec<String> = outcome.placed.iter().map(ToString::to_string).collect();
        for report in &outcome.report {
            if (&report.app, &report.environment) == (&deployment.app, &deployment.environment) {
                lines.extend(report.blockers.iter().map(ToString::to_string));
            }
        }
        if let Err(violations) = plan::lint::lint(&snapshot, &outcome) {
            lines.extend(violations.iter().map(|violation| format!("not allowed: {violation}")));
        }
        lines
    }
}

/// Refuses routes that another app or environment has.
fn routes_apart(
    spec: &Spec,
    theirs: &Spec,
    app: &AppName,
    environment: &EnvironmentName,
) -> Result<(), ApiError> {
    let host = spec.routes.hosts.iter().find(|host| theirs.routes.hosts.contains(host));
    let port = spec.routes.tcp.iter().find(|port| theirs.routes.tcp.contains(port));
    let taken = match (host, port) {
        (Some(host), _) => format!("{host} leads to {app} in {environment}"),
        (None, Some(port)) => format!("port {port} leads to {app} in {environment}"),
        (None, None) => return Ok(()),
    };
    Err(ApiError::new(ErrorCode::Conflict, taken).hint("freehold route list shows what is taken"))
}

pub(super) fn invalid_manifest(problems: Vec<Problem>) -> ApiError {
    let first = problems.first().map_or_else(String::new, ToString::to_string);
    let more = problems.len().saturating_sub(1);
    let message = match more {
        0 => format!("the manifest is not valid: {first}"),
        more => format!("the manifest is not valid: {first} (and {more} more)"),
    };
    let hint = problems.first().and_then(|problem| problem.hint.clone());
    ApiError { code: ErrorCode::Invalid, message, hint, problems }
}

/// What changes between two resolved manifests, as lines of a diff of their JSON.
pub(super) fn diff(before: Option<&Spec>, after: &Spec) -> Vec<String> {
    let text = |spec: Option<&Spec>| {
        spec.map_or_else(String::new, |spec| {
            serde_json::to_string_pretty(spec).unwrap_or_default() + "\n"
        })
    };
    let (before, after) = (text(before), text(Some(after)));
    if before.is_empty() || before == after {
        return Vec::new();
    }
    let diff = similar::TextDiff::from_lines(&before, &after);
    let mut unified = diff.unified_diff();
    let text = unified.context_radius(1).to_string();
    text.lines().filter(|line| !line.starts_with("\\ No newline")).map(str::to_owned).collect()
}
