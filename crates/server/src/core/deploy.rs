//! Deploying, promoting, rolling back: from a request to a release and a deployment. Deciding how
//! it is rolled out is the planner's.

use api::app::App;
use api::deployment::{Deployment, Phase, Progress};
use api::error::{ApiError, ErrorCode};
use api::id::{AppName, EnvironmentName, ReleaseNumber};
use api::manifest::Manifest;
use api::operation::{DeployAnswer, DeployRequest, PromoteRequest, RollbackRequest};
use api::release::{Image, Release};
use api::team::Team;

use super::admit::{diff, invalid_manifest};
use super::pipeline::{first_environment, known_environment, last_environment_of, phase_name};
use super::{Caller, Change, Core, Term, View, image_name};

/// A deployment that is about to be made.
struct Wish<'a> {
    view: &'a View,
    caller: &'a Caller,
    environment: EnvironmentName,
    release: Release,
    new_release: bool,
    dry_run: bool,
}

impl Core {
    /// Makes a release, unless it exists, and rolls it out.
    ///
    /// # Errors
    /// When the manifest is not valid, the image does not exist, the caller may not, or a route is
    /// taken.
    pub async fn deploy(
        &self,
        caller: &Caller,
        request: DeployRequest,
    ) -> Result<DeployAnswer, ApiError> {
        let document = serde_json::Value::Object(request.manifest);
        let manifest = Manifest::from_json(&document).map_err(invalid_manifest)?;
        let unsupported = manifest.unsupported();
        if !unsupported.is_empty() {
            return Err(invalid_manifest(unsupported));
        }
        let view = self.view();
        caller.require_team(manifest.team())?;
        let environment = match request.environment {
            Some(environment) => known_environment(&view, &environment)?,
            None => first_environment(&view)?,
        };
        let Some(reference) = request.image.as_deref().or_else(|| manifest.image()) else {
            return Err(ApiError::new(ErrorCode::Invalid, "no image is named")
                .hint("add image = \"…\" to the manifest or give --image"));
        };
        let (registries, _) = self.registries(&view);
        // Held until the release that uses it is written.
        let (image, _held) = self.pin(reference, &registries).await?;
        let app = view.apps.get(manifest.app().as_str());
        if let Some(app) = app.filter(|app| app.team != *manifest.team()) {
            let message = format!("app {} belongs to team {}", app.name, app.team);
            return Err(ApiError::new(ErrorCode::Forbidden, message)
                .hint("names of apps are unique in the cluster: choose another"));
        }
        let same = view
            .releases_of(manifest.app())
            .next_back()
            .filter(|release| is_same(release, &image, &manifest));
        let (release, new_release) = match same {
            Some(release) => (release.document.body.clone(), false),
            None => {
                let app = app.map(|row| &row.document.body);
                (self.new_release((&view, caller), app, image, manifest), true)
            }
        };
        let dry_run = request.dry_run;
        let wish = Wish { view: &view, caller, environment, release, new_release, dry_run };
        self.fulfil(wish).await
    }

    /// Rolls out in the next environment what runs completely in one.
    ///
    /// # Errors
    /// When it does not run completely there, or there is no next environment.
    pub async fn promote(
        &self,
        caller: &Caller,
        app: &AppName,
        request: PromoteRequest,
    ) -> Result<DeployAnswer, ApiError> {
        let view = self.view();
        self.owned(&view, caller, app)?;
        let pipeline = view.pipeline();
        let from = match request.from {
            Some(from) => known_environment(&view, &from)?,
            None => first_environment(&view)?,
        };
        let at = pipeline.iter().position(|stage| stage.name == from).unwrap_or(0);
        let to = match request.to {
            Some(to) => known_environment(&view, &to)?,
            None => match pipeline.get(at + 1) {
                Some(next) => next.name.clone(),
                None => {
                    let message = format!("{from} is the last environment of the pipeline");
                    return Err(ApiError::new(ErrorCode::Invalid, message).hint("give --to"));
                }
            },
        };
        let Some(deployment) = view.deployment(&from, app) else {
            let message = format!("app {app} does not run in {from}");
            return Err(ApiError::new(ErrorCode::NotFound, message)
                .hint(format!("freehold deploy --env {from}")));
        };
        if deployment.phase != Phase::Complete {
            let message = format!(
                "release {} is not completely rolled out in {from}: {}",
                deployment.release,
                phase_name(deployment.phase).replace('_', " ")
            );
            return Err(ApiError::new(ErrorCode::Blocked, message)
                .hint(format!("freehold status {app} --why")));
        }
        self.roll_out(&view, caller, app, to, deployment.release, request.dry_run).await
    }

    /// Rolls out an earlier release.
    ///
    /// # Errors
    /// When there is none.
    pub async fn rollback(
        &self,
        caller: &Caller,
        app: &AppName,
        request: RollbackRequest,
    ) -> Result<DeployAnswer, ApiError> {
        let view = self.view();
        self.owned(&view, caller, app)?;
        let environment = match request.environment {
            Some(environment) => known_environment(&view, &environment)?,
            None => last_environment_of(&view, app)?,
        };
        let Some(deployment) = view.deployment(&environment, app) else {
            let message = format!("app {app} does not run in {environment}");
            return Err(ApiError::new(ErrorCode::NotFound, message));
        };
        let earlier = if deployment.last_good == Some(deployment.release) {
            deployment.previous_good
        } else {
            deployment.last_good
        };
        let Some(release) = request.release.or(earlier) else {
            let message = format!("there is no earlier release of {app} in {environment}");
            return Err(ApiError::new(ErrorCode::NotFound, message)
                .hint(format!("freehold release list {app}, then --release NUMBER")));
        };
        self.roll_out(&view, caller, app, environment, release, request.dry_run).await
    }

    /// Ends an app everywhere; its documents go when the last instance is gone.
    ///
    /// # Errors
    /// When there is no such app or the caller may not.
    pub async fn remove_app(&self, caller: &Caller, app: &AppName) -> Result<(), ApiError> {
        let view = self.view();
        self.owned(&view, caller, app)?;
        let mut change = Change::new();
        let mut ends = false;
        for row in view.deployments.values().filter(|row| row.app == *app) {
            let mut deployment = row.document.body.clone();
            deployment.phase = Phase::Removing;
            deployment.reason = format!("removed by {}", caller.name);
            change = change.update(row, deployment);
            ends = true;
        }
        if ends {
            self.commit(change).await?;
        } else {
            self.forget_app(&view, app, None).await?;
        }
        Ok(())
    }

    /// Removes an app that runs nowhere, with its releases.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn forget_app(
        &self,
        view: &View,
        app: &AppName,
        leader: Option<&Term>,
    ) -> Result<(), ApiError> {
        let Some(row) = view.apps.get(app.as_str()) else { return Ok(()) };
        let releases = store::Op::delete_prefix(format!("release/{app}/"));
        let mut change = Change::new().delete(row).then(releases);
        if let Some(term) = leader {
            change = change.when(term.fence());
        }
        self.commit(change).await?;
        Ok(())
    }

    async fn roll_out(
        &self,
        view: &View,
        caller: &Caller,
        app: &AppName,
        environment: EnvironmentName,
        number: ReleaseNumber,
        dry_run: bool,
    ) -> Result<DeployAnswer, ApiError> {
        let Some(release) = view.release(app, number) else {
            return Err(ApiError::new(
                ErrorCode::NotFound,
                format!("app {app} has no release {number}"),
            )
            .hint(format!("freehold release list {app}")));
        };
        let release = release.document.body.clone();
        let wish = Wish { view, caller, environment, release, new_release: false, dry_run };
        self.fulfil(wish).await
    }

    /// Checks a wish against what else exists and writes it.
    async fn fulfil(&self, wish: Wish<'_>) -> Result<DeployAnswer, ApiError> {
        let Wish { view, release, environment, .. } = &wish;
        let spec = self.admit(view, release, environment)?;
        let row = view.deployment(environment, &release.app);
        let current = row.map(|row| &row.document.body);
        let unchanged = !wish.new_release
            && current.is_some_and(|current| {
                current.release == release.number
                    && matches!(current.phase, Phase::Rolling | Phase::Complete)
            });
        let number = current.map_or(0, |d| d.number) + u32::from(!unchanged);
        let before = current.and_then(|d| view.release(&release.app, d.release));
        let before = before.and_then(|release| release.manifest.resolve(environment).ok());
        let mut answer = DeployAnswer {
            app: release.app.clone(),
            environment: environment.clone(),
            release: release.number,
            digest: release.image.digest.clone(),
            deployment: number,
            new_release: wish.new_release,
            unchanged,
            changes: diff(before.as_ref(), &spec),
            plan: Vec::new(),
            warnings: self.warnings(view, release, &spec, environment),
        };
        if unchanged {
            return Ok(answer);
        }
        let at = self.now();
        let deployment = Deployment {
            app: release.app.clone(),
            environment: environment.clone(),
            number,
            release: release.number,
            last_good: current.and_then(|d| d.last_good),
            previous_good: current.and_then(|d| d.previous_good),
            phase: Phase::Rolling,
            reason: String::new(),
            last_log_lines: Vec::new(),
            started: at,
            progress: Progress::default(),
            progressed: at,
            failed_instance: None,
            finished: None,
            started_by: wish.caller.name.clone(),
            epoch: current.map_or(0, |d| d.epoch),
        };
        if wish.dry_run {
            answer.plan = self.foresee(view, &deployment, spec);
            return Ok(answer);
        }
        let mut change = Change::new().put(row.map(AsRef::as_ref), &deployment);
        if wish.new_release {
            change = self.with_release(change, view, release);
        }
        self.commit(change).await?;
        Ok(answer)
    }

    /// Adds a new release, its app's new number and, for the first, its team.
    fn with_release(&self, change: Change, view: &View, release: &Release) -> Change {
        let app = view.apps.get(release.app.as_str());
        let body = App {
            name: release.app.clone(),
            team: release.manifest.team().clone(),
            latest_release: release.number,
            created: app.map_or(release.created, |app| app.created),
        };
        let mut change = change.create(release).put(app.map(AsRef::as_ref), &body);
        // A deletion that did not see this release finds the image's record changed.
        let image = &release.image;
        if image.registry.is_none() {
            let name = image_name(&image.repository, image.digest.as_str());
            if let Some(row) = self.view().images.get(&name) {
                change = change.update(row, row.document.body.clone());
            }
        }
        if !view.teams.contains_key(body.team.as_str()) {
            let description = String::new();
            change = change.create(&Team { name: body.team, description, created: body.created });
        }
        change
    }

    fn new_release(
        &self,
        (view, caller): (&View, &Caller),
        app: Option<&App>,
        image: Image,
        manifest: Manifest,
    ) -> Release {
        Release {
            app: manifest.app().clone(),
            number: app.map_or_else(
                || first_number(view, manifest.app()),
                |app| ReleaseNumber(app.latest_release.0 + 1),
            ),
            image,
            manifest,
            created: self.now(),
            created_by: caller.name.clone(),
        }
    }
}

/// The number of an app's first release: above those that a host which was away still has of an
/// earlier app of that name, so that nobody takes one for the other.
fn first_number(view: &View, app: &AppName) -> ReleaseNumber {
    let entries = view.assignments.values().flat_map(|row| &row.entries);
    let known = entries.filter(|entry| entry.app == *app).map(|entry| entry.release.0);
    ReleaseNumber(known.max().unwrap_or(0) + 1)
}

fn is_same(release: &Release, image: &Image, manifest: &Manifest) -> bool {
    release.image.digest == image.digest
        && release.image.registry == image.registry
        && release.image.repository == image.repository
        && release.manifest == *manifest
}
