//! Virtual addresses of the ingress.

use api::error::ApiError;
use api::vip::{VipChoice, VipRequest, VipView, VirtualAddress};

use super::endpoint::Call;
use super::gives::{Done, Shows, shows};
use super::hosts::check_labels;
use super::takes::Json;

pub(super) async fn list(call: Call) -> Result<Shows<Vec<VipView>>, ApiError> {
    Ok(shows(call.core.vips()))
}

pub(super) async fn show(call: Call) -> Result<Shows<VipView>, ApiError> {
    call.core.vip(call.segment("address")?).map(shows)
}

pub(super) async fn create(
    call: Call<Json<VipRequest>>,
) -> Result<Shows<VirtualAddress>, ApiError> {
    check_labels(&call.body.value.choice.labels)?;
    call.core.create_vip(call.body.value).await.map(shows)
}

pub(super) async fn put(call: Call<Json<VipChoice>>) -> Result<Shows<VirtualAddress>, ApiError> {
    let address = call.segment("address")?;
    check_labels(&call.body.value.labels)?;
    call.core.put_vip(address, call.body.value).await.map(shows)
}

pub(super) async fn delete(call: Call) -> Result<Done, ApiError> {
    call.core.delete_vip(call.segment("address")?).await?;
    Ok(Done)
}
