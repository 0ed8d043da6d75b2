//! Finds lanes that have work and make no progress.

use std::{collections::HashMap, sync::Arc, time::Duration};

use backstop_core::{
    backend::Backend,
    clock::{self, Instant},
    event::EventKind,
};

use super::rebuild;
use crate::{hub::Hub, lane::HEARTBEAT};

/// What was last seen of a lane, and since when it has not moved.
struct Seen {
    finished: u64,
    beats: u64,
    since: Instant,
    reported: bool,
}

/// Finds lanes that have work and make no progress, or whose thread does not beat.
pub(super) async fn watch_lanes<B: Backend>(hub: Arc<Hub<B>>) {
    let mut seen: HashMap<u64, Seen> = HashMap::new();
    loop {
        let stuck_after = hub.guard.policy().stuck_after;
        tokio::time::sleep((stuck_after / 4).max(Duration::from_millis(10))).await;
        let now = clock::now();
        let lanes = hub.progress();
        seen.retain(|number, _| lanes.iter().any(|lane| lane.0 == *number));
        let mut renew = false;
        for (number, finished, beats, in_flight) in lanes {
            let fresh = Seen { finished, beats, since: now, reported: false };
            let last = seen.entry(number).or_insert(fresh);
            let moved = last.finished != finished || in_flight == 0;
            let alive = last.beats != beats;
            if moved && alive {
                *last = Seen { finished, beats, since: now, reported: false };
                continue;
            }
            let stuck_for = now.saturating_duration_since(last.since);
            // A beat a second is due; a thread that misses them for the whole time is blocked.
            if last.reported || stuck_for < stuck_after.max(HEARTBEAT * 2) {
                continue;
            }
            last.reported = true;
            let for_ms = u64::try_from(stuck_for.as_millis()).unwrap_or(u64::MAX);
            hub.event(EventKind::LaneStuck { lane: number, for_ms });
            renew |= alive;
        }
        if renew {
            // A lane whose thread runs gets a new instance; a blocked thread can only be reported.
            hub.renew(None);
            rebuild(&hub).await;
        }
    }
}
