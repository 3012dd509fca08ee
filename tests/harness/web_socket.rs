//! A client of WebSockets (RFC 6455).

use std::net::TcpStream;

use tokio_tungstenite::tungstenite::{self, Message, client};

/// An open WebSocket.
#[derive(Debug)]
pub struct WebSocket(tungstenite::WebSocket<TcpStream>);

// === impl WebSocket ===

impl WebSocket {
    /// Asks a service called `web` for one; the error is the server's status, where it gave one.
    pub fn open(stream: TcpStream) -> Result<Self, String> {
        match client("ws://web/chat", stream) {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Sends a text, and waits for the next one.
    pub fn say(&mut self, text: &str) -> Result<String, tungstenite::Error> {
        self.0.send(Message::text(text))?;
        loop {
            if let Message::Text(text) = self.0.read()? {
                return Ok(text.to_string());
            }
        }
    }

    /// Says that no more is sent, and waits for the other's word of it.
    pub fn close(mut self) -> Result<(), tungstenite::Error> {
        self.0.close(None)?;
        loop {
            match self.0.read() {
                Ok(_) => {}
                Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}
