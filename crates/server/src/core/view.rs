//! The view: every document of the store at one revision, in memory. Readers hold one view and see
//! nothing change; the cache swaps in the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::app::App;
use api::assignment::Assignment;
use api::deployment::Deployment;
use api::environment::Environment;
use api::host::Host;
use api::id::{AppName, EnvironmentName, ReleaseNumber};
use api::release::Release;
use api::server::Server;
use api::status::HostStatus;
use api::team::Team;
use api::vip::VirtualAddress;
use bytes::Bytes;
use store::document::{Document, DocumentError};
use store::{KeyValue, Revision};

use super::kind::{
    Kind, ServiceAddress, StoredAbout, StoredAcceptance, StoredAuthority, StoredCertificate,
    StoredEvent, StoredImage, StoredJoinToken, StoredMember, StoredRegistry, StoredSecret,
    StoredTag, StoredToken, StoredVipKey, place_name, release_name,
};

/// A document as it stands in the store.
#[derive(Debug, Clone)]
pub struct Row<T> {
    /// The document, with what is unknown in it.
    pub document: Document<T>,
    /// The revision that wrote it.
    pub revision: Revision,
}

impl<T> std::ops::Deref for Row<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.document.body
    }
}

/// All documents of a kind by the name in their key.
pub type Table<T> = BTreeMap<String, Arc<Row<T>>>;

macro_rules! view {
    ($($(#[$doc:meta])* $field:ident: $kind:ty,)*) => {
        /// Every document at one revision.
        #[derive(Debug, Clone, Default)]
        pub struct View {
            /// The revision that it shows.
            pub revision: Revision,
            $($(#[$doc])* pub $field: Table<$kind>,)*
        }

        impl View {
            /// Takes over one key's new value, or its deletion. Keys of no kind are passed over.
            ///
            /// # Errors
            /// When the value is not a document of the key's kind.
            pub fn apply(&mut self, kv: &KeyValue, deleted: bool) -> Result<(), DocumentError> {
                let Ok(key) = std::str::from_utf8(&kv.key) else { return Ok(()) };
                $(if let Some(name) = key.strip_prefix(<$kind as Kind>::PREFIX) {
                    return put(&mut self.$field, name, kv, deleted);
                })*
                Ok(())
            }
        }

        $(impl Listed for $kind {
            fn table(view: &View) -> &Table<Self> {
                &view.$field
            }
        })*
    };
}

/// A kind that the view has a table of.
pub trait Listed: Kind {
    /// Its table.
    fn table(view: &View) -> &Table<Self>;
}

fn put<K: Kind>(
    table: &mut Table<K>,
    name: &str,
    kv: &KeyValue,
    deleted: bool,
) -> Result<(), DocumentError> {
    if deleted {
        table.remove(name);
        return Ok(());
    }
    let value: &Bytes = &kv.value;
    let document = Document::decode(&K::SCHEMA, value)?;
    table.insert(name.to_owned(), Arc::new(Row { document, revision: kv.mod_revision }));
    Ok(())
}

view! {
    /// Teams.
    teams: Team,
    /// Apps.
    apps: App,
    /// Releases.
    releases: Release,
    /// Environments.
    environments: Environment,
    /// Deployments.
    deployments: Deployment,
    /// Hosts.
    hosts: Host,
    /// Assignments.
    assignments: Assignment,
    /// Statuses as last written; fresher ones come with the agents' streams.
    statuses: HostStatus,
    /// Servers.
    servers: Server,
    /// Service addresses.
    services: ServiceAddress,
    /// Tokens.
    tokens: StoredToken,
    /// Join tokens.
    join_tokens: StoredJoinToken,
    /// Hosts and servers that joined by a token.
    members: StoredMember,
    /// Secrets.
    secrets: StoredSecret,
    /// Certificates.
    certificates: StoredCertificate,
    /// Registries.
    registries: StoredRegistry,
    /// Events.
    events: StoredEvent,
    /// The cluster's authorities: one document, once they were exchanged.
    authorities: StoredAuthority,
    /// That an operator accepted losses; one at most.
    acceptances: StoredAcceptance,
    /// What servers and hosts say of themselves.
    abouts: StoredAbout,
    /// Virtual addresses.
    vips: VirtualAddress,
    /// What their adverts are authenticated with; one at most.
    vip_keys: StoredVipKey,
    /// Images of the cluster's registry.
    images: StoredImage,
    /// Their tags.
    image_tags: StoredTag,
}

impl View {
    /// The cluster's authorities, once they were exchanged.
    #[must_use]
    pub fn authority(&self) -> Option<&Arc<Row<StoredAuthority>>> {
        self.authorities.get(StoredAuthority::NAME)
    }

    /// A document by its kind and name.
    #[must_use]
    pub fn get<K: Listed>(&self, name: &str) -> Option<&Arc<Row<K>>> {
        K::table(self).get(name)
    }

    /// An app's release.
    #[must_use]
    pub fn release(&self, app: &AppName, number: ReleaseNumber) -> Option<&Arc<Row<Release>>> {
        self.releases.get(&release_name(app, number.0))
    }

    /// An app's releases, the oldest first.
    pub fn releases_of<'a>(
        &'a self,
        app: &AppName,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<Row<Release>>> {
        let (from, to) = (format!("{app}/"), format!("{app}0"));
        self.releases.range(from..to).map(|(_, row)| row)
    }

    /// What an app should run in an environment.
    #[must_use]
    pub fn deployment(
        &self,
        environment: &EnvironmentName,
        app: &AppName,
    ) -> Option<&Arc<Row<Deployment>>> {
        self.deployments.get(&place_name(environment, app))
    }

    /// The environments in the order of the pipeline.
    #[must_use]
    pub fn pipeline(&self) -> Vec<&Arc<Row<Environment>>> {
        let mut stages: Vec<_> = self.environments.values().collect();
        stages.sort_by_key(|stage| (stage.order, stage.name.clone()));
        stages
    }
}
