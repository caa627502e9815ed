//! The example app: a small HTTP/1.1 service in one static binary. It says who answers (version,
//! instance, release, environment), stops gracefully on SIGTERM, and can misbehave on demand so
//! that tests see how the platform copes. Must not depend on anything of the platform's code.
//!
//! | path | answer |
//! | --- | --- |
//! | `/`, `/plain` | who answers, as JSON or as text (also by `accept: text/plain`) |
//! | `/healthz` | 200, or 503 when `HELLO_UNHEALTHY=1` |
//! | `/slow?ms=N` | as `/`, after N milliseconds (at most a minute) |
//! | `/bytes?n=N` | N bytes (at most 1 GiB) |
//! | `/headers` | the request's head as it arrived |
//! | `/upload` | how many bytes of body arrived |

mod connection;
mod http;
mod reply;
mod settings;
mod trouble;
mod witness;
mod worker;

use std::io::{self, Read};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::settings::Settings;
use crate::worker::Worker;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("hello: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let settings = Settings::read(|name| std::env::var(name).ok()).map_err(io::Error::other)?;
    // Registered before anything else, so that a stop during a slow start is not lost.
    let mut signals = signals()?;
    trouble::start(&settings);
    witness::start(&settings)?;
    thread::sleep(settings.start_delay);

    let listener = TcpListener::bind((settings.address, settings.port))?;
    listener.set_nonblocking(true)?;
    println!("listening on {}", listener.local_addr()?);
    let settings = Arc::new(settings);
    let stopping = Arc::new(AtomicBool::new(false));
    let mut running = Vec::new();
    for _ in 0..settings.threads {
        let mut worker =
            Worker::new(listener.try_clone()?, Arc::clone(&settings), Arc::clone(&stopping))?;
        let waker = worker.waker();
        running.push((waker, thread::spawn(move || worker.run())));
    }
    // The workers hold the socket: it closes when the last of them has stopped accepting.
    drop(listener);

    // One byte arrives per signal; nothing else is ever written there.
    signals.read_exact(&mut [0])?;
    stopping.store(true, Ordering::Release);
    for (waker, _) in &running {
        waker.wake()?;
    }
    for (_, thread) in running {
        thread.join().map_err(|_| io::Error::other("a worker died"))??;
    }
    println!("stopped");
    Ok(())
}

fn signals() -> io::Result<UnixStream> {
    let (receiver, sender) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGTERM, sender.try_clone()?)?;
    signal_hook::low_level::pipe::register(SIGINT, sender)?;
    Ok(receiver)
}
