//! The network between nodes: which way is cut, how long things take, how often they get lost.

use super::place::NodeId;
use super::random::Random;

/// A packet takes so long, in milliseconds, when nothing is wrong.
const USUALLY: (u64, u64) = (1, 6);

/// One direction between two nodes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Link {
    /// How many faults cut it now.
    pub(super) cuts: u32,
    /// Lost packets of a thousand.
    pub(super) loss: u64,
    /// What comes on top of the usual time, at most.
    pub(super) delay: u64,
}

/// All links.
#[derive(Debug)]
pub(super) struct Links {
    nodes: usize,
    links: Vec<Link>,
}

/// What becomes of something that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives after so long.
    Arrives(u64),
    /// It is lost on the way.
    Lost,
    /// Nothing gets through.
    Cut,
}

impl Links {
    pub(super) fn new(nodes: usize) -> Self {
        Self { nodes, links: vec![Link::default(); nodes * nodes] }
    }

    pub(super) fn at(&mut self, from: NodeId, to: NodeId) -> &mut Link {
        &mut self.links[from.0 * self.nodes + to.0]
    }

    /// What becomes of a packet.
    pub(super) fn fate(&self, from: NodeId, to: NodeId, random: &mut Random) -> Fate {
        let link = self.links[from.0 * self.nodes + to.0];
        if link.cuts > 0 {
            return Fate::Cut;
        }
        if random.happens(link.loss) {
            return Fate::Lost;
        }
        Fate::Arrives(random.between(USUALLY.0, USUALLY.1 + link.delay))
    }

    /// Makes every link lossy and slow.
    pub(super) fn weather(&mut self, loss: u64, delay: u64) {
        self.links.iter_mut().for_each(|link| (link.loss, link.delay) = (loss, delay));
    }

    /// Makes every link as it should be, but for cuts.
    pub(super) fn clear(&mut self) {
        self.weather(0, 0);
    }

    /// Whether something is wrong with a way.
    pub(super) fn is_bad(&self, from: NodeId, to: NodeId) -> bool {
        let link = self.links[from.0 * self.nodes + to.0];
        link.cuts > 0 || link.loss > 0 || link.delay > 0
    }

    /// Takes back all that is wrong.
    pub(super) fn heal(&mut self) {
        self.links.fill(Link::default());
    }
}
