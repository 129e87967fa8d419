//! Tells where the system's time was set, since what waits for a time does what the clock says.

use std::sync::Arc;

use crate::core::Core;

/// Notes each jump of the clock in the log, until the engine stops.
pub(crate) async fn tell(core: Arc<Core>) {
    let mut stands = core.clock.stands();
    loop {
        let jump = tokio::select! {
            jump = core.clock.jump(stands) => jump,
            () = core.stopping.cancelled() => return,
        };
        tracing::warn!(from = %jump.from, to = %jump.to.time, "{jump}");
        stands = jump.to;
    }
}
