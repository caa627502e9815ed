//! What goes wrong, when and for how long: decided by the seed before the run begins.

use api::status::ExitCause;
use clock::Offset;
use store::Txn;

use super::place::NodeId;
use super::random::Random;
use super::run::{CALM_FROM, FAULTS_FROM};
use super::shape::{Kind, Shape};
use super::world::{What, World};

/// How long a fault excuses what was believed of a host that it touched.
const EXCUSE: u64 = 5_000;

/// Something that goes wrong.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// Processes end, or whole machines; they come back after a while, or never.
    Kill { nodes: Vec<NodeId>, power: bool, back: Option<u64> },
    /// Machines stand still.
    Freeze { nodes: Vec<NodeId>, span: u64 },
    /// Nothing gets through from the first of each pair to the second.
    Cut { ways: Vec<(NodeId, NodeId)>, span: u64 },
    /// Everything is lossy, or slow.
    Weather { loss: u64, delay: u64, span: u64 },
    /// A machine's wall time jumps, for good.
    Jump { node: NodeId, by: i64 },
    /// The store refuses what some servers ask.
    StoreErrors { servers: Vec<usize>, span: u64 },
    /// Writes are done and their answers lost, so often of a thousand.
    LostAnswers { permille: u64, span: u64 },
    /// The leader dies right after so many of its writes.
    LeaderDies { writes: u32, back: u64 },
    /// A few containers die.
    Deaths { count: u64 },
}

/// What is done to the world.
#[derive(Debug)]
pub(super) enum Action {
    Begin(Fault),
    Restore(NodeId),
    Mend(Vec<(NodeId, NodeId)>),
    Clear,
    StoreWell(Vec<usize>),
    AnswersCome,
    /// All faults end.
    Calm,
}

/// The state of what is wrong.
pub(super) struct Faults {
    plan: Vec<(u64, Fault)>,
    /// By server: how many faults make the store refuse it.
    refused: Vec<u32>,
    lost_answers: u64,
    leader_dies: Option<(u32, u64)>,
    /// When each node was last known to be off, still or new.
    ill: Vec<u64>,
    /// When each way was last known to be bad.
    bad: Vec<u64>,
    nodes: usize,
}

impl Faults {
    /// A plan of five to ten faults.
    pub(super) fn plan(shape: &Shape, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = random.between(5, 10);
        let mut plan: Vec<(u64, Fault)> = (0..count)
            .map(|_| (random.between(FAULTS_FROM, CALM_FROM - 30_000), one(shape, &mut random)))
            .collect();
        plan.sort_by_key(|(at, _)| *at);
        let nodes = shape.nodes();
        Self {
            plan,
            refused: vec![0; shape.servers],
            lost_answers: 0,
            leader_dies: None,
            ill: vec![0; nodes],
            bad: vec![0; nodes * nodes],
            nodes,
        }
    }

    pub(super) fn take_plan(&mut self) -> Vec<(u64, Fault)> {
        std::mem::take(&mut self.plan)
    }

    pub(super) fn store_fails(&self, kind: Kind) -> bool {
        matches!(kind, Kind::Server(at) if self.refused[at] > 0)
    }

    pub(super) fn loses_answer(&self, kind: Kind, random: &mut Random) -> bool {
        matches!(kind, Kind::Server(_)) && random.happens(self.lost_answers)
    }
}

/// One fault.
fn one(shape: &Shape, random: &mut Random) -> Fault {
    let some_host = |random: &mut Random| shape.host(below(random, shape.hosts));
    let some_server = |random: &mut Random| shape.server(below(random, shape.servers));
    let back = random.between(500, 60_000);
    let span = random.between(300, 40_000);
    match random.between(0, 17) {
        0 | 1 => Fault::Kill { nodes: vec![some_host(random)], power: true, back: Some(back) },
        2 => Fault::Kill { nodes: vec![some_host(random)], power: true, back: None },
        3 => Fault::Kill { nodes: vec![some_host(random)], power: false, back: Some(back / 6) },
        4 => Fault::Kill { nodes: vec![some_server(random)], power: true, back: Some(back) },
        5 => Fault::Kill { nodes: vec![some_server(random)], power: false, back: Some(back / 6) },
        6 => Fault::Kill { nodes: domain(shape, random), power: true, back: Some(back) },
        7 => Fault::Freeze { nodes: vec![some_host(random)], span: span / 2 },
        8 => Fault::Freeze { nodes: vec![some_server(random)], span: span / 2 },
        9 => Fault::Freeze { nodes: domain(shape, random), span: span / 4 },
        10 => Fault::Cut { ways: around(shape, &[some_host(random)], random), span },
        11 => Fault::Cut { ways: around(shape, &domain(shape, random), random), span },
        12 => Fault::Cut { ways: control(shape, random), span },
        13 => {
            let loss = random.between(0, 300);
            Fault::Weather { loss, delay: random.between(0, 60), span }
        }
        14 => {
            let node = NodeId(below(random, shape.nodes() - 1));
            let by = i64::try_from(random.between(1_000, 7_200_000)).unwrap_or(1_000);
            Fault::Jump { node, by: if random.happens(500) { by } else { -by } }
        }
        15 => Fault::StoreErrors { servers: some_servers(shape, random), span: span / 2 },
        16 => Fault::LostAnswers { permille: random.between(50, 500), span },
        _ if random.happens(700) => {
            let writes = u32::try_from(random.between(1, 12)).unwrap_or(1);
            Fault::LeaderDies { writes, back: back / 4 }
        }
        _ => Fault::Deaths { count: random.between(1, 4) },
    }
}

fn below(random: &mut Random, number: usize) -> usize {
    usize::try_from(random.any() % number as u64).unwrap_or(0)
}

/// The machines of one hypervisor.
fn domain(shape: &Shape, random: &mut Random) -> Vec<NodeId> {
    let hypervisor = below(random, shape.hypervisors);
    let all = (0..shape.nodes()).map(NodeId);
    all.filter(|node| shape.hypervisor(*node) == Some(hypervisor)).collect()
}

/// All ways between some nodes and all others, or those of one direction.
fn around(shape: &Shape, inside: &[NodeId], random: &mut Random) -> Vec<(NodeId, NodeId)> {
    let (out, back) = directions(random);
    let mut ways = Vec::new();
    for outside in (0..shape.nodes()).map(NodeId).filter(|node| !inside.contains(node)) {
        for node in inside {
            ways.extend(out.then_some((*node, outside)));
            ways.extend(back.then_some((outside, *node)));
        }
    }
    ways
}

/// All ways between hosts and servers, or those of one direction.
fn control(shape: &Shape, random: &mut Random) -> Vec<(NodeId, NodeId)> {
    let (out, back) = directions(random);
    let mut ways = Vec::new();
    for host in (0..shape.hosts).map(|at| shape.host(at)) {
        for server in (0..shape.servers).map(|at| shape.server(at)) {
            ways.extend(out.then_some((host, server)));
            ways.extend(back.then_some((server, host)));
        }
    }
    ways
}

fn directions(random: &mut Random) -> (bool, bool) {
    match random.between(0, 3) {
        0 => (true, false),
        1 => (false, true),
        _ => (true, true),
    }
}

fn some_servers(shape: &Shape, random: &mut Random) -> Vec<usize> {
    let all = random.happens(300);
    let one = below(random, shape.servers);
    (0..shape.servers).filter(|at| all || *at == one).collect()
}

/// Does something to the world.
pub(super) fn act(world: &mut World, action: Action) {
    match action {
        Action::Begin(fault) => begin(world, fault),
        Action::Restore(node) => world.restore(node),
        Action::Mend(ways) => {
            for (from, to) in ways {
                world.faults.note_bad(from, to, world.now);
                let link = world.links.at(from, to);
                link.cuts = link.cuts.saturating_sub(1);
            }
        }
        Action::Clear => {
            world.faults.bad.fill(world.now);
            world.links.clear();
        }
        Action::StoreWell(servers) => {
            for at in servers {
                world.faults.refused[at] = world.faults.refused[at].saturating_sub(1);
            }
        }
        Action::AnswersCome => world.faults.lost_answers = 0,
        Action::Calm => {
            world.trace.note(world.now, "all faults end");
            world.faults.bad.fill(world.now);
            world.links.heal();
            world.faults.refused.fill(0);
            world.faults.lost_answers = 0;
            world.faults.leader_dies = None;
        }
    }
}

fn begin(world: &mut World, fault: Fault) {
    world.trace.note(world.now, &format!("fault: {fault:?}"));
    match fault {
        Fault::Kill { nodes, power, back } => {
            for node in nodes {
                world.kill(node, power);
                if let Some(back) = back {
                    world.after(back, What::Act(Action::Restore(node)));
                }
            }
        }
        Fault::Freeze { nodes, span } => {
            for node in nodes.iter().filter(|node| world.nodes[node.0].runs()) {
                world.faults.ill[node.0] = world.now + span;
            }
            for node in nodes {
                let it = &mut world.nodes[node.0];
                it.frozen_until = Some(it.frozen_until.unwrap_or(0).max(world.now + span));
            }
        }
        Fault::Cut { ways, span } => {
            for (from, to) in &ways {
                world.links.at(*from, *to).cuts += 1;
            }
            world.after(span, What::Act(Action::Mend(ways)));
        }
        Fault::Weather { loss, delay, span } => {
            world.links.weather(loss, delay);
            world.after(span, What::Act(Action::Clear));
        }
        Fault::Jump { node, by } => {
            let ticking = &mut world.clocks[node.0];
            ticking.offset += by;
            if let Some(clock) = &ticking.now {
                clock.set_offset(Offset(ticking.offset));
            }
        }
        Fault::StoreErrors { servers, span } => {
            servers.iter().for_each(|at| world.faults.refused[*at] += 1);
            world.after(span, What::Act(Action::StoreWell(servers)));
        }
        Fault::LostAnswers { permille, span } => {
            world.faults.lost_answers = permille;
            world.after(span, What::Act(Action::AnswersCome));
        }
        Fault::LeaderDies { writes, back } => world.faults.leader_dies = Some((writes, back)),
        Fault::Deaths { count } => {
            for _ in 0..count {
                death(world);
            }
        }
    }
}

/// A container dies of itself.
fn death(world: &mut World) {
    let mut running = Vec::new();
    for (at, machine) in world.machines.iter().enumerate() {
        machine.each(|name, container| {
            if container.dead.is_none() {
                running.push((at, name.to_owned()));
            }
        });
    }
    if running.is_empty() {
        return;
    }
    let (at, name) = world.random.one(&running).clone();
    world.trace.note(world.now, &format!("{name} dies"));
    world.check.died(world.now, &name);
    world.machines[at].end(&name, &ExitCause::Exited(1));
}

/// A server's write was done: the leader's may have been its last.
pub(super) fn after_write(world: &mut World, node: NodeId, txn: Option<&Txn>) {
    let leads = txn.is_some_and(|txn| {
        let fenced = txn.compares.iter().any(|compare| compare.key == "leader/term".as_bytes());
        fenced && txn.then.iter().all(|op| !super::check::is_beat(op))
    });
    let Some((writes, back)) = world.faults.leader_dies.filter(|_| leads) else { return };
    if writes > 1 {
        world.faults.leader_dies = Some((writes - 1, back));
        return;
    }
    world.faults.leader_dies = None;
    world.kill(node, false);
    world.after(back, What::Act(Action::Restore(node)));
}

impl Faults {
    fn note_bad(&mut self, from: NodeId, to: NodeId, now: u64) {
        self.bad[from.0 * self.nodes + to.0] = now;
    }

    /// Notes what is wrong now.
    pub(super) fn look(world: &mut World) {
        let now = world.now;
        for at in 0..world.faults.nodes {
            let node = &world.nodes[at];
            let store = world.shape.kind(NodeId(at)) == Kind::Store;
            if !store && (!node.runs() || node.frozen_until.is_some()) {
                world.faults.ill[at] = world.faults.ill[at].max(now);
            }
            for other in 0..world.faults.nodes {
                if world.links.is_bad(NodeId(at), NodeId(other)) {
                    world.faults.note_bad(NodeId(at), NodeId(other), now);
                }
            }
        }
    }

    /// How late what servers know and write may be: usually, or when a way was bad lately.
    pub(super) fn lateness(&self, now: u64, usually: u64, at_most: u64) -> u64 {
        match self.bad.iter().any(|at| *at > 0 && *at + EXCUSE >= now) {
            true => at_most,
            false => usually,
        }
    }

    fn is_well(&self, node: NodeId, now: u64) -> bool {
        self.ill[node.0] + EXCUSE < now
    }

    /// Whether it may rightly be believed that a host is dead.
    pub(super) fn excuse(&self, shape: &Shape, host: NodeId, now: u64) -> bool {
        if !self.is_well(host, now) {
            return true;
        }
        let way = |from: NodeId, to: NodeId| self.bad[from.0 * self.nodes + to.0] + EXCUSE < now;
        let hosts = (0..shape.hosts).map(|at| shape.host(at));
        let others: Vec<NodeId> =
            hosts.filter(|other| *other != host && self.is_well(*other, now)).collect();
        let hear = others.iter().filter(|other| way(host, **other) && way(**other, host)).count();
        hear * 2 <= others.len()
    }
}
