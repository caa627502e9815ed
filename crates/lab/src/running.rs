//! A lab in the hands of a program: a benchmark or a test that starts machines, runs commands on
//! them and breaks them. What it does is what the commands of `freehold lab` do.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::directory::Lab;
use crate::down::down;
use crate::failure::LabError;
use crate::fault::{End, Faults, Loss};
use crate::kill::{Silence, freeze, kill, restart, thaw};
use crate::network::break_links;
use crate::plan::{Plan, Shape};
use crate::target::Target;
use crate::up::up;

/// A lab that was brought up. It stays when this is dropped: take it [`Running::down`].
#[derive(Debug, Clone)]
pub struct Running {
    lab: Lab,
    exe: PathBuf,
}

impl Running {
    /// Brings a lab up below `base`; `exe` is the binary `freehold`. Machines run then; their
    /// servers and agents, if the shape has any, are on their way.
    ///
    /// # Errors
    /// There is one already, or something cannot be made.
    pub fn up(base: &Path, name: &str, shape: &Shape, exe: &Path) -> Result<Self, LabError> {
        let (lab, plan) = (Lab::at(base, name)?, Plan::of(shape)?);
        up(&lab, &lab.lock()?, &plan, exe)?;
        Ok(Self { lab, exe: exe.to_owned() })
    }

    /// A lab that was brought up by somebody else.
    ///
    /// # Errors
    /// There is none.
    pub fn find(base: &Path, name: &str, exe: &Path) -> Result<Self, LabError> {
        let lab = Lab::at(base, name)?;
        lab.plan().map(|_| Self { lab, exe: exe.to_owned() })
    }

    /// The lab.
    #[must_use]
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Its plan.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn plan(&self) -> Result<Plan, LabError> {
        self.lab.plan()
    }

    /// A command on a machine, in all its namespaces and in its cgroup. It ends with the machine,
    /// and with the process that is started here.
    #[must_use]
    pub fn command(&self, machine: &str, program: &str) -> Command {
        let mut command = Command::new(&self.exe);
        command.args(self.words("shell", &[machine])).args(["--", program]);
        command
    }

    /// A command as a client on the lab's network, outside all machines.
    #[must_use]
    pub fn outside(&self, program: &str) -> Command {
        let mut command = Command::new(&self.exe);
        command.args(self.words("run", &[])).args(["--", program]);
        command
    }

    fn words(&self, verb: &str, more: &[&str]) -> Vec<String> {
        let mut words = vec!["lab".to_owned(), verb.to_owned()];
        words.extend(more.iter().map(|it| (*it).to_owned()));
        words.extend(self.lab.options());
        words
    }

    /// Kills all that is named, as [`kill`]: all at once, and silent from the moment that is told.
    ///
    /// # Errors
    /// A name means nothing, or something survives.
    pub fn kill(&self, names: &[&str]) -> Result<Silence, LabError> {
        kill(&self.lab, &self.lab.lock()?, &self.targets(names)?)
    }

    /// Stops what is named where it is.
    ///
    /// # Errors
    /// A name means nothing, or a machine does not run.
    pub fn freeze(&self, names: &[&str]) -> Result<(), LabError> {
        freeze(&self.lab, &self.lab.lock()?, &self.targets(names)?)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// A name means nothing, or a machine does not run.
    pub fn thaw(&self, names: &[&str]) -> Result<(), LabError> {
        thaw(&self.lab, &self.lab.lock()?, &self.targets(names)?)
    }

    /// Starts what is named, after killing what of it runs.
    ///
    /// # Errors
    /// A name means nothing, or something does not start.
    pub fn restart(&self, names: &[&str]) -> Result<(), LabError> {
        restart(&self.lab, &self.lab.lock()?, &self.targets(names)?, &self.exe)
    }

    /// Loses packets between two lists of machines, both ways.
    ///
    /// # Errors
    /// A name means nothing, or the rules cannot be loaded.
    pub fn lose(&self, from: &str, to: &str, loss: Loss) -> Result<(), LabError> {
        let plan = self.lab.plan()?;
        let ends = |names: &str| -> Result<_, LabError> {
            Ok(Target::machines(&plan, names)?.into_iter().map(End::Machine).collect())
        };
        let (from, to) = (ends(from)?, ends(to)?);
        let lose = |faults: &mut Faults| faults.lose(&from, &to, loss, false);
        break_links(&self.lab, &self.lab.lock()?, lose).map(drop)
    }

    /// Ends all that is wrong with links; dead machines stay dead.
    ///
    /// # Errors
    /// The rules cannot be loaded.
    pub fn heal(&self) -> Result<(), LabError> {
        break_links(&self.lab, &self.lab.lock()?, Faults::heal).map(drop)
    }

    /// Takes it down.
    ///
    /// # Errors
    /// Something survives.
    pub fn down(self) -> Result<(), LabError> {
        down(&self.lab, &self.lab.lock()?)
    }

    fn targets(&self, names: &[&str]) -> Result<Vec<Target>, LabError> {
        Ok(Target::all(&self.lab.plan()?, names)?)
    }
}
