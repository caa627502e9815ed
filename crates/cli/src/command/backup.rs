//! `freehold backup`.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::connect::Session;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::size;

/// Write a backup of the cluster's state
///
/// It holds every document of the store: apps, releases, tokens' hashes, sealed secrets. It does
/// not hold images, and not the keys: keep DIR/server/master.key and DIR/pki of the servers
/// elsewhere.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The file, which must not be there yet; - is standard output
    #[arg(default_value = "freehold.backup")]
    pub file: PathBuf,
}

pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.file == Path::new("-") {
        session.ask(async |client| client.backup(&mut tokio::io::stdout()).await)?;
        return Ok(ExitCode::SUCCESS);
    }
    let name = arguments.file.display();
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::new(Exit::Conflict, format!("write {name}: it is there already"))
                .hint("give another name")
        }
        _ => Failure::io(format!("write {name}"), &e),
    };
    // Its name says that it is not whole until it is.
    let mut partial = arguments.file.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    if arguments.file.exists() {
        return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
    }
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&partial);
    let file = file.map_err(failed)?;
    let written = session.ask(async |client| {
        let mut out = tokio::fs::File::from_std(file);
        let bytes = client.backup(&mut out).await?;
        out.sync_all().await.map_err(failed)?;
        Ok::<_, Failure>(bytes)
    });
    let moved = written.and_then(|bytes| {
        std::fs::hard_link(&partial, &arguments.file).map_err(failed)?;
        Ok(bytes)
    });
    // After a success it is a second name, after a failure it is of no use.
    let _ = std::fs::remove_file(&partial);
    eprintln!("wrote {name}, {}", size(moved?));
    eprintln!("hint: the servers' master.key and pki are in no backup; keep them elsewhere");
    Ok(ExitCode::SUCCESS)
}
