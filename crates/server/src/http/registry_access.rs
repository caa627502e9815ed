//! Who may use the embedded image registry: the same tokens and roles as everywhere.

use std::sync::Arc;

use api::error::ErrorCode;
use api::token::Role;
use async_trait::async_trait;

use crate::core::{Caller, Core};
use crate::oci::{Access, AccessError, Action, RepositoryName, Who};

/// The registry's questions, answered from the view.
pub struct RegistryAccess(pub Arc<Core>);

#[async_trait]
impl Access for RegistryAccess {
    async fn authenticate(&self, _: Option<&str>, secret: &str) -> Result<Who, AccessError> {
        match self.0.authenticate(secret) {
            Ok(caller) => Ok(Who::new(caller.name.clone(), caller)),
            Err(error) if error.code == ErrorCode::Unavailable => {
                Err(AccessError::Unavailable(error.message))
            }
            Err(error) => Err(AccessError::Unauthenticated(error.message)),
        }
    }

    async fn authorize(
        &self,
        who: &Who,
        repository: &RepositoryName,
        action: Action,
    ) -> Result<(), AccessError> {
        let Some(caller) = who.caller::<Caller>() else {
            return Err(AccessError::Denied("nobody is logged in".to_owned()));
        };
        match action {
            Action::Pull | Action::List => Ok(()),
            Action::Push | Action::Delete => {
                may_write(caller, &repository.to_string(), &action.to_string())
                    .map_err(AccessError::Denied)
            }
        }
    }
}

/// Whether somebody may push to a repository or delete in it: operators anywhere; who is limited to
/// a team below that team's name, so that no team can put its image under another's tag.
///
/// # Errors
/// Why not, for people.
pub(super) fn may_write(caller: &Caller, repository: &str, what: &str) -> Result<(), String> {
    let role = super::roles::role_name(caller.role);
    if !matches!(caller.role, Role::Developer | Role::Operator | Role::Admin) {
        return Err(format!("token {:?} of role {role} may not {what} {repository}", caller.name));
    }
    let Some(team) = &caller.team else {
        if caller.role == Role::Developer {
            return Err(format!("token {:?} has no team", caller.name));
        }
        return Ok(());
    };
    if repository.strip_prefix(team.as_str()).is_some_and(|rest| rest.starts_with('/')) {
        return Ok(());
    }
    Err(format!(
        "token {:?} of team {team} may not {what} {repository}; hint: its team's repositories are \
         {team}/NAME",
        caller.name
    ))
}

#[cfg(test)]
mod tests {
    use api::id::TeamName;

    use super::*;

    fn check(role: Role, team: Option<&str>, repository: &str, may: bool) {
        let team = team.map(|team| TeamName::new(team).unwrap());
        let caller = Caller { name: "t".into(), role, team };
        assert_eq!(may_write(&caller, repository, "push to").is_ok(), may, "{caller:?}");
    }

    #[test]
    fn teams_write_below_their_names() {
        check(Role::Admin, None, "anything", true);
        check(Role::Operator, None, "retail/shop", true);
        check(Role::Developer, Some("retail"), "retail/shop", true);
        check(Role::Developer, Some("retail"), "retail/a/b", true);
        check(Role::Developer, Some("retail"), "retail", false);
        check(Role::Developer, Some("retail"), "retailer/shop", false);
        check(Role::Operator, Some("retail"), "bank/shop", false);
        check(Role::Developer, None, "retail/shop", false);
        check(Role::Viewer, None, "retail/shop", false);
        check(Role::Security, None, "retail/shop", false);
    }
}
