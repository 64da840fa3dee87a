//! An emulator of its own for a test.

use std::sync::Arc;

use ketch_core::Backend;
use ketch_fichier_sim::{SANDBOX_KEY, Sim, SimOptions};

use super::open;

/// An emulator, and remotes on it.
pub struct World {
    pub sim: Sim,
    pub folder: tempfile::TempDir,
}

impl World {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("scratch");
        let sim = Sim::start(SimOptions::new(folder.path().join("sim"))).await.expect("starts");
        World { sim, folder }
    }

    pub fn open(&self, root: &str) -> Arc<dyn Backend> {
        self.open_with(root, &[])
    }

    pub fn open_with(&self, root: &str, more: &[(&str, &str)]) -> Arc<dyn Backend> {
        let url = self.sim.api_url();
        let mut options = vec![("api_url", url.as_str()), ("api_key", SANDBOX_KEY)];
        options.extend_from_slice(more);
        open(root, &options)
    }

    pub fn fault(&self, text: &str) {
        self.sim.faults().inject(text.parse().expect("a fault"));
    }
}
