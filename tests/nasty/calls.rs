//! How many calls a job costs: the numbers that the issue asks for, by the emulator's own counters.

use crate::Scene;

/// 100 files of 8 KiB in 10 folders, to an empty remote, then nothing to do. The waits are shorter
/// than the documented ones by the same factor on both sides, more than twice as long here as the emulator asks for.
#[test]
fn a_hundred_small_files_cost_no_more_calls_than_promised() {
    let scene = Scene::limited("documented/40", "pace_scale = \"16\"");
    for number in 0..100 {
        let path = format!("src/d{}/f{number}", number % 10);
        scene.home.write(path, vec![number as u8 + 1; 8 * 1024]);
    }
    let calls = |command: &str| {
        let before = scene.api_requests();
        scene.run(command).expect(0);
        scene.api_requests() - before
    };
    let first = calls("sync --transfers 100 src box:");
    let again = calls("sync src box:");
    assert_eq!((scene.server.stat("files"), scene.server.stat("floods")), (100, 0));
    assert!(first <= 45 && again <= 12, "{first} of 45 and {again} of 12 calls");
}
