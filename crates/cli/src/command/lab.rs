//! `freehold lab …`: a whole cluster on one machine, and breaking it.

mod arguments;
mod control;
mod ready;
mod show;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use ::lab::{Delay, End, Lab, Loss, Plan, Target};

pub(crate) use arguments::Arguments;
pub(crate) use arguments::Hidden;
use arguments::{Broken, Named, Pair, Up};
use show::Named as _;

use crate::connect::{Session, print_out};
use crate::exit::Exit;
use crate::failure::Failure;

/// This binary, for everything that a lab starts.
const SELF: &str = "/proc/self/exe";

pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    if !rustix::process::geteuid().is_root() {
        let why = "make machines out of namespaces: this needs root";
        return Err(Failure::new(Exit::Unfit, why).hint("sudo freehold lab up"));
    }
    match arguments {
        Arguments::Up(up) => bring_up(session, &up),
        Arguments::Status(named) => {
            let machines = status(&named.lab()?)?;
            session.show(&machines, |machines, look| show::machines(machines, look))
        }
        Arguments::Kill(broken) => kill(session, &broken),
        Arguments::Freeze(broken) => change(&broken, "frozen", ::lab::freeze),
        Arguments::Thaw(broken) => change(&broken, "goes on", ::lab::thaw),
        Arguments::Restart(broken) => change(&broken, "started", |lab, lock, targets| {
            ::lab::restart(lab, lock, targets, &binary())
        }),
        Arguments::Cut(pair) => lose(session, &pair, Loss::ALL),
        Arguments::Loss { percent, pair } => lose(session, &pair, Loss { percent }),
        Arguments::Delay { from, to, millis, one_way, which } => {
            let lab = which.lab()?;
            let plan = lab.plan()?;
            let (one, other) = (ends(&plan, &from)?, ends(&plan, &to)?);
            if one.contains(&End::Outside) || other.contains(&End::Outside) {
                return Err(Failure::invalid("delay what clients outside send: they are near"));
            }
            let late = Delay { millis };
            let faults = ::lab::delay_links(&lab, &lab.lock()?, &binary(), |faults| {
                faults.delay(&one, &other, late, one_way);
            })?;
            let way = if one_way { "to" } else { "and" };
            session.changed(&faults, &format!("{from} {way} {to} are {millis} ms apart"))
        }
        Arguments::Heal(named) => {
            let lab = named.lab()?;
            let faults = ::lab::break_links(&lab, &lab.lock()?, ::lab::Faults::heal)?;
            session.changed(&faults, "all links are whole")
        }
        Arguments::Migrate { host, hypervisor, which } => {
            let lab = which.lab()?;
            let moved = ::lab::migrate(&lab, &lab.lock()?, &host, &hypervisor)?;
            session.changed(&moved, &format!("{host} is on {} now", moved.domain()))
        }
        Arguments::Clock { host, offset, which } => {
            let lab = which.lab()?;
            let set = ::lab::set_clock(&lab, &lab.lock()?, &host, offset)?;
            session.changed(&set, &format!("the clock of {host} is {offset} off"))
        }
        Arguments::Shell { host, command, which } => {
            let command = if command.is_empty() { vec![shell()] } else { command };
            Ok(code(::lab::enter(&which.lab()?, &host, &command)?))
        }
        Arguments::Run { command, which } => Ok(code(::lab::run_outside(&which.lab()?, &command)?)),
        Arguments::Env(named) => {
            let lab = named.lab()?;
            // A lab that is there has a plan; without one there is no door to open.
            lab.plan()?;
            print_out(&show::exports(&lab, &lab.door(&binary())?))?;
            Ok(ExitCode::SUCCESS)
        }
        Arguments::Down(named) => {
            let lab = named.lab()?;
            ::lab::down(&lab, &lab.lock()?)?;
            session.changed(&lab.directory(), "nothing of the lab is left")
        }
    }
}

/// A machine's first processes, and the door.
pub(crate) fn run_hidden(arguments: &Hidden) -> Result<ExitCode, Failure> {
    match arguments {
        Hidden::LabInit { which, machine, first } => {
            let lab = which.lab()?;
            if *first {
                ::lab::first(&lab, machine)?;
            } else {
                // The same arguments and one more.
                let mut again: Vec<String> = std::env::args().skip(1).collect();
                again.push("--first".to_owned());
                ::lab::outer(&lab, machine, &again)?;
            }
        }
        Hidden::LabDoor { which } => ::lab::serve_door(&which.lab()?)?,
        Hidden::LabRelay { which } => ::lab::relay(&which.lab()?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn bring_up(session: &Session, up: &Up) -> Result<ExitCode, Failure> {
    let mut plan = Plan::of(&up.shape()).map_err(::lab::LabError::from)?;
    for (machine, offset) in &up.clocks {
        if plan.set_clock(machine, *offset).is_none() {
            let message = format!("set the clock of {machine}: there is no such machine");
            return Err(Failure::invalid(message));
        }
    }
    let lab = up.named.lab()?;
    let door = ::lab::up(&lab, &lab.lock()?, &plan, &binary())?;
    if !up.no_wait && !up.bare {
        ready::wait(&lab, &plan, &door).map_err(|failure| {
            let at = lab.directory().join("machines").display().to_string();
            failure.hint(format!("the words of servers and agents are in {at}"))
        })?;
    }
    let machines = status(&lab)?;
    if session.format == crate::output::Format::Table {
        let look = session.terminal.look();
        eprint!("{}", show::machines(&machines, &look));
        if !up.bare {
            print_out(&show::exports(&lab, &door))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    session.show(&machines, |_, _| String::new())
}

/// All machines, and which of their members lead.
fn status(lab: &Lab) -> Result<Vec<show::Row>, Failure> {
    let machines = ::lab::status(lab)?;
    let plan = lab.plan()?;
    let mut leaders: Vec<String> = Vec::new();
    if plan.with_role(::lab::Role::Server).next().is_some()
        && let Ok(door) = lab.door(&binary())
    {
        let servers = control::servers(lab, &door).into_iter().filter(|it| it.leads);
        leaders.extend(servers.map(|it| it.server.name.to_string()));
    }
    if let Some(access) = lab.etcd(&plan) {
        let members = control::etcd(lab, &access).into_iter().filter(|member| member.leads);
        leaders.extend(members.map(|it| it.server.replacen("server", "etcd", 1)));
    }
    let row = |machine: ::lab::MachineStatus| {
        let members = plan.machine(&machine.machine).map(|it| it.members.as_slice());
        let named = members.unwrap_or_default().iter().map(|member| member.name.clone());
        let leads = named.filter(|name| leaders.contains(name)).collect();
        show::Row { machine, leads }
    };
    Ok(machines.into_iter().map(row).collect())
}

fn kill(session: &Session, broken: &Broken) -> Result<ExitCode, Failure> {
    let lab = broken.which.lab()?;
    let lock = lab.lock()?;
    let silence = ::lab::kill(&lab, &lock, &targets(&lab, &broken.things)?)?;
    let names: Vec<String> = silence.killed.iter().map(Target::name).collect();
    let sentence = format!(
        "{} killed; silent since {} (CLOCK_MONOTONIC {} ns)",
        names.join(", "),
        silence.wall,
        silence.monotonic_ns
    );
    session.changed(&silence, &sentence)
}

fn change(
    broken: &Broken,
    done: &str,
    how: impl Fn(&Lab, &::lab::Lock, &[Target]) -> Result<(), ::lab::LabError>,
) -> Result<ExitCode, Failure> {
    let lab = broken.which.lab()?;
    let targets = targets(&lab, &broken.things)?;
    how(&lab, &lab.lock()?, &targets)?;
    for target in targets {
        eprintln!("{} {done}", target.name());
    }
    Ok(ExitCode::SUCCESS)
}

fn targets(lab: &Lab, names: &[String]) -> Result<Vec<Target>, Failure> {
    Ok(Target::all(&lab.plan()?, names).map_err(::lab::LabError::from)?)
}

fn lose(session: &Session, pair: &Pair, loss: Loss) -> Result<ExitCode, Failure> {
    let lab = pair.which.lab()?;
    let plan = lab.plan()?;
    let (from, to) = (ends(&plan, &pair.from)?, ends(&plan, &pair.to)?);
    let lock = lab.lock()?;
    let faults = ::lab::break_links(&lab, &lock, |faults| {
        faults.lose(&from, &to, loss, pair.one_way);
    })?;
    let way = if pair.one_way { "to" } else { "and" };
    let sentence = format!("between {} {way} {} {} % are lost", pair.from, pair.to, loss.percent);
    session.changed(&faults, &sentence)
}

/// The ends of links that a list of names means.
fn ends(plan: &Plan, names: &str) -> Result<BTreeSet<End>, Failure> {
    if names == "outside" {
        return Ok([End::Outside].into());
    }
    let machines = Target::machines(plan, names).map_err(::lab::LabError::from)?;
    Ok(machines.into_iter().map(End::Machine).collect())
}

fn binary() -> PathBuf {
    // The path itself outlives this process's /proc entry; a replaced binary has none.
    std::fs::read_link(SELF).ok().filter(|path| path.exists()).unwrap_or_else(|| SELF.into())
}

fn shell() -> String {
    std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned())
}

fn code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

impl Named {
    fn lab(&self) -> Result<Lab, Failure> {
        match &self.name {
            Some(name) => Ok(Lab::at(&self.which.base, name)?),
            None => self.which.lab(),
        }
    }
}

impl From<::lab::LabError> for Failure {
    fn from(error: ::lab::LabError) -> Self {
        use ::lab::LabError as E;
        let (exit, hint) = match &error {
            E::Plan(_) => (Exit::Invalid, None),
            E::Target(_) => (Exit::NotFound, Some("freehold lab status")),
            E::Directory { doing: "make", .. } => {
                (Exit::Conflict, Some("freehold lab down, or give another name"))
            }
            E::Directory { .. } => (Exit::NotFound, Some("freehold lab up")),
            E::Busy(_) => (Exit::InUse, None),
            E::NotRunning(_) => (Exit::Conflict, Some("freehold lab restart MACHINE")),
            E::NoEtcd => (Exit::Unfit, Some("install etcd 3.4 or later (Debian: etcd-server)")),
            E::Layout(_) => (Exit::Unfit, None),
            _ => (Exit::Failure, None),
        };
        let failure = Self::of(exit, &error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
