//! The key that observers' probes are authenticated with: made by the first leader, sealed in the
//! store.

use api::error::ApiError;
use api::liveness::ProbeKey;
use api::protocol::SecretValue;
use pki::Sealed;
use store::{Compare, Op, Txn};

use super::change::store_error;
use super::{Core, Term};

/// Where it stands.
const KEY: &str = "probe/key";

impl Core {
    /// The cluster's key for probes. One that this server's master key does not open is replaced:
    /// nothing but probes depends on it, and observers get the new one at once.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn probe_key(&self, leader: &Term) -> Result<ProbeKey, ApiError> {
        loop {
            let got = self.store.get(KEY.as_bytes(), None).await.map_err(|e| store_error(&e))?;
            if let Some(kv) = &got.kv
                && let Ok(sealed) = serde_json::from_slice::<Sealed>(&kv.value)
                && let Ok(key) = self.open(KEY, 1, &sealed)
            {
                return Ok(ProbeKey(key.0));
            }
            let unchanged = match &got.kv {
                Some(kv) => Compare::unchanged_since(KEY, kv.mod_revision),
                None => Compare::absent(KEY),
            };
            let random: [u8; 32] = rand::random();
            let key = SecretValue(data_encoding::HEXLOWER.encode(&random));
            let sealed = self.seal(KEY, 1, &key)?;
            let bytes = serde_json::to_vec(&sealed).expect("a sealed value is JSON");
            let txn = Txn::default().when(unchanged).when(leader.fence());
            let answer = self.store.txn(txn.then(Op::put(KEY, bytes))).await;
            if answer.map_err(|error| store_error(&error))?.succeeded {
                return Ok(ProbeKey(key.0));
            }
            if !self.still_leads(leader).await? {
                let message = format!("term {} has ended", leader.number);
                return Err(ApiError::new(api::error::ErrorCode::Conflict, message));
            }
        }
    }

    async fn still_leads(&self, leader: &Term) -> Result<bool, ApiError> {
        let answer = self.store.txn(Txn::default().when(leader.fence())).await;
        Ok(answer.map_err(|error| store_error(&error))?.succeeded)
    }
}
