//! Beginning an exchange of the cluster's authority, showing how far it is, and what each member
//! says of itself.

use api::authority::{AuthorityView, Phase, RotateRequest, Trusts};
use api::error::{ApiError, ErrorCode};
use api::event::Event;
use api::join::JoinRole;
use api::protocol::SecretValue;
use pki::{CaBundle, CertificateAuthority, Fingerprint};

use super::step::{Member, Wanted};
use crate::core::{
    Change, Core, Kind, StoredAbout, StoredAuthority, StoredSuccessor, View, member_name,
};
use crate::trust::Trust;

/// How often beginning is tried again when another one was quicker.
const TRIES: usize = 5;

/// What is wrong with a document of the exchange.
pub(super) fn broken(error: &dyn std::error::Error) -> ApiError {
    ApiError::new(ErrorCode::Internal, format!("read the cluster's authorities: {error}"))
}

impl StoredAuthority {
    /// The authorities to be trusted, the one that signs first.
    pub(super) fn bundle(&self) -> Result<CaBundle, ApiError> {
        CaBundle::from_pem(self.authorities_pem.as_bytes()).map_err(|error| broken(&error))
    }

    /// The fingerprint of the authority that signs in this phase.
    pub(super) fn signs(&self) -> Result<Fingerprint, ApiError> {
        Ok(self.bundle()?.fingerprint())
    }
}

/// A text for every fingerprint.
pub(super) fn texts(bundle: &CaBundle) -> Vec<String> {
    bundle.fingerprints().iter().map(ToString::to_string).collect()
}

impl Core {
    /// How far an exchange of the authority is; without one, what this server trusts.
    ///
    /// # Errors
    /// When the document cannot be read.
    pub fn authority(&self, trust: &Trust) -> Result<AuthorityView, ApiError> {
        let view = self.view();
        let Some(row) = view.authority() else {
            let bundle = trust.bundle();
            return Ok(AuthorityView {
                phase: Phase::Settled,
                signs: bundle.fingerprint().to_string(),
                authorities: texts(&bundle),
                authorities_pem: bundle.to_pem(),
                generation: 0,
                began: None,
                ended: None,
                held: false,
                waits_for: Vec::new(),
                left_out: Vec::new(),
            });
        };
        let it = &row.document.body;
        let (bundle, members) = (it.bundle()?, self.members(&view));
        let authorities = texts(&bundle);
        let wanted = wanted(it, &authorities);
        Ok(AuthorityView {
            phase: it.phase,
            signs: authorities[0].clone(),
            waits_for: wanted.waits_for(&members),
            authorities_pem: bundle.to_pem(),
            generation: it.generation,
            began: Some(it.began),
            ended: it.ended,
            held: it.held,
            left_out: it.left_out.clone(),
            authorities,
        })
    }

    /// Begins an exchange of the cluster's authority, or says how to go on with the present one.
    ///
    /// # Errors
    /// When this server cannot sign, or somebody else was quicker again and again.
    pub async fn rotate_authority(
        &self,
        trust: &Trust,
        request: &RotateRequest,
    ) -> Result<AuthorityView, ApiError> {
        for _ in 0..TRIES {
            let view = self.view();
            let row = view.authority();
            let next = match row {
                Some(row) if row.phase != Phase::Settled => {
                    let mut next = row.document.body.clone();
                    next.held = request.hold;
                    if request.force {
                        let left_out = self.authority(trust)?.waits_for;
                        next.left_out.extend(left_out.into_iter().map(|waits| waits.member));
                        next.left_out.sort();
                        next.left_out.dedup();
                    }
                    next
                }
                _ => self.begin(trust, row.map_or(0, |row| row.generation), request)?,
            };
            if row.is_some_and(|row| row.document.body == next) {
                return self.authority(trust);
            }
            let change = Change::new().put(row.map(AsRef::as_ref), &next);
            match self.commit(change).await {
                Err(error) if error.code == ErrorCode::Conflict => {
                    self.wait_for(store::Revision(view.revision.0 + 1)).await;
                }
                Err(error) => return Err(error),
                Ok(_) => {
                    self.tell_exchange(&next);
                    return self.authority(trust);
                }
            }
        }
        Err(ApiError::new(ErrorCode::Conflict, "somebody else exchanges the authority"))
    }

    /// The document of an exchange that begins now.
    fn begin(
        &self,
        trust: &Trust,
        generation: u64,
        request: &RotateRequest,
    ) -> Result<StoredAuthority, ApiError> {
        let old = trust.signs()?;
        let failed = |error: pki::CaError| ApiError::new(ErrorCode::Internal, error.to_string());
        let new = CertificateAuthority::create(&self.cluster, trust.now()).map_err(failed)?;
        let word = old.vouch_for(&new, trust.now()).map_err(failed)?;
        let word = CaBundle::new(vec![word]).map_err(|error| broken(&error))?;
        let (certificate_pem, key_pem) = new.export();
        let generation = generation + 1;
        let mut it = StoredAuthority {
            generation,
            phase: Phase::Trust,
            authorities_pem: String::new(),
            successor: None,
            began: self.now(),
            ended: None,
            held: request.hold,
            left_out: Vec::new(),
            engine_turn: None,
        };
        let version = u32::try_from(generation).unwrap_or(u32::MAX);
        let sealed = self.seal(&it.key(), version, &SecretValue(key_pem.to_string()))?;
        let both = old.bundle().followed_by(new.bundle()).map_err(|error| broken(&error))?;
        it.authorities_pem = both.to_pem();
        it.successor =
            Some(StoredSuccessor { certificate_pem, word_pem: word.to_pem(), sealed, version });
        Ok(it)
    }

    /// Records how far the exchange is.
    pub(super) fn tell_exchange(&self, it: &StoredAuthority) {
        let mut message = match it.phase {
            Phase::Trust => "the cluster's authority is exchanged: all learn to trust the new one",
            Phase::Issue => "the new authority signs: all get certificates of it",
            Phase::Drop => "the old authority is dropped",
            Phase::Settled => "the cluster's authority was exchanged",
        }
        .to_owned();
        if !it.left_out.is_empty() {
            message.push_str(&format!("; left out: {}", it.left_out.join(", ")));
        }
        self.events.record(Event {
            at: self.now(),
            kind: format!("authority.{}", it.phase.word()),
            app: None,
            environment: None,
            release: None,
            instance: None,
            host: None,
            message,
        });
    }

    /// All members, with what they said last.
    pub(super) fn members(&self, view: &View) -> Vec<Member> {
        let said = |role, name: &str| {
            let about = view.abouts.get(&member_name(role, name));
            about.map(|about| about.trusts.clone())
        };
        let heard = self.agents.gathered.peers();
        let servers = view.servers.values().map(|row| Member {
            name: format!("server {}", row.name),
            server: true,
            connected: row.name == self.servers.me || heard.contains(&row.name),
            trusts: said(JoinRole::Server, row.name.as_str()),
        });
        let hosts = view.hosts.values().map(|row| Member {
            name: format!("host {}", row.name),
            server: false,
            connected: self.agents.gathered.is_connected(&row.name),
            trusts: said(JoinRole::Host, row.name.as_str()),
        });
        servers.chain(hosts).collect()
    }

    /// Writes down what a server or host said of itself, when it is something else than before.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn note_about(&self, about: &StoredAbout) -> Result<(), ApiError> {
        for _ in 0..TRIES {
            let view = self.view();
            let row = view.abouts.get(&about.name());
            if row.is_some_and(|row| row.document.body == *about) {
                return Ok(());
            }
            match self.commit(Change::new().put(row.map(AsRef::as_ref), about)).await {
                Err(error) if error.code == ErrorCode::Conflict => {
                    self.wait_for(store::Revision(view.revision.0 + 1)).await;
                }
                other => return other.map(drop),
            }
        }
        Ok(())
    }

    /// What this server says of itself.
    pub(super) async fn note_own(&self, trusts: Trusts) -> Result<(), ApiError> {
        let name = self.servers.me.to_string();
        let about = StoredAbout { role: JoinRole::Server, name, trusts, host: None };
        self.note_about(&about).await
    }
}

/// What is to be trusted by a document.
pub(super) fn wanted<'a>(it: &'a StoredAuthority, authorities: &'a [String]) -> Wanted<'a> {
    Wanted {
        phase: it.phase,
        generation: it.generation,
        signs: &authorities[0],
        authorities,
        left_out: &it.left_out,
    }
}
