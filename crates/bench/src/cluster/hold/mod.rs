//! What must hold when things are cut, frozen and lost: runs on our cluster alone, each judged by
//! its worst. What is claimed is seen from outside: containers are the processes of this machine,
//! addresses are in the machines' own network namespaces, requests are clients'.

mod containers;
mod control;
mod holders;
mod kind;
mod links;
mod names;
mod outage;
mod pool;
mod power;
mod run;
mod scene;
mod tale;
mod watch;

pub(crate) use kind::Hold;
pub(crate) use run::run;
