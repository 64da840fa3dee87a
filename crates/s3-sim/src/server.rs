//! Serves connections: counts each request, verifies it, lets the faults have it, and answers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::answer::{Answer, Finish, Refused, refused};
use crate::call::Call;
use crate::fault::{Effect, Faults};
use crate::http::{Connection, Request};
use crate::rules::Rules;
use crate::stats::Stats;
use crate::store::Store;
use crate::{bucket, clock, list, multipart, object, removal, sign};

/// What all connections share.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) rules: Rules,
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    pub(crate) stats: Stats,
    /// Seconds by which the clock is ahead.
    pub(crate) skew: i64,
    answers: u64,
}

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// How many requests are held without an answer, or were.
    pub(crate) held: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new(rules: Rules) -> Shared {
        let state = State { rules, ..State::default() };
        Shared { state: Mutex::new(state), held: watch::Sender::new(0) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves until `stop` is closed.
pub(crate) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<()>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        if let Ok((stream, _)) = accepted {
            tokio::spawn(connection(stream, Arc::clone(&shared)));
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let mut connection = Connection::new(stream);
    loop {
        let request = match connection.request().await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                let answer =
                    Answer::from(refused(400, "BadRequest")).finishing(Finish::Cut(usize::MAX));
                drop(connection.answer("GET", answer).await);
                return;
            }
            Err(_) => return,
        };
        let answer = shared.state().answer(&request);
        if answer.finish == Finish::Hold {
            shared.held.send_modify(|held| *held += 1);
        }
        match connection.answer(&request.method, answer).await {
            Ok(true) => {}
            // A client that went away is no error of the server.
            Ok(false) | Err(_) => return,
        }
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        self.answers += 1;
        let (id, time) = (self.answers, clock::now(self.skew));
        let answer = self.judged(request);
        answer.with("Date", clock::http(time)).with("x-amz-request-id", format!("SIM{id:012}"))
    }

    fn judged(&mut self, request: &Request) -> Answer {
        let Some(mut call) = Call::new(request) else {
            return refused(400, "InvalidURI").into();
        };
        let Some(kind) = call.kind() else {
            *self.stats.requests.entry("unknown").or_default() += 1;
            return refused(501, "NotImplemented").into();
        };
        *self.stats.requests.entry(kind).or_default() += 1;
        if matches!(kind, "put" | "part") {
            self.stats.stored_bytes += request.body.len() as u64;
        }
        let effects = self.faults.of(kind);
        // What the network or a gateway does comes before anybody looks at the request.
        for effect in &effects {
            match effect {
                Effect::SlowDown(seconds) => {
                    return Answer::from(refused(503, "SlowDown"))
                        .with("Retry-After", seconds.to_string());
                }
                Effect::Error(status) => return refused(*status, "InternalError").into(),
                Effect::NotImplemented => return refused(501, "NotImplemented").into(),
                Effect::Reset => return Answer::empty(500).finishing(Finish::Reset),
                Effect::Hold => return Answer::empty(500).finishing(Finish::Hold),
                _ => {}
            }
        }
        if let Err(refused) = sign::verify(request, clock::now(self.skew)) {
            return refused.into();
        }
        if effects.contains(&Effect::ErrorIn200) {
            return Answer::xml(200, &refused(500, "InternalError").element());
        }
        call.ignores_conditions = effects.contains(&Effect::IgnoreConditions);
        let turned = effects.contains(&Effect::Unordered);
        let answer = self.done(kind, &call, turned).unwrap_or_else(Answer::from);
        effects.iter().fold(answer, spoiled)
    }

    fn done(&mut self, kind: &str, call: &Call<'_>, turned: bool) -> Result<Answer, Refused> {
        let now = clock::now(self.skew);
        let Rules { crc64, page } = self.rules;
        let store = &mut self.store;
        match kind {
            "buckets" => Ok(bucket::all(store)),
            "bucket-create" => bucket::create(store, call),
            "bucket-head" => bucket::head(store, call),
            "list" => list::list(store, call, page, turned),
            "head" | "get" => object::get(store, call, crc64),
            "put" => object::put(store, call, crc64, now),
            "copy" => object::copy(store, call, now),
            "delete" => removal::one(store, call),
            "delete-many" => removal::many(store, call),
            "create" => multipart::create(store, call, crc64, now),
            "part" => multipart::part(store, call, crc64, now),
            "parts" => multipart::parts(store, call),
            "uploads" => multipart::uploads(store, call),
            "complete" => multipart::complete(store, call, crc64, now),
            "abort" => multipart::abort(store, call),
            _ => Err(refused(501, "NotImplemented")),
        }
    }
}

/// What a fault makes of an answer.
fn spoiled(mut answer: Answer, effect: &Effect) -> Answer {
    match effect {
        Effect::Lost => return answer.finishing(Finish::Silence),
        Effect::Cut(bytes) => return answer.finishing(Finish::Cut(*bytes)),
        Effect::WrongEtag => {
            for (name, value) in &mut answer.headers {
                if name == "etag" {
                    *value = format!("\"{:032x}\"", 0xBAD);
                }
            }
        }
        Effect::WrongBytes => {
            let mut bytes = answer.body.to_vec();
            if let Some(first) = bytes.first_mut() {
                *first ^= 1;
            }
            answer.body = bytes.into();
        }
        _ => {}
    }
    answer
}
