//! Measuring several side by side: the statistics, the runs taken in turns, budgets, the report.
//! Nothing here knows what is measured.

mod budget;
mod report;
mod statistics;
mod table;
mod turns;

pub(crate) use budget::Budget;
pub(crate) use report::{Measured, Row};
pub(crate) use statistics::{Better, Summary, median};
pub(crate) use table::render;
pub(crate) use turns::{Entrant, Measure, OURS, Plan, compete};
