//! Join tokens: who may come into the cluster, decided by an operator, used once.

use api::error::{ApiError, ErrorCode};
use api::join::{
    CLOCK_OFF_MAX, JoinRole, JoinToken, JoinTokenAnswer, JoinTokenRequest, TOKEN_LIFETIME,
    TOKEN_LIFETIME_MAX,
};
use api::protocol::SecretValue;
use api::time::Timestamp;
use api::unit::Millis;
use pki::Fingerprint;

use super::view::Row;
use super::{Change, Core, StoredJoinToken, View};
use crate::trust::Trust;

/// How long tokens that are over are still listed, so that it can be seen who used them.
const LISTED_FOR: Millis = Millis::secs(30 * 24 * 3600);

/// How many of them go with each new one.
const FORGOTTEN_AT_ONCE: usize = 32;

/// Who asks to come in.
pub(super) struct Joiner<'a> {
    pub(super) token: &'a SecretValue,
    pub(super) role: JoinRole,
    pub(super) name: &'a str,
    pub(super) key: Fingerprint,
    pub(super) replace: bool,
    pub(super) time: Timestamp,
}

impl Core {
    /// Makes a join token, and forgets what is long over.
    ///
    /// # Errors
    /// When it would live too long, or replace what is not there.
    pub async fn create_join_token(
        &self,
        trust: &Trust,
        request: JoinTokenRequest,
    ) -> Result<JoinTokenAnswer, ApiError> {
        let authority = trust.signs()?.bundle().fingerprint();
        let life = request.expires_in.unwrap_or(TOKEN_LIFETIME);
        if life > TOKEN_LIFETIME_MAX || life == Millis(0) {
            let message = format!("a join token is good for up to {TOKEN_LIFETIME_MAX}");
            return Err(ApiError::new(ErrorCode::Invalid, message));
        }
        let view = self.view();
        if let Some(name) = &request.replaces
            && !exists(&view, request.role, name)
        {
            let message = format!("there is no {} {name} to replace", word(request.role));
            return Err(ApiError::new(ErrorCode::NotFound, message));
        }
        let (secret, hash) = pki::mint();
        let created = trust.timestamp();
        let token = JoinToken {
            id: secret.id().to_string(),
            role: request.role,
            replaces: request.replaces,
            created,
            expires: created.after(life),
            used: None,
        };
        let stored = StoredJoinToken { token: token.clone(), hash };
        let over = view.join_tokens.values();
        let over = over.filter(|row| row.token.expires.after(LISTED_FOR) < created);
        let forgotten = over.take(FORGOTTEN_AT_ONCE);
        let change = forgotten.fold(Change::new(), |change, row| change.delete(row));
        self.commit(change.create(&stored)).await?;
        let secret = pki::JoinToken::new(secret, authority);
        Ok(JoinTokenAnswer { token, secret: SecretValue(secret.reveal().to_string()) })
    }
}

/// Whether a host or server with this name has joined.
pub(super) fn exists(view: &View, role: JoinRole, name: &str) -> bool {
    let member = view.members.get(&super::member_name(role, name));
    member.is_some_and(|member| member.removed.is_none())
        || (role == JoinRole::Host && view.hosts.contains_key(name))
}

/// What people call it.
pub(super) fn word(role: JoinRole) -> &'static str {
    match role {
        JoinRole::Host => "host",
        JoinRole::Server => "server",
    }
}

/// The token with which a joiner may come in under the name it wants.
///
/// # Errors
/// Why it may not.
pub(super) fn invited<'a>(
    view: &'a View,
    joiner: &Joiner<'_>,
    now: Timestamp,
) -> Result<&'a Row<StoredJoinToken>, ApiError> {
    let row = find(view, joiner)?;
    let refuse = |code, message: String, hint: &str| Err(ApiError::new(code, message).hint(hint));
    let another = "an operator makes one: freehold host token";
    let token = &row.token;
    if token.role != joiner.role {
        let message =
            format!("the join token makes a {}, not a {}", word(token.role), word(joiner.role));
        return refuse(ErrorCode::Forbidden, message, another);
    }
    let used = token.used.as_ref();
    if let Some(used) = used
        && (used.key != joiner.key.to_string() || used.name != joiner.name)
    {
        let message =
            format!("the join token was used by {} at {}, with another key", used.name, used.at);
        let hint = "if nobody knows of that, the token was stolen: revoke what joined with it; \
                    freehold host token makes another";
        return refuse(ErrorCode::Forbidden, message, hint);
    }
    if token.expires <= now {
        let message = format!("the join token expired at {}", token.expires);
        return refuse(ErrorCode::Unauthenticated, message, another);
    }
    check_clock(joiner.time, now)?;
    check_name(view, joiner, token)?;
    Ok(row)
}

fn find<'a>(view: &'a View, joiner: &Joiner<'_>) -> Result<&'a Row<StoredJoinToken>, ApiError> {
    let unknown = || {
        let message = "the join token is not known: it is mistyped, revoked or long over";
        ApiError::new(ErrorCode::Unauthenticated, message)
            .hint("an operator makes one: freehold host token")
    };
    let token: pki::Token = joiner.token.0.trim().parse().map_err(|_| unknown())?;
    let row = view.join_tokens.get(token.id().as_str()).ok_or_else(unknown)?;
    if pki::verify(&token, &row.hash) { Ok(row) } else { Err(unknown()) }
}

/// How far two clocks are apart.
pub(super) fn clocks_apart(one: Timestamp, other: Timestamp) -> Millis {
    Millis(one.0.abs_diff(other.0))
}

fn check_clock(theirs: Timestamp, ours: Timestamp) -> Result<(), ApiError> {
    let apart = clocks_apart(theirs, ours);
    if apart <= CLOCK_OFF_MAX {
        return Ok(());
    }
    let apart = Millis::secs(apart.0 / 1000);
    let side = if theirs > ours { "fast" } else { "slow" };
    let message =
        format!("the joiner's clock is {apart} {side}: it says {theirs}, the server's {ours}");
    Err(ApiError::new(ErrorCode::Invalid, message)
        .hint("set the clock, for example with chrony or systemd-timesyncd, and join again"))
}

fn check_name(view: &View, joiner: &Joiner<'_>, token: &JoinToken) -> Result<(), ApiError> {
    let (role, name) = (word(joiner.role), joiner.name);
    if let Some(replaces) = &token.replaces
        && replaces != name
    {
        let message = format!("the join token is for the place of {role} {replaces}, not {name}");
        return Err(ApiError::new(ErrorCode::Forbidden, message)
            .hint(format!("--name {replaces} --replace, or another token")));
    }
    let member = view.members.get(&super::member_name(joiner.role, name));
    let same = member.is_some_and(|member| member.key == joiner.key.to_string());
    if same || !exists(view, joiner.role, name) {
        return Ok(());
    }
    let server = if joiner.role == JoinRole::Server { " --server" } else { "" };
    let taken = format!("there is a {role} {name} already, with another key");
    let error = ApiError::new(ErrorCode::Conflict, taken);
    match (&token.replaces, joiner.replace) {
        (Some(_), true) => Ok(()),
        (Some(_), false) => Err(error.hint("--replace, if this machine is to take its place")),
        (None, _) => Err(error.hint(format!(
            "join with another --name; if this machine is to take its place, an operator says so: \
             freehold host token{server} --replace {name}"
        ))),
    }
}
