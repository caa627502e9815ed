//! What the image registry asks of the rest of the server: who somebody is, whether they may, and
//! which images are in use.

use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use api::id::AppName;
use api::token::Role;
use async_trait::async_trait;

use crate::core::{Caller, Core};
use crate::oci::{Access, AccessError, Action, ImageUse, InUse, InUseError, RepositoryName, Who};

/// Users by their tokens; any user name goes with a token as password.
///
/// Everybody with a token may pull. Developers push to repositories that begin with their team's
/// name, `TEAM/…`, or are called like an app of their team; operators and admins push everywhere
/// and delete, limited to the same repositories when their token is limited to a team.
pub struct Users(pub Arc<Core>);

#[async_trait]
impl Access for Users {
    async fn authenticate(&self, _: Option<&str>, secret: &str) -> Result<Who, AccessError> {
        match self.0.authenticate(secret) {
            Ok(caller) => Ok(Who::new(caller.name.clone(), caller)),
            Err(ApiError { code: ErrorCode::Unauthenticated, message, .. }) => {
                Err(AccessError::Unauthenticated(message))
            }
            Err(error) => Err(AccessError::Unavailable(error.message)),
        }
    }

    async fn authorize(
        &self,
        who: &Who,
        repository: &RepositoryName,
        action: Action,
    ) -> Result<(), AccessError> {
        let denied = |why: &str| {
            Err(AccessError::Denied(format!("{} may not {action} {repository}: {why}", who.name())))
        };
        let Some(caller) = who.caller::<Caller>() else { return denied("it is not a user") };
        match (caller.role, action) {
            (_, Action::Pull | Action::List) => Ok(()),
            (Role::Admin | Role::Operator, _) if caller.team.is_none() => Ok(()),
            (Role::Admin | Role::Operator, _) | (Role::Developer, Action::Push) => {
                if self.belongs(repository, caller) {
                    return Ok(());
                }
                denied("a team pushes to TEAM/… and to names of its apps")
            }
            _ => denied("the token's role does not allow it"),
        }
    }
}

impl Users {
    fn belongs(&self, repository: &RepositoryName, caller: &Caller) -> bool {
        let Some(team) = &caller.team else { return false };
        let (first, rest) = match repository.as_str().split_once('/') {
            Some((first, _)) => (first, true),
            None => (repository.as_str(), false),
        };
        if rest {
            return first == team.as_str();
        }
        let view = self.0.view();
        let app = first.parse::<AppName>().ok().and_then(|app| view.apps.get(app.as_str()));
        app.is_some_and(|app| app.team == *team)
    }
}

/// Images of releases.
pub struct Releases(pub Arc<Core>);

#[async_trait]
impl InUse for Releases {
    async fn in_use(&self) -> Result<Vec<ImageUse>, InUseError> {
        let view = self.0.view();
        let own = view.releases.values().filter(|release| release.image.registry.is_none());
        own.map(|release| {
            let image = &release.image;
            let failed = |error: String| InUseError(format!("release {}: {error}", release.key()));
            Ok(ImageUse {
                repository: Some(
                    image
                        .repository
                        .parse()
                        .map_err(|e: crate::oci::NameError| failed(e.to_string()))?,
                ),
                digest: image
                    .digest
                    .as_str()
                    .parse()
                    .map_err(|e: image::DigestError| failed(e.to_string()))?,
                user: format!("release {} of app {}", release.number, release.app),
            })
        })
        .collect()
    }
}
