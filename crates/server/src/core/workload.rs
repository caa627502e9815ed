//! What an agent needs to run the entries of its assignment: images, resolved manifests and the
//! secrets they name, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use api::assignment::Assignment;
use api::manifest::{EnvironmentValue, Spec};
use api::protocol::Workload;
use api::registry::Registry;

use super::snapshot::SpecKey;
use super::{Core, Kind, View, place_name};

impl Core {
    /// The workloads that an assignment names, and a digest of them that changes when one does.
    #[must_use]
    pub fn workloads(
        &self,
        view: &View,
        assignment: &Assignment,
        specs: &BTreeMap<SpecKey, Arc<Spec>>,
    ) -> (Vec<Workload>, u64) {
        let mut keys = BTreeSet::new();
        for entry in &assignment.entries {
            keys.insert((entry.environment.clone(), entry.app.clone(), entry.release));
        }
        let mut digest = DefaultHasher::new();
        let mut workloads = Vec::with_capacity(keys.len());
        for key in keys {
            let (Some(spec), Some(release)) = (specs.get(&key), view.release(&key.1, key.2)) else {
                continue;
            };
            key.hash(&mut digest);
            let secrets = self.secrets_of(view, &key, spec, &mut digest);
            workloads.push(Workload {
                app: key.1,
                environment: key.0,
                release: key.2,
                image: release.image.clone(),
                spec: Spec::clone(spec),
                secrets,
            });
        }
        (workloads, digest.finish())
    }

    fn secrets_of(
        &self,
        view: &View,
        (environment, app, _): &SpecKey,
        spec: &Spec,
        digest: &mut DefaultHasher,
    ) -> BTreeMap<String, api::protocol::SecretValue> {
        let mut secrets = BTreeMap::new();
        for value in spec.environment.values() {
            let EnvironmentValue::Secret(name) = value else { continue };
            let key = format!("{}/{environment}/{name}", spec.team);
            let Some(row) = view.secrets.get(&key) else {
                let place = place_name(environment, app);
                tracing::warn!(secret = key, app = place, "a secret that is named does not exist");
                continue;
            };
            row.secret.version.hash(digest);
            match self.open(&row.key(), row.secret.version, &row.sealed) {
                Ok(value) => {
                    secrets.insert(name.to_string(), value);
                }
                Err(error) => tracing::error!(secret = key, %error, "open a secret"),
            }
        }
        secrets
    }

    /// The registries off the cluster with their passwords, and a digest of them.
    #[must_use]
    pub fn registries(&self, view: &View) -> (Vec<Registry>, u64) {
        let mut digest = DefaultHasher::new();
        let mut registries = Vec::with_capacity(view.registries.len());
        for row in view.registries.values() {
            row.registry.host.hash(&mut digest);
            row.revision.0.hash(&mut digest);
            let mut registry = row.registry.clone();
            if let Some(sealed) = &row.sealed {
                match self.open(&row.key(), 1, sealed) {
                    Ok(password) => registry.password = Some(password),
                    Err(error) => {
                        tracing::error!(host = registry.host, %error, "open a registry's password");
                    }
                }
            }
            registries.push(registry);
        }
        (registries, digest.finish())
    }
}
