//! One kind of object, followed for as long as somebody listens.
//!
//! ```text
//!            ┌─ streaming list ─┐
//! nothing ───┤                  ├──▶ watch after a version ──410──▶ nothing
//!            └─ list by pages ──┘        └──▶ broken off, ended: after the last version
//! ```
//!
//! Beside `kube::runtime::watcher`, which this resembles, a list that breaks off leaves nothing behind, 410 counts as an
//! answer too, a server without streaming lists is asked by pages, and no object can spoil the list of the others.

use std::{
    mem,
    time::{Instant, SystemTime},
};

use http::{Request, Response, StatusCode};
use kube::{Client, client::Body, core::request};
use serde_json::value::RawValue;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    answer::{Bookmark, Event, Page, PageMetadata, Status},
    broken::Broken,
    entry::{Entry, Identity},
    lines::Lines,
    pace::{Backoff, Pace},
    subject::{Start, Subject},
};
use crate::{
    cluster::objects::{Key, Kind},
    telemetry::with_causes,
};

/// What is told of a kind.
#[derive(Debug)]
pub(crate) enum News {
    /// All its objects at one moment.
    All(Vec<Entry>),
    /// An object that is new or has changed.
    Put(Entry),
    /// An object that is gone.
    Gone(Key),
    /// The server answers.
    Heard,
    /// It does not.
    Lost {
        /// When it last did.
        since: SystemTime,
    },
}

/// A follower of one kind.
pub(super) struct Follower {
    client: Client,
    subject: Subject,
    pace: Pace,
    news: mpsc::Sender<(Kind, News)>,
    /// Whether this server serves lists as a stream.
    streams: bool,
    /// Whether the server has taken up the last request.
    attended: bool,
    /// What was last told; none while the list is not complete.
    version: Option<String>,
    heard: SystemTime,
    /// What was last said to be wrong.
    told: Option<String>,
}

/// Nobody listens any more.
struct Unheard;

/// Why following pauses.
enum Pause {
    Broken(Broken),
    Unheard,
}

// === impl Follower ===

impl Follower {
    pub(super) fn new(client: Client, subject: Subject, pace: Pace, news: mpsc::Sender<(Kind, News)>) -> Self {
        Self {
            client,
            subject,
            pace,
            news,
            streams: true,
            attended: false,
            version: None,
            heard: SystemTime::now(),
            told: None,
        }
    }

    /// Runs until nobody listens.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(self.pace);
        loop {
            let begun = Instant::now();
            self.attended = false;
            let ended = self.once().await;
            if begun.elapsed() > self.pace.longest {
                backoff.reset();
            }
            match ended {
                Ok(()) => {}
                // Servers are replaced, and not all say something when nothing happens: the next request tells.
                Err(Pause::Broken(broken)) if self.attended && broken.is_interruption() => {
                    tracing::debug!(kind = self.subject.kind().label(), %broken, "Asked again");
                    if !broken.is_silence() {
                        self.heard = SystemTime::now();
                    }
                }
                Err(Pause::Broken(broken)) => {
                    let Ok(()) = self.judge(broken).await else { return };
                    sleep(backoff.next()).await;
                    continue;
                }
                Err(Pause::Unheard) => return,
            }
            // One that ends each watch at once is not asked again at once.
            if begun.elapsed() < self.pace.shortest {
                sleep(backoff.next()).await;
            }
        }
    }

    /// Asks once, and follows until the answer ends.
    async fn once(&mut self) -> Result<(), Pause> {
        match self.version.clone() {
            Some(version) => self.watch(Start::After(&version)).await,
            None if self.streams => self.watch(Start::Everything).await,
            None => self.list().await,
        }
    }

    /// Says what has broken, once, and decides how to go on.
    async fn judge(&mut self, broken: Broken) -> Result<(), Unheard> {
        let begins = self.version.is_none();
        match &broken {
            Broken::Gone(_) => {
                tracing::debug!(kind = self.subject.kind().label(), %broken, "Listed again");
                self.version = None;
                return Ok(());
            }
            // A server that takes the parameters and passes them over never completes the list.
            _ if begins && self.streams && (broken.may_be_about_the_parameters() || broken.is_silence()) => {
                tracing::debug!(kind = self.subject.kind().label(), %broken, "Listed by pages");
                self.streams = false;
                return Ok(());
            }
            _ if broken.is_absence() && self.subject.kind().is_installed() => {
                self.version = None;
                self.heard = SystemTime::now();
                self.say(format!("{broken}: there are none until the kind is installed"));
                return self.tell(News::All(Vec::new())).await;
            }
            _ => {}
        }
        self.say(with_causes(&broken));
        self.tell(News::Lost { since: self.heard }).await
    }

    fn say(&mut self, what: String) {
        if self.told.as_ref() != Some(&what) {
            tracing::warn!(kind = self.subject.kind().label(), "{what}");
        }
        self.told = Some(what);
    }

    /// Lists page by page; an end in between leaves nothing behind.
    async fn list(&mut self) -> Result<(), Pause> {
        let mut entries = Vec::new();
        let mut continued = None;
        let version = loop {
            let body = self.ask(self.subject.list(continued.as_deref())).await?.into_body();
            let body = timeout(self.pace.silence, body.collect_bytes()).await;
            let body = body.map_err(|_elapsed| Broken::Silent(self.pace.silence))?;
            let body = body.map_err(|error| Broken::Read(Box::new(error)))?;
            let page: Page<'_> = serde_json::from_slice(&body).map_err(Broken::NotUnderstood)?;
            let items = page.items.unwrap_or_default().into_iter();
            entries.extend(items.filter_map(|item| Some(Entry::decode(self.identify(item)?.key, item))));
            let PageMetadata {
                resource_version,
                continued: more,
            } = page.metadata;
            match more.filter(|more| !more.is_empty()) {
                Some(more) => continued = Some(more),
                None => break resource_version.filter(|version| !version.is_empty()),
            }
        };
        let version = version.ok_or(Broken::NoVersion)?;
        self.tell(News::All(entries)).await?;
        self.hear().await?;
        self.version = Some(version);
        Ok(())
    }

    /// Watches until the answer ends.
    async fn watch(&mut self, start: Start<'_>) -> Result<(), Pause> {
        let request = self.subject.watch(start, self.pace.seconds());
        let body = self.ask(request).await?.into_body();
        let mut lines = Lines::new(body, self.pace.silence);
        // The objects of a list that is not complete yet.
        let mut listed = match start {
            Start::Everything => Some(Vec::new()),
            Start::After(_) => {
                self.hear().await?;
                None
            }
        };
        while let Some(line) = lines.next().await? {
            self.heard = SystemTime::now();
            let event: Event<'_> = serde_json::from_slice(&line).map_err(Broken::NotUnderstood)?;
            match event.kind {
                "ADDED" | "MODIFIED" => {
                    let Some(Identity { key, version }) = self.identify(event.object) else {
                        continue;
                    };
                    let entry = Entry::decode(key, event.object);
                    match &mut listed {
                        Some(listed) => listed.push(entry),
                        None => {
                            self.tell(News::Put(entry)).await?;
                            self.version = Some(version.ok_or(Broken::NoVersion)?);
                        }
                    }
                }
                "DELETED" => {
                    let Some(Identity { key, version }) = self.identify(event.object) else {
                        continue;
                    };
                    if let Some(listed) = &mut listed {
                        listed.retain(|entry| entry.key != key);
                    } else {
                        self.tell(News::Gone(key)).await?;
                        self.version = Some(version.ok_or(Broken::NoVersion)?);
                    }
                }
                "BOOKMARK" => {
                    let bookmark: Bookmark = serde_json::from_str(event.object.get()).map_err(Broken::NotUnderstood)?;
                    if listed.is_some() && !bookmark.ends_list() {
                        continue;
                    }
                    if let Some(listed) = &mut listed {
                        self.tell(News::All(mem::take(listed))).await?;
                        self.hear().await?;
                    }
                    listed = None;
                    self.version = Some(bookmark.into_version());
                }
                "ERROR" => return Err(self.refusal(None, event.object.get().as_bytes()).into()),
                other => return Err(Broken::UnknownEvent(other.to_owned()).into()),
            }
        }
        match listed {
            Some(_) => Err(Broken::Early.into()),
            None => Ok(()),
        }
    }

    async fn ask(&self, request: Result<Request<Body>, request::Error>) -> Result<Response<Body>, Broken> {
        let request = request.map_err(|error| Broken::Request(Box::new(error)))?;
        let answered = timeout(self.pace.answer, self.client.send(request)).await;
        let answer = answered.map_err(|_elapsed| Broken::Silent(self.pace.answer))?;
        let answer = answer.map_err(|error| Broken::Unreachable {
            what: self.subject.kind().plural(),
            source: Box::new(error),
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let code = answer.status();
        // What it says beside the code is a courtesy.
        let body = timeout(self.pace.answer, answer.into_body().collect_bytes()).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        Err(self.refusal(Some(code), &body))
    }

    fn refusal(&self, code: Option<StatusCode>, body: &[u8]) -> Broken {
        let Status { message, code: inner } = serde_json::from_slice(body).unwrap_or_default();
        let inner = StatusCode::from_u16(inner).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = code.unwrap_or(inner);
        if code == StatusCode::GONE {
            return Broken::Gone(message);
        }
        Broken::Refused {
            what: self.subject.kind().plural(),
            code,
            message: if message.is_empty() {
                String::from_utf8_lossy(&body[..body.len().min(LONGEST_MESSAGE)])
                    .trim()
                    .to_owned()
            } else {
                message
            },
        }
    }

    /// What has not even a name is nothing that could be kept: it leaves the others alone.
    fn identify(&self, text: &RawValue) -> Option<Identity> {
        let kind = self.subject.kind();
        Identity::of(kind, text)
            .inspect_err(|error| tracing::warn!(kind = kind.label(), %error, "An object without a name is skipped"))
            .ok()
    }

    async fn hear(&mut self) -> Result<(), Unheard> {
        self.attended = true;
        self.heard = SystemTime::now();
        if self.told.take().is_some() {
            tracing::info!(
                kind = self.subject.kind().label(),
                "The API server tells of this kind again"
            );
        }
        self.tell(News::Heard).await
    }

    async fn tell(&self, news: News) -> Result<(), Unheard> {
        let told = self.news.send((self.subject.kind(), news)).await;
        told.map_err(|_closed| Unheard)
    }
}

// === impl Pause ===

impl From<Broken> for Pause {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<Unheard> for Pause {
    fn from(Unheard: Unheard) -> Self {
        Self::Unheard
    }
}

/// How much of an answer that is no Status is shown.
const LONGEST_MESSAGE: usize = 200;
