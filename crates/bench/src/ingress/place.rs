//! What all proxies of a contest have in common: the instance behind them, the certificate, the
//! cores.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::machine::Running;
use crate::outside::DOMAIN;
use crate::setting::{READY_WITHIN, Setting};

/// The core that a proxy has for itself.
const PROXY_CORE: &str = "0";

/// The core that load and instance share.
const OTHER_CORE: &str = "1";

/// Where the instance listens; the network namespace is ours alone.
const INSTANCE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9000);

/// The surroundings of proxies.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// The setting.
    pub(crate) setting: &'a Setting,
    /// Where the instance listens.
    pub(crate) instance: SocketAddrV4,
    /// Set when clients speak TLS.
    pub(crate) tls: Option<Certificate>,
    /// Proxies on a core of their own, and everything else on another.
    pub(crate) pinned: bool,
    _running: Running,
}

/// A certificate for [`DOMAIN`] and all names below it.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// The certificate, PEM.
    pub(crate) chain: PathBuf,
    /// Its key, PEM.
    pub(crate) key: PathBuf,
    /// Both in one file.
    pub(crate) both: PathBuf,
}

impl<'a> Place<'a> {
    /// Starts the instance.
    pub(crate) fn new(setting: &'a Setting, tls: bool, pinned: bool) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        ensure!(cores > 1 || !pinned, "the proxy needs a core of its own: two are needed");
        let mut command = on(pinned, OTHER_CORE, setting.hello()?);
        command.env("HELLO_ADDRESS", INSTANCE.ip().to_string());
        command.env("PORT", INSTANCE.port().to_string()).env("HELLO_THREADS", "1");
        let mut running = Running::start(&mut command, "instance", &setting.scratch)?;
        let listens = |_: &Running| std::net::TcpStream::connect(INSTANCE).ok().map(drop);
        running.until("listening", READY_WITHIN, listens)?;
        let tls = tls.then(|| Certificate::make(&setting.scratch)).transpose()?;
        Ok(Self { setting, instance: INSTANCE, tls, pinned, _running: running })
    }

    /// A command for a proxy, on its core.
    pub(crate) fn proxy(&self, program: &Path) -> Command {
        on(self.pinned, PROXY_CORE, program)
    }

    /// A command for the load, on the other core.
    pub(crate) fn load(&self, program: &Path) -> Command {
        on(self.pinned, OTHER_CORE, program)
    }

    /// How clients begin the address of a proxy.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

fn on(pinned: bool, core: &str, program: &Path) -> Command {
    if !pinned {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", core]).arg(program);
    command
}

impl Certificate {
    fn make(directory: &Path) -> Result<Self> {
        let names = vec![DOMAIN.to_owned(), format!("*.{DOMAIN}")];
        let parameters = rcgen::CertificateParams::new(names).context("name a certificate")?;
        let key = rcgen::KeyPair::generate().context("make a key")?;
        let certificate = parameters.self_signed(&key).context("sign a certificate")?;
        let file = |name: &str| directory.join(name);
        let made = Self { chain: file("tls.pem"), key: file("tls.key"), both: file("tls.both") };
        let (chain, key) = (certificate.pem(), key.serialize_pem());
        std::fs::write(&made.both, format!("{chain}{key}"))?;
        std::fs::write(&made.chain, chain)?;
        std::fs::write(&made.key, key)?;
        Ok(made)
    }
}
