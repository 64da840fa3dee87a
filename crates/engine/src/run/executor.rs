//! The executor of a job: does the items of a plan, several at a time, tries some again at the end, deletes, and sets the
//! times of folders. What comes of each item it tells the ledger. It does not know how a plan is made.

use super::*;

mod act;
mod adapt;
mod again;
mod apart;
mod clock;
mod delete;
mod delete_many;
mod ending;
mod folder_times;
mod left;
mod respell;
mod stored;
mod whole;
mod workers;

use self::adapt::Adapt;
use self::folder_times::FolderTimes;

/// See the top of the file.
#[derive(Debug)]
pub(super) struct Executor {
    context: Arc<Context>,
    ledger: Arc<Ledger>,
    kept: Arc<Kept>,
    transfers: Arc<Transfers>,
    /// `None`: the job does not set the times of folders.
    folder_times: Option<FolderTimes>,
    /// What this job learns about how the destination stores modification times.
    learner: Mutex<Learner>,
    /// How many items at the same time.
    adapt: Mutex<Adapt>,
    began: tokio::time::Instant,
    state: Mutex<Begun>,
}

/// Items without an outcome.
#[derive(Debug, Default)]
struct Begun {
    /// Items to be tried once more when everything else is done.
    again: Vec<(Task, Error)>,
    /// Items that were started.
    begun: HashMap<u64, (RelPath, &'static str)>,
}

impl Executor {
    pub(super) fn new(
        context: &Arc<Context>,
        ledger: &Arc<Ledger>,
        kept: &Arc<Kept>,
        transfers: &Arc<Transfers>,
    ) -> Self {
        Executor {
            folder_times: FolderTimes::new(context),
            learner: Mutex::new(Learner::new(context.clock)),
            adapt: Mutex::new(places(context)),
            began: tokio::time::Instant::now(),
            state: Mutex::default(),
            context: Arc::clone(context),
            ledger: Arc::clone(ledger),
            kept: Arc::clone(kept),
            transfers: Arc::clone(transfers),
        }
    }

    fn state(&self) -> MutexGuard<'_, Begun> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the items that are on record, from number `valid_from`, and have no outcome yet; without deletions.
    pub(super) async fn act_on_stored(self: &Arc<Self>, valid_from: u64) -> Result<()> {
        self.act_on(self.stored_tasks(valid_from)?).await;
        Ok(())
    }

    /// Nothing is tried again: the plan is made anew.
    pub(super) fn forget_again(&self) {
        self.state().again.clear();
    }
}

/// The number of items at a time that the user gave, or one that is found by trying, within what both sides accept.
fn places(context: &Context) -> Adapt {
    if let Some(given) = context.settings.transfers {
        return Adapt::fixed(given);
    }
    let both = [context.source.capabilities(), context.destination.capabilities()];
    let least = both.into_iter().filter_map(|side| side.at_once).min();
    Adapt::within(least.unwrap_or(adapt::MOST))
}
