//! Asking the API server whose service account token this is (TokenReview).

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus, UserInfo};
use kube::{Api, api::PostParams};
use serde::Deserialize;
use tokio::time::timeout;

use super::api::ApiServer;
use crate::model::{ObjectName, PodUid};

/// Reviews service account tokens of one audience.
#[derive(Clone, Debug)]
pub struct TokenReviewer {
    api: Api<TokenReview>,
    audience: String,
}

/// What the API server says of a good token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewedToken {
    /// Namespace and name of the service account.
    pub service_account: ObjectName,
    /// The pod that it is bound to.
    pub pod: Option<PodUid>,
    /// The node of that pod, where the API server tells it (from 1.30 on).
    pub node: Option<Arc<str>>,
    /// Until when it is good.
    pub expires: SystemTime,
}

/// Why a token was not found good.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// It is not good.
    #[error("the API server does not know the token: {0}")]
    Unknown(String),
    /// It is good, but of somebody or something else.
    #[error("the token is not a service account's for this CA")]
    Foreign,
    /// The API server refuses to review.
    #[error("the API server reviews no tokens for this CA")]
    Forbidden(#[source] Box<kube::Error>),
    /// The API server does not answer.
    #[error("the API server does not answer: it cannot be asked about the token")]
    Away(#[source] Option<Box<kube::Error>>),
}

// === impl TokenReviewer ===

impl TokenReviewer {
    /// A reviewer of tokens that are for this audience.
    pub fn new(server: &ApiServer, audience: &str) -> Self {
        Self {
            api: Api::all(server.client.clone()),
            audience: audience.to_owned(),
        }
    }

    /// Asks.
    ///
    /// # Errors
    ///
    /// When the token is not good, is not a service account's of this audience, or nobody can say.
    pub async fn review(&self, token: &str) -> Result<ReviewedToken, ReviewError> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: Some(vec![self.audience.clone()]),
            },
            ..TokenReview::default()
        };
        let options = PostParams::default();
        let answer = match timeout(ANSWER_TIME, self.api.create(&options, &review)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error @ kube::Error::Api(_))) if is_refusal(&error) => {
                return Err(ReviewError::Forbidden(Box::new(error)));
            }
            Ok(Err(error)) => return Err(ReviewError::Away(Some(Box::new(error)))),
            Err(_elapsed) => return Err(ReviewError::Away(None)),
        };
        self.read(answer.status.unwrap_or_default(), token)
    }

    fn read(&self, status: TokenReviewStatus, token: &str) -> Result<ReviewedToken, ReviewError> {
        if status.authenticated != Some(true) {
            return Err(ReviewError::Unknown(status.error.unwrap_or_default()));
        }
        // A server that knows no audiences says none: its word is not for this CA (KEP-1205).
        if !status
            .audiences
            .iter()
            .flatten()
            .any(|audience| audience == &self.audience)
        {
            return Err(ReviewError::Foreign);
        }
        let UserInfo { username, extra, .. } = status.user.unwrap_or_default();
        let extra = extra.unwrap_or_default();
        let said = |key: &str| extra.get(key).and_then(|values| values.first()).map(String::as_str);
        Ok(ReviewedToken {
            service_account: service_account(&username.unwrap_or_default()).ok_or(ReviewError::Foreign)?,
            pod: said("authentication.kubernetes.io/pod-uid").map(PodUid::new),
            node: said("authentication.kubernetes.io/node-name").map(Arc::from),
            expires: expires(token).ok_or(ReviewError::Foreign)?,
        })
    }
}

// === impl ReviewError ===

impl ReviewError {
    /// Whether nobody can say.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Away(_) => true,
            Self::Unknown(_) | Self::Foreign | Self::Forbidden(_) => false,
        }
    }
}

fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != TOO_MANY)
}

fn service_account(username: &str) -> Option<ObjectName> {
    let (namespace, name) = username.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    Some(ObjectName::new(namespace, name))
}

/// What the token itself says, once the API server has said that it is good.
fn expires(token: &str) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
    }
    let claims = token.split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp))
}

const ANSWER_TIME: Duration = Duration::from_secs(5);
const TOO_MANY: u16 = 429;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn mk_status(audience: &str, username: &str) -> TokenReviewStatus {
        let extra = [
            ("authentication.kubernetes.io/pod-uid", "uid-agent"),
            ("authentication.kubernetes.io/node-name", "node-1"),
        ];
        TokenReviewStatus {
            authenticated: Some(true),
            audiences: Some(vec![audience.to_owned()]),
            user: Some(UserInfo {
                username: Some(username.to_owned()),
                extra: Some(
                    extra
                        .map(|(key, value)| (key.to_owned(), vec![value.to_owned()]))
                        .into(),
                ),
                ..UserInfo::default()
            }),
            error: None,
        }
    }

    fn read(status: TokenReviewStatus) -> Result<ReviewedToken, ReviewError> {
        let client = kube::Config::new("http://127.0.0.1:1".parse().expect("a URL"));
        let client = kube::Client::try_from(client).expect("a client");
        let claims = BASE64_URL_SAFE_NO_PAD.encode(br#"{"exp":1000,"iss":"x"}"#);
        TokenReviewer::new(&ApiServer { client }, "weft-ca").read(status, &format!("h.{claims}.s"))
    }

    const AGENT: &str = "system:serviceaccount:weft-system:weft-agent";

    #[tokio::test]
    async fn a_good_token_tells_account_pod_node_and_end() {
        let reviewed = read(mk_status("weft-ca", AGENT)).expect("good");
        let expected = ReviewedToken {
            service_account: ObjectName::new("weft-system", "weft-agent"),
            pod: Some(PodUid::new("uid-agent")),
            node: Some("node-1".into()),
            expires: SystemTime::UNIX_EPOCH + Duration::from_secs(1000),
        };
        assert_eq!(reviewed, expected);
    }

    #[tokio::test]
    async fn tokens_of_other_audiences_of_people_and_unknown_ones_are_refused() {
        assert!(matches!(read(mk_status("vault", AGENT)), Err(ReviewError::Foreign)));
        let silent = TokenReviewStatus {
            audiences: None,
            ..mk_status("weft-ca", AGENT)
        };
        assert!(matches!(read(silent), Err(ReviewError::Foreign)));
        assert!(matches!(read(mk_status("weft-ca", "alice")), Err(ReviewError::Foreign)));
        let unknown = TokenReviewStatus {
            authenticated: Some(false),
            ..mk_status("weft-ca", AGENT)
        };
        assert!(matches!(read(unknown), Err(ReviewError::Unknown(_))));
    }

    #[tokio::test]
    async fn an_api_server_that_is_away_is_told_from_one_that_refuses() {
        let client = kube::Config::new("http://127.0.0.1:1".parse().expect("a URL"));
        let client = kube::Client::try_from(client).expect("a client");
        let reviewer = TokenReviewer::new(&ApiServer { client }, "weft-ca");
        let error = reviewer.review("a.b.c").await.expect_err("nobody listens");
        assert!(error.is_away(), "{error}");
        let unbound = TokenReviewStatus {
            user: Some(UserInfo {
                extra: Some(BTreeMap::new()),
                username: Some(AGENT.to_owned()),
                ..UserInfo::default()
            }),
            ..mk_status("weft-ca", AGENT)
        };
        assert_eq!(read(unbound).expect("good, and bound to nothing").pod, None);
    }
}
