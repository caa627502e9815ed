//! A host that only takes part in holding an address: `vip_host NAME ADDRESS PORT TABLE`, the table
//! as JSON. Ends when its standard input does, giving the address up. For tests that kill and
//! freeze it.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use agent::vip::{VipOptions, Vips};
use api::id::HostId;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, address, port, table] = arguments.as_slice() else {
        return Err("usage: vip_host NAME ADDRESS PORT TABLE".into());
    };
    let vips = Vips::start(VipOptions {
        host: HostId::new(name)?,
        address: address.parse()?,
        port: port.parse()?,
        able: Arc::new(AtomicBool::new(true)),
    })?;
    vips.set_table(serde_json::from_str(table)?);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    vips.stop();
    Ok(())
}
