//! What a client asks for while all goes on: new releases, other sizes, apps that go; and what the
//! cluster owes it since.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::error::ErrorCode;
use api::operation::DeployRequest;
use server::core::{Caller, Core};

use super::place::{Out, Place, Told};
use super::random::Random;

/// The names of apps.
const APPS: [&str; 5] = ["ant", "bee", "cat", "dog", "eel"];

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// This image in this number.
    Deploy { app: String, image: u32, instances: u32 },
    /// No such app any more.
    Remove { app: String },
}

impl Request {
    pub(super) fn app(&self) -> &str {
        match self {
            Self::Deploy { app, .. } | Self::Remove { app } => app,
        }
    }
}

/// What was asked of an app, and what became of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish {
    /// What was acknowledged last; none before anything was.
    pub(super) acknowledged: Option<Request>,
    /// What was asked since, without a clear answer: may have been done or not.
    pub(super) open: Vec<Request>,
}

/// The client.
pub(super) struct Client {
    random: Random,
    pub(super) wishes: BTreeMap<String, Wish>,
    /// Requests under way, by number.
    asked: Vec<Option<(usize, Request)>>,
    image: u32,
}

impl Client {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), wishes: BTreeMap::new(), asked: Vec::new(), image: 0 }
    }

    /// The next request, where the app has none under way.
    pub(super) fn next(&mut self) -> Option<Request> {
        let app = (*self.random.one(&APPS)).to_owned();
        if self.asked.iter().flatten().any(|(_, request)| request.app() == app) {
            return None;
        }
        let wish = self.wishes.get(&app);
        let runs =
            matches!(wish.and_then(|w| w.acknowledged.as_ref()), Some(Request::Deploy { .. }));
        if runs && self.random.happens(100) {
            return Some(Request::Remove { app });
        }
        let image = match runs && self.random.happens(400) {
            // The same in another number.
            true => self.image,
            false => {
                self.image += 1;
                self.image
            }
        };
        Some(Request::Deploy { app, image, instances: self.number() })
    }

    fn number(&mut self) -> u32 {
        u32::try_from(self.random.between(1, 7)).unwrap_or(1)
    }

    /// Notes that a request is on its way to a server; gives its number.
    pub(super) fn asks(&mut self, server: usize, request: Request) -> usize {
        self.wishes.entry(request.app().to_owned()).or_default().open.push(request.clone());
        self.asked.push(Some((server, request)));
        self.asked.len() - 1
    }

    /// Notes an answer; gives what was asked.
    pub(super) fn answered(
        &mut self,
        number: usize,
        answer: &Result<(), String>,
    ) -> Option<Request> {
        let (_, request) = self.asked.get_mut(number)?.take()?;
        let wish = self.wishes.entry(request.app().to_owned()).or_default();
        match answer {
            Ok(()) => {
                wish.acknowledged = Some(request.clone());
                wish.open.clear();
            }
            // Refused before anything was written.
            Err(why) if why.starts_with("refused") => wish.open.retain(|open| *open != request),
            Err(_) => {}
        }
        Some(request)
    }

    /// Gives up what was asked of a server that is gone.
    pub(super) fn lost(&mut self, server: usize) {
        for asked in &mut self.asked {
            asked.take_if(|(of, _)| *of == server);
        }
    }
}

/// Asks a server; tells the world what it answered.
pub(super) async fn ask(core: Arc<Core>, request: Request, number: usize, place: Place) {
    let answer = match &request {
        Request::Deploy { app, image, instances } => {
            let manifest = serde_json::json!({
                "app": app, "team": "t",
                "process": { "port": 8080, "stop_grace": "2s" },
                "resources": { "cpu": "100m", "memory": "64MiB" },
                "scale": { "instances": instances },
                "rollout": { "start_within": "30s", "surge": 1 },
                "health": { "http": "/healthz", "interval": "2s" },
            });
            let manifest = manifest.as_object().cloned().unwrap_or_default();
            let image = Some(format!("img:{image}"));
            let request = DeployRequest { manifest, image, environment: None, dry_run: false };
            core.deploy(&Caller::platform(), request).await.map(|_| ())
        }
        Request::Remove { app } => match app.parse() {
            Ok(app) => core.remove_app(&Caller::platform(), &app).await,
            Err(_) => return,
        },
    };
    let answer = answer.map_err(|error| match error.code {
        ErrorCode::Conflict | ErrorCode::NotFound | ErrorCode::Blocked | ErrorCode::Invalid => {
            format!("refused: {error}")
        }
        _ => format!("{:?}: {error}", error.code),
    });
    place.put(Out::Tell(Told::Answered(number, answer)));
}
