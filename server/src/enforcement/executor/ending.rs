//! The end of a term, and of the server.

use super::Executor;

impl Executor {
    /// Cancels the writes that are under way, and waits until they have ended.
    pub(super) async fn give_up(&mut self) {
        self.corrections.shutdown().await;
        self.statuses.shutdown().await;
        self.announcements.shutdown().await;
        self.ownership.shutdown().await;
        self.probes.shutdown().await;
        self.final_give_backs.clear();
        self.targets.clear();
        self.metrics.queue.set(0, None);
        // The next leader finds out for itself.
        self.metrics.fence_missing.set(0);
    }

    /// Flushes pending statuses and Events before stopping, and gives back what no other replica knows of. The next
    /// leader makes any remaining corrections.
    pub(super) async fn finish(&mut self) {
        loop {
            self.corrections.clear();
            self.start_statuses();
            self.start_announcements();
            self.start_final_give_backs();
            let (corrections, statuses) = (self.corrections.in_flight() > 0, self.statuses.in_flight() > 0);
            let announcements = self.announcements.in_flight() > 0;
            let ownership = !self.final_give_backs.is_empty() && self.ownership.in_flight() > 0;
            tokio::select! {
                ended = self.corrections.next(), if corrections => match ended {
                    Some(Ok(ended)) => self.take_correction(ended),
                    Some(Err(_)) => return,
                    None => {}
                },
                ended = self.statuses.next(), if statuses => match ended {
                    Some(Ok(ended)) => self.take_status(ended),
                    Some(Err(_)) => return,
                    None => {}
                },
                ended = self.announcements.next(), if announcements => match ended {
                    Some(Ok(ended)) => self.take_announcement(ended),
                    Some(Err(_)) => return,
                    None => {}
                },
                ended = self.ownership.next(), if ownership => match ended {
                    Some(Ok(ended)) => self.take_ownership(ended),
                    Some(Err(_)) => return,
                    None => {}
                },
                else => break,
            }
        }
    }
}
