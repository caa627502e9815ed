//! Making, changing and removing the simple kinds: teams, environments, secrets, certificates,
//! registries.

use api::certificate::Certificate;
use api::environment::Environment;
use api::error::{ApiError, ErrorCode};
use api::id::{EnvironmentName, SecretName, TeamName};
use api::operation::{CertificateRequest, EnvironmentRequest, TeamRequest};
use api::protocol::SecretValue;
use api::registry::Registry;
use api::secret::Secret;
use api::team::Team;

use super::view::Listed;
use super::{Caller, Change, Core, Kind, StoredCertificate, StoredRegistry, StoredSecret};

impl Core {
    /// Removes a document by its name.
    ///
    /// # Errors
    /// When there is none.
    pub async fn remove<K: Listed>(&self, what: &str, name: &str) -> Result<(), ApiError> {
        let view = self.view();
        let Some(row) = view.get::<K>(name) else {
            return Err(ApiError::new(ErrorCode::NotFound, format!("there is no {what} {name}")));
        };
        self.commit(Change::new().delete(row)).await?;
        Ok(())
    }

    /// Makes a team.
    ///
    /// # Errors
    /// When it exists.
    pub async fn create_team(&self, request: TeamRequest) -> Result<Team, ApiError> {
        if self.view().teams.contains_key(request.name.as_str()) {
            let message = format!("team {} exists", request.name);
            return Err(ApiError::new(ErrorCode::Conflict, message));
        }
        let team =
            Team { name: request.name, description: request.description, created: self.now() };
        self.commit(Change::new().create(&team)).await?;
        Ok(team)
    }

    /// Removes a team that owns nothing.
    ///
    /// # Errors
    /// When it owns apps.
    pub async fn delete_team(&self, name: &TeamName) -> Result<(), ApiError> {
        let view = self.view();
        let apps: Vec<&str> = view
            .apps
            .values()
            .filter(|app| app.team == *name)
            .map(|app| app.name.as_str())
            .collect();
        if !apps.is_empty() {
            let message = format!("team {name} owns {}", apps.join(", "));
            return Err(ApiError::new(ErrorCode::Conflict, message)
                .hint("delete its apps first: freehold app delete APP"));
        }
        self.remove::<Team>("team", name.as_str()).await
    }

    /// Makes or changes an environment.
    ///
    /// # Errors
    /// When another one has the same place in the pipeline.
    pub async fn put_environment(
        &self,
        name: &EnvironmentName,
        request: EnvironmentRequest,
    ) -> Result<Environment, ApiError> {
        let view = self.view();
        let mut others = view.environments.values().filter(|other| other.name != *name);
        if let Some(other) = others.find(|other| other.order == request.order) {
            let message = format!("environment {} has order {} too", other.name, request.order);
            return Err(ApiError::new(ErrorCode::Conflict, message)
                .hint("each environment of the pipeline needs an order of its own"));
        }
        let row = view.environments.get(name.as_str());
        let environment = Environment {
            name: name.clone(),
            order: request.order,
            host_labels: request.host_labels,
            created: row.map_or_else(|| self.now(), |row| row.created),
        };
        self.commit(Change::new().put(row.map(AsRef::as_ref), &environment)).await?;
        Ok(environment)
    }

    /// Removes an environment that nothing runs in.
    ///
    /// # Errors
    /// When something does.
    pub async fn delete_environment(&self, name: &EnvironmentName) -> Result<(), ApiError> {
        let view = self.view();
        if let Some(row) = view.deployments.values().find(|row| row.environment == *name) {
            let message = format!("app {} runs in {name}", row.app);
            return Err(ApiError::new(ErrorCode::Conflict, message));
        }
        self.remove::<Environment>("environment", name.as_str()).await
    }

    /// Sets a secret's value.
    ///
    /// # Errors
    /// When the caller may not, the team or environment does not exist, or the value is too long.
    pub async fn put_secret(
        &self,
        caller: &Caller,
        (team, environment, name): (TeamName, EnvironmentName, SecretName),
        value: &SecretValue,
    ) -> Result<Secret, ApiError> {
        caller.require_team(&team)?;
        let view = self.view();
        let missing = |what: String| ApiError::new(ErrorCode::NotFound, what);
        if !view.teams.contains_key(team.as_str()) {
            return Err(missing(format!("there is no team {team}")));
        }
        if !view.environments.contains_key(environment.as_str()) {
            return Err(missing(format!("there is no environment {environment}")));
        }
        let row = view.secrets.get(&format!("{team}/{environment}/{name}"));
        let version = row.map_or(1, |row| row.secret.version + 1);
        let secret = Secret { team, environment, name, version, updated: self.now() };
        let key = format!("{}{}", StoredSecret::PREFIX, super::secret_name(&secret));
        let sealed = self.seal(&key, version, value)?;
        let stored = StoredSecret { secret: secret.clone(), sealed };
        self.commit(Change::new().put(row.map(AsRef::as_ref), &stored)).await?;
        Ok(secret)
    }

    /// Sets a certificate of the ingress.
    ///
    /// # Errors
    /// When chain and key can't be read or do not belong together, or no host name is known.
    pub async fn put_certificate(
        &self,
        name: &str,
        request: CertificateRequest,
    ) -> Result<Certificate, ApiError> {
        let invalid = |message: String| ApiError::new(ErrorCode::Invalid, message);
        if name.is_empty() || name.len() > 63 || name.contains('/') {
            return Err(invalid("a certificate's name has 1 to 63 characters without '/'".into()));
        }
        let key = &request.key_pem.0;
        let identity = pki::Identity::from_pem(request.chain_pem.as_bytes(), key.as_bytes())
            .map_err(|error| invalid(error.to_string()))?;
        let named = identity.dns_names();
        let hosts = if request.hosts.is_empty() { named } else { request.hosts };
        if hosts.is_empty() {
            return Err(invalid("the certificate names no host".into())
                .hint("give the names to serve it for: --host NAME"));
        }
        let certificate = Certificate {
            name: name.to_owned(),
            hosts,
            chain_pem: request.chain_pem,
            not_after: api::time::Timestamp(identity.validity().not_after.as_millisecond()),
        };
        let view = self.view();
        let row = view.certificates.get(name);
        let path = format!("{}{name}", StoredCertificate::PREFIX);
        let sealed = self.seal(&path, 1, &request.key_pem)?;
        let stored = StoredCertificate { certificate: certificate.clone(), sealed };
        self.commit(Change::new().put(row.map(AsRef::as_ref), &stored)).await?;
        Ok(certificate)
    }

    /// Sets how to reach a registry off the cluster.
    ///
    /// # Errors
    /// When its name is not `host[:port]`.
    pub async fn put_registry(&self, mut registry: Registry) -> Result<Registry, ApiError> {
        let host = registry.host.clone();
        if host.is_empty() || host.len() > 255 || host.contains(['/', ' ', '@']) {
            let message = format!("{host:?} is not a registry's host[:port]");
            return Err(ApiError::new(ErrorCode::Invalid, message));
        }
        let key = format!("{}{host}", StoredRegistry::PREFIX);
        let password = registry.password.take();
        let sealed = password.map(|password| self.seal(&key, 1, &password)).transpose()?;
        let view = self.view();
        let row = view.registries.get(&host);
        let stored = StoredRegistry { registry: registry.clone(), sealed };
        self.commit(Change::new().put(row.map(AsRef::as_ref), &stored)).await?;
        Ok(registry)
    }
}
