//! Who may use what: sets of roles, and the rule for tokens that are limited to a team.

use api::error::{ApiError, ErrorCode};
use api::token::Role;

use crate::core::Caller;

/// Who may use an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Everybody, without a token.
    Open,
    /// Tokens of these roles.
    Roles(&'static [Role]),
}

/// Everybody with a token: reading what is no secret.
pub(super) const ANYONE: Allowed =
    Allowed::Roles(&[Role::Viewer, Role::Developer, Role::Operator, Role::Security, Role::Admin]);

/// Who acts for a team; handlers ask for which.
pub(super) const TEAM: Allowed = Allowed::Roles(&[Role::Developer, Role::Operator, Role::Admin]);

/// Who owns environments, hosts, routes and teams.
pub(super) const OPERATORS: Allowed = Allowed::Roles(&[Role::Operator, Role::Admin]);

/// Who owns tokens and backups.
pub(super) const ADMINS: Allowed = Allowed::Roles(&[Role::Admin]);

impl Allowed {
    /// The roles, as written in the API's document; none where no token is needed.
    pub(super) fn roles(self) -> &'static [Role] {
        match self {
            Self::Open => &[],
            Self::Roles(roles) => roles,
        }
    }

    /// Refuses whoever may not. A token that is limited to a team, whatever its role, may do what
    /// developers may: anything beyond concerns the whole cluster.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`].
    pub(super) fn check(self, caller: &Caller, what: &str) -> Result<(), ApiError> {
        let Self::Roles(roles) = self else { return Ok(()) };
        let names: Vec<&str> = roles.iter().map(|role| role_name(*role)).collect();
        if !roles.contains(&caller.role) {
            let message = format!(
                "token {:?} of role {} may not {what}",
                caller.name,
                role_name(caller.role)
            );
            return Err(ApiError::new(ErrorCode::Forbidden, message)
                .hint(format!("it takes one of these roles: {}", names.join(", "))));
        }
        if let Some(team) = &caller.team
            && !roles.contains(&Role::Developer)
        {
            let message =
                format!("token {:?} is limited to team {team} and may not {what}", caller.name);
            return Err(ApiError::new(ErrorCode::Forbidden, message)
                .hint("use a token that is not limited to a team"));
        }
        Ok(())
    }
}

/// How a role is called, as in JSON.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Developer => "developer",
        Role::Operator => "operator",
        Role::Security => "security",
        Role::Admin => "admin",
    }
}
