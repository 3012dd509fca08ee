//! The running CA: it listens for agents, and follows its state.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    CaServerError,
    admission::Gate,
    attending::Attending,
    audit::Audit,
    book::Book,
    desk::Desk,
    folder::Folder,
    replica::{Replica, ReplicaSettings},
    rotate::Pace,
};
use crate::{
    cluster::FollowedRoster,
    telemetry::{CaMetrics, with_causes},
    tls::issue,
};

/// How a CA is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How long certificates live.
    pub life: Duration,
    /// How long a new root is in the bundle before it signs, at least.
    pub rotation_step: Duration,
    /// How much longer it waits for agents that attend and do not take the new root.
    pub rotation_patience: Duration,
    /// Where certificates are told, one line each.
    pub audit: Audit,
    /// What is counted.
    pub metrics: CaMetrics,
}

/// The folder of a CA of one process.
#[derive(Clone, Debug)]
pub struct FolderSettings {
    /// The folder.
    pub path: PathBuf,
    /// The trust domain of a CA that is made anew.
    pub trust_domain: String,
}

/// A CA that listens.
pub struct Server {
    listener: TcpListener,
    pace: Pace,
    state: Followed,
    desk: Desk,
}

/// What is followed for as long as a CA runs.
enum Followed {
    Folder(Arc<Book>),
    Secret(Box<Replica>),
}

// === impl Server ===

impl Server {
    /// Takes a folder and the port, for a CA of one process.
    pub async fn bind(
        settings: Settings,
        folder: FolderSettings,
        roster: FollowedRoster,
    ) -> Result<Self, CaServerError> {
        let FolderSettings { path, trust_domain } = folder;
        let book = Arc::new(Book::open(Folder::create(&path, &trust_domain)?)?);
        let gate = Gate::Tokens(Arc::clone(&book));
        let live = book.live();
        Self::new(settings, Followed::Folder(book), Desk::new(live, roster, gate)).await
    }

    /// Takes a cluster's Secret, or makes it, and the port, for one of several replicas.
    pub async fn bind_replica(
        settings: Settings,
        replica: ReplicaSettings,
        roster: FollowedRoster,
    ) -> Result<Self, CaServerError> {
        let gate = Gate::Pods(Arc::new(replica.reviews(settings.metrics.clone())));
        let replica = Replica::open(replica, settings.life).await?;
        let live = replica.live();
        Self::new(
            settings,
            Followed::Secret(Box::new(replica)),
            Desk::new(live, roster, gate),
        )
        .await
    }

    async fn new(settings: Settings, state: Followed, desk: Desk) -> Result<Self, CaServerError> {
        let Settings {
            listen,
            life,
            rotation_step,
            rotation_patience,
            audit,
            metrics,
        } = settings;
        let listener = TcpListener::bind(listen).await;
        Ok(Self {
            listener: listener.map_err(|source| CaServerError::Listen {
                address: listen,
                source,
            })?,
            pace: Pace {
                step: rotation_step,
                patience: rotation_patience,
                life,
            },
            state,
            desk: Desk {
                life,
                audit,
                metrics,
                ..desk
            },
        })
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is dropped.
    pub async fn run(self) {
        let Self {
            listener,
            pace,
            state,
            desk,
        } = self;
        let (attending, metrics) = (Arc::clone(&desk.attending), desk.metrics.clone());
        let follow = async {
            match &state {
                Followed::Folder(book) => follow(book, pace, &attending).await,
                Followed::Secret(replica) => replica.follow(pace, &attending).await,
            }
        };
        tokio::join!(follow, listen(&listener, &desk), measure(&desk, &attending, &metrics));
    }
}

/// Follows what commands write into the folder, and what time does to a rotation.
async fn follow(book: &Book, pace: Pace, attending: &Attending) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        book.look();
        book.rotate(pace, |bundle| attending.without(bundle));
    }
}

/// Tells what no event tells.
async fn measure(desk: &Desk, attending: &Attending, metrics: &CaMetrics) {
    loop {
        metrics.authorities(desk.live.borrow().ends(), SystemTime::now());
        metrics.agents(attending.count());
        metrics.follows(desk.roster.is_fresh());
        sleep(MEASURED).await;
    }
}

async fn listen(listener: &TcpListener, desk: &Desk) {
    let mut agents = JoinSet::new();
    loop {
        while agents.try_join_next().is_some() {}
        if agents.len() >= MOST_CONNECTIONS {
            agents.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, peer)) => drop(agents.spawn(attend(stream, peer, desk.clone()))),
            Err(error) => {
                tracing::warn!(%error, "An agent cannot be accepted");
                // What ran out does not come back at once.
                sleep(BREATHER).await;
            }
        }
    }
}

async fn attend(stream: TcpStream, peer: SocketAddr, desk: Desk) {
    // Small answers must not wait; the socket is open, and where it is not the handshake says so.
    let _ = stream.set_nodelay(true);
    let endpoint = desk.live.borrow().endpoint.clone();
    let stream = match timeout(HANDSHAKE_TIME, endpoint.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::info!(%peer, error = with_causes(&error), "No TLS with an agent"),
        Err(_elapsed) => return tracing::info!(%peer, "An agent does not shake hands"),
    };
    if let Err(error) = issue::serve(stream, desk).await {
        tracing::info!(%peer, error = with_causes(&error), "The connection of an agent has failed");
    }
}

/// How often the folder is looked at: what a command writes reaches the agents within this time.
const LOOK: Duration = Duration::from_millis(200);
const MEASURED: Duration = Duration::from_secs(5);
/// More agents than any cluster has nodes, and fewer than descriptors.
const MOST_CONNECTIONS: usize = 15_000;
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
const BREATHER: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
