//! Sessions that stay with their endpoint (the experimental channel's `sessionPersistence`, GEP-1619).
//!
//! No agent remembers a session: the client brings all of it with each request, in a token of the agent's. A client that
//! forges one reaches an endpoint of the same rule, to which chance might have led it as well, and nobody else's.

mod token;

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{COOKIE, SET_COOKIE},
};

pub(super) use self::token::Token;
use crate::model::{RouteRule, SessionLifetime, SessionPersistence, SessionToken};

/// The session of a request by its rule, whether it has begun or not.
#[derive(Clone, Debug)]
pub(super) struct Session {
    persistence: SessionPersistence,
    name: String,
    /// What the client has brought, where it holds.
    token: Option<Token>,
    now: u64,
}

// === impl Session ===

impl Session {
    /// What the client has brought of it; none where the rule has no sessions.
    pub(super) fn of(rule: &RouteRule, headers: &HeaderMap) -> Option<Self> {
        let persistence = rule.session.clone()?;
        let name = name(&persistence, rule);
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        let token = brought(&name, persistence.token, headers)
            .and_then(Token::read)
            .filter(|token| holds(*token, &persistence, now));
        Some(Self {
            persistence,
            name,
            token,
            now,
        })
    }

    /// The endpoint with which it stays.
    pub(super) fn endpoint(&self) -> Option<SocketAddr> {
        self.token.map(|token| token.endpoint)
    }

    /// Tells the client of the endpoint that has served it, where it does not know already.
    pub(super) fn tell(&self, endpoint: SocketAddr, headers: &mut HeaderMap) {
        let known = self.token.filter(|token| token.endpoint == endpoint);
        let grows_old = |token: &Token| self.persistence.idle_timeout.is_some() && token.used != self.now;
        if known.is_some_and(|token| !grows_old(&token)) {
            return;
        }
        let token = Token {
            endpoint,
            begun: known.map_or(self.now, |token| token.begun),
            used: self.now,
        };
        match self.persistence.token {
            SessionToken::Cookie(lifetime) => {
                let mut cookie = format!("{}={}; Path=/; HttpOnly", self.name, token.write());
                if let (SessionLifetime::Permanent, Some(longest)) = (lifetime, self.persistence.absolute_timeout) {
                    let age = self.now.saturating_sub(token.begun);
                    let left = longest.as_secs().saturating_sub(age);
                    cookie += &format!("; Max-Age={left}");
                }
                if let Ok(cookie) = HeaderValue::try_from(cookie) {
                    headers.append(SET_COOKIE, cookie);
                }
            }
            SessionToken::Header => {
                let value = HeaderValue::try_from(token.write());
                if let (Ok(name), Ok(value)) = (HeaderName::try_from(&self.name), value) {
                    headers.insert(name, value);
                }
            }
        }
    }
}

/// The cookie's or header's name; one of its own for each rule, where none is written.
fn name(persistence: &SessionPersistence, rule: &RouteRule) -> String {
    match (&persistence.name, persistence.token) {
        (Some(name), _) => name.as_ref().to_owned(),
        (None, SessionToken::Cookie(_)) => {
            let route = &rule.route.name;
            format!("weft-session.{}.{}.{}", route.namespace, route.name, rule.index)
        }
        (None, SessionToken::Header) => String::from("x-weft-session"),
    }
}

fn brought<'a>(name: &str, token: SessionToken, headers: &'a HeaderMap) -> Option<&'a str> {
    match token {
        SessionToken::Cookie(_) => {
            let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
            let mut pairs = cookies
                .flat_map(|value| value.split(';'))
                .filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim().trim_matches('"'))
        }
        SessionToken::Header => headers.get(name)?.to_str().ok(),
    }
}

/// Whether a token's session is not over. Nodes' clocks may differ: one from the near future is young.
fn holds(token: Token, persistence: &SessionPersistence, now: u64) -> bool {
    let within = |since: u64, limit: Option<Duration>| {
        since <= now.saturating_add(SKEW) && limit.is_none_or(|limit| now.saturating_sub(since) <= limit.as_secs())
    };
    within(token.begun, persistence.absolute_timeout) && within(token.used, persistence.idle_timeout)
}

/// How far in seconds the clock of another node may be ahead.
const SKEW: u64 = 60;

#[cfg(test)]
mod tests;
