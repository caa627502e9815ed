//! Who asks, and what a token proves.

use api::error::{ApiError, ErrorCode};
use api::id::TeamName;
use api::operation::{TokenAnswer, TokenRequest};
use api::protocol::SecretValue;
use api::token::{Role, Token};

use super::{Change, Core, StoredToken};

/// Who asks for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of the token, for the record of who did what.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The team it is limited to.
    pub team: Option<TeamName>,
}

impl Caller {
    /// The platform itself.
    #[must_use]
    pub fn platform() -> Self {
        Self { name: "freehold".into(), role: Role::Admin, team: None }
    }

    /// Whether it may act on what a team owns.
    #[must_use]
    pub fn may_act_for(&self, team: &TeamName) -> bool {
        match self.role {
            Role::Admin | Role::Operator => self.team.as_ref().is_none_or(|own| own == team),
            Role::Developer => self.team.as_ref() == Some(team),
            Role::Viewer | Role::Security => false,
        }
    }

    /// Refuses what only the team itself or operators may do.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`].
    pub fn require_team(&self, team: &TeamName) -> Result<(), ApiError> {
        if self.may_act_for(team) {
            return Ok(());
        }
        let message = format!("token {:?} may not act for team {team}", self.name);
        Err(ApiError::new(ErrorCode::Forbidden, message)
            .hint(format!("use a token of role developer with team {team}")))
    }
}

impl Core {
    /// Finds out who a token belongs to.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`] when it is none, unknown or over.
    pub fn authenticate(&self, presented: &str) -> Result<Caller, ApiError> {
        let refuse = |message: &str| {
            Err(ApiError::new(ErrorCode::Unauthenticated, message)
                .hint("set FREEHOLD_TOKEN or FREEHOLD_TOKEN_FILE to a token that is valid"))
        };
        let Ok(token) = presented.trim().parse::<pki::Token>() else {
            return refuse("the token is not of the form fh_ID_SECRET");
        };
        let view = self.view();
        let Some(stored) = view.tokens.get(token.id().as_str()) else {
            return refuse("the token is not known");
        };
        if !pki::verify(&token, &stored.hash) {
            return refuse("the token is not known");
        }
        if stored.token.expires.is_some_and(|expires| expires <= self.now()) {
            return refuse("the token has expired");
        }
        let Token { name, role, team, .. } = stored.token.clone();
        Ok(Caller { name, role, team })
    }

    /// Makes a token.
    ///
    /// # Errors
    /// When the request is not valid, or the store refuses.
    pub async fn create_token(&self, request: TokenRequest) -> Result<TokenAnswer, ApiError> {
        let invalid = |message: &str| Err(ApiError::new(ErrorCode::Invalid, message));
        if request.name.is_empty() || request.name.len() > 63 {
            return invalid("a token's name has 1 to 63 characters");
        }
        if request.role == Role::Developer && request.team.is_none() {
            return invalid("a token of role developer needs a team");
        }
        if let Some(team) = &request.team
            && !self.view().teams.contains_key(team.as_str())
        {
            return Err(ApiError::new(ErrorCode::NotFound, format!("there is no team {team}"))
                .hint(format!("freehold team create {team}")));
        }
        let (secret, hash) = pki::mint();
        let created = self.now();
        let token = Token {
            id: secret.id().to_string(),
            name: request.name,
            role: request.role,
            team: request.team,
            created,
            expires: request.expires_in.map(|span| created.after(span)),
        };
        let stored = StoredToken { token: token.clone(), hash };
        self.commit(Change::new().create(&stored)).await?;
        Ok(TokenAnswer { token, secret: SecretValue(secret.reveal().to_string()) })
    }
}
