//! Sessions as unit tests see them: by the clock that is given.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{token::LONGEST, *};

fn token(endpoint: &str, begun: u64, used: u64) -> Token {
    Token {
        endpoint: endpoint.parse().unwrap(),
        begun,
        used,
    }
}

fn persistence(token: SessionToken) -> SessionPersistence {
    SessionPersistence {
        name: Some("stay".into()),
        token,
        absolute_timeout: None,
        idle_timeout: None,
    }
}

fn session(persistence: SessionPersistence, token: Option<Token>, now: u64) -> Session {
    Session {
        persistence,
        name: String::from("stay"),
        token,
        now,
    }
}

fn told(session: &Session, endpoint: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    session.tell(endpoint.parse().unwrap(), &mut headers);
    headers
}

#[test]
fn a_token_is_read_as_it_was_written_and_all_else_is_none() {
    for endpoint in ["10.0.0.1:8080", "[fd00::1]:1"] {
        let token = token(endpoint, 1_800_000_000, u64::MAX);
        let text = token.write();
        assert!(text.len() <= LONGEST, "{text}");
        assert_eq!(Token::read(&text), Some(token));
        for cut in 0..text.len() {
            assert_eq!(Token::read(&text[..cut]), None, "{cut} characters of {text}");
        }
        assert_eq!(Token::read(&format!("{text}AAAA")), None);
    }
    let other_form = BASE64_URL_SAFE_NO_PAD.encode([&[5][..], &[0; 22]].concat());
    for forged in ["", "!", "AQ", &other_form, &"A".repeat(10_000)] {
        assert_eq!(Token::read(forged), None, "{forged}");
    }
}

#[test]
fn a_session_lasts_for_its_time_and_as_long_as_it_is_used() {
    let limited = SessionPersistence {
        absolute_timeout: Some(Duration::from_secs(100)),
        idle_timeout: Some(Duration::from_secs(10)),
        ..persistence(SessionToken::Header)
    };
    let lasts = |begun, used, now| holds(token("10.0.0.1:80", begun, used), &limited, now);
    assert!(lasts(1000, 1090, 1100) && lasts(1000, 1000, 1000));
    assert!(!lasts(1000, 1100, 1101), "too old");
    assert!(!lasts(1000, 1000, 1011), "idle for too long");
    assert!(lasts(1030, 1030, 1000), "of a node whose clock is ahead");
    assert!(!lasts(2000, 2000, 1000), "from the future");
    let unlimited = persistence(SessionToken::Header);
    assert!(holds(token("10.0.0.1:80", 0, 0), &unlimited, u64::MAX));
}

#[test]
fn a_client_is_told_of_its_endpoint_once_and_of_another_again() {
    let cookies = SessionToken::Cookie(SessionLifetime::Session);
    let new = told(&session(persistence(cookies), None, 1000), "10.0.0.1:80");
    let cookie = new[SET_COOKIE].to_str().unwrap();
    let expected = token("10.0.0.1:80", 1000, 1000).write();
    assert_eq!(cookie, format!("stay={expected}; Path=/; HttpOnly"));

    let known = Some(token("10.0.0.1:80", 900, 900));
    assert!(told(&session(persistence(cookies), known, 1000), "10.0.0.1:80").is_empty());
    let moved = told(&session(persistence(cookies), known, 1000), "10.0.0.2:80");
    assert!(
        moved[SET_COOKIE]
            .to_str()
            .unwrap()
            .contains(&token("10.0.0.2:80", 1000, 1000).write())
    );

    let named = told(&session(persistence(SessionToken::Header), None, 1000), "10.0.0.1:80");
    assert_eq!(named["stay"], expected);
}

#[test]
fn a_session_that_is_used_goes_on_and_a_permanent_cookie_ends_with_it() {
    let permanent = SessionPersistence {
        absolute_timeout: Some(Duration::from_secs(300)),
        idle_timeout: Some(Duration::from_secs(60)),
        ..persistence(SessionToken::Cookie(SessionLifetime::Permanent))
    };
    let known = Some(token("10.0.0.1:80", 900, 990));
    let used = told(&session(permanent.clone(), known, 1000), "10.0.0.1:80");
    let expected = token("10.0.0.1:80", 900, 1000).write();
    assert_eq!(
        used[SET_COOKIE],
        format!("stay={expected}; Path=/; HttpOnly; Max-Age=200")
    );
    let just_told = Some(token("10.0.0.1:80", 900, 1000));
    assert!(told(&session(permanent, just_told, 1000), "10.0.0.1:80").is_empty());
}

#[test]
fn a_token_is_found_among_cookies_and_in_a_header() {
    let cookie = SessionToken::Cookie(SessionLifetime::Session);
    let mut headers = HeaderMap::new();
    for value in ["a=1; stayed=2", "theme=dark;stay=abc ; b=3", "stay=later"] {
        headers.append(COOKIE, HeaderValue::from_static(value));
    }
    headers.insert("stay", HeaderValue::from_static("def"));
    assert_eq!(brought("stay", cookie, &headers), Some("abc"));
    assert_eq!(brought("tay", cookie, &headers), None);
    assert_eq!(brought("stay", SessionToken::Header, &headers), Some("def"));
    assert_eq!(brought("other", SessionToken::Header, &headers), None);
}
