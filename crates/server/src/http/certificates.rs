//! Certificates of the ingress.

use api::certificate::Certificate;
use api::error::ApiError;
use api::operation::CertificateRequest;

use super::endpoint::Call;
use super::gives::{Done, Shows, shows};
use super::shadow;
use super::takes::Json;
use crate::core::StoredCertificate;

pub(super) async fn list(call: Call) -> Result<Shows<Vec<Certificate>>, ApiError> {
    let view = call.core.view();
    Ok(shows(view.certificates.values().map(|row| row.certificate.clone()).collect()))
}

pub(super) async fn put(
    call: Call<Json<CertificateRequest, shadow::CertificateRequest>>,
) -> Result<Shows<Certificate>, ApiError> {
    let name: String = call.segment("certificate")?;
    call.core.put_certificate(&name, call.body.value).await.map(shows)
}

pub(super) async fn delete(call: Call) -> Result<Done, ApiError> {
    let name: String = call.segment("certificate")?;
    call.core.remove::<StoredCertificate>("certificate", &name).await?;
    Ok(Done)
}
