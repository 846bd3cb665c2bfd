//! Connections to the webhooks that say nothing.

use std::{
    future::pending,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::Result;
use futures::{StreamExt, stream};
use tokio::{
    net::TcpSocket,
    time::{sleep, timeout},
};

use super::{Attacker, HOLD, IDLE};

/// Connections to the webhooks that are opened at once.
pub(super) const CONNECTIONS: usize = 2000;

/// How many connections are on their way.
const OPENING: usize = 64;

/// The address from which these are opened: another one than the API server's, as in a cluster.
const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 0);

impl Attacker {
    /// Opens connections to the webhooks, and keeps them for a while. Without webhooks it does nothing.
    pub(super) async fn idle(self) -> Result<()> {
        let Some(admission) = &self.admission else { return pending().await };
        let address: SocketAddr = admission.parse()?;
        let connections = (0..CONNECTIONS).map(|_| {
            let attacker = self.clone();
            async move {
                let socket = TcpSocket::new_v4()?;
                socket.bind(ELSEWHERE)?;
                let connection = timeout(HOLD, socket.connect(address)).await??;
                attacker.count(IDLE, 1);
                anyhow::Ok(connection)
            }
        });
        let open: Vec<_> = stream::iter(connections).buffer_unordered(OPENING).collect().await;
        sleep(Duration::from_secs(1)).await;
        drop(open);
        Ok(())
    }
}
