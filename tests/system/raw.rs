//! A client that speaks the protocol byte by byte, also wrongly.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than any answer takes, shorter than anybody's patience.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Raw {
    pub socket: TcpStream,
    pub process_id: i32,
    pub secret: i32,
    /// What the server said of itself at start.
    pub parameters: Vec<(String, String)>,
}

/// A message of the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub kind: char,
    pub body: Vec<u8>,
}

impl Message {
    /// One field of an error or a notice, by its letter.
    pub fn field(&self, letter: char) -> Option<String> {
        let fields = self.body.split(|byte| *byte == 0);
        let mut fields = fields.filter(|field| field.first() == Some(&(letter as u8)));
        fields.next().map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
    }

    /// The columns of a DataRow, as text.
    pub fn columns(&self) -> Vec<Option<String>> {
        let mut rest = &self.body[2..];
        let mut columns = Vec::new();
        while !rest.is_empty() {
            let length = i32::from_be_bytes(rest[..4].try_into().expect("four bytes"));
            rest = &rest[4..];
            let Ok(length) = usize::try_from(length) else {
                columns.push(None);
                continue;
            };
            columns.push(Some(String::from_utf8_lossy(&rest[..length]).into_owned()));
            rest = &rest[length..];
        }
        columns
    }

    /// A short form for comparing: `C SELECT 1`, `E 42601`, `D a|b`, `Z I`.
    pub fn short(&self) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
        let detail = match self.kind {
            'C' | 'Z' => text(&self.body),
            'E' | 'N' => self.field('C').unwrap_or_default(),
            'D' => {
                let columns = self.columns().into_iter();
                columns.map(|c| c.unwrap_or("NULL".into())).collect::<Vec<_>>().join("|")
            }
            _ => return self.kind.to_string(),
        };
        format!("{} {detail}", self.kind)
    }
}

impl Raw {
    pub async fn connect(addr: SocketAddr) -> Raw {
        let mut body = vec![0, 3, 0, 0];
        for word in ["user", "tester", "database", "test", "application_name", "raw"] {
            body.extend(word.as_bytes());
            body.push(0);
        }
        body.push(0);
        let mut raw = Raw::greeting(addr, &body).await;
        for message in raw.until_ready().await {
            match message.kind {
                'K' => {
                    let number = |at: usize| {
                        i32::from_be_bytes(message.body[at..at + 4].try_into().expect("4 bytes"))
                    };
                    (raw.process_id, raw.secret) = (number(0), number(4));
                }
                'S' => {
                    let mut words = message.body.split(|byte| *byte == 0);
                    let mut word =
                        || String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned();
                    raw.parameters.push((word(), word()));
                }
                'R' | 'Z' => {}
                other => panic!("unexpected message at start: {other}"),
            }
        }
        raw
    }

    /// A connection whose first packet has this body.
    pub async fn greeting(addr: SocketAddr, body: &[u8]) -> Raw {
        let mut socket = TcpStream::connect(addr).await.expect("a connection");
        let length = body.len() as u32 + 4;
        socket.write_all(&length.to_be_bytes()).await.expect("written");
        socket.write_all(body).await.expect("written");
        Raw { socket, process_id: 0, secret: 0, parameters: Vec::new() }
    }

    pub async fn send(&mut self, kind: char, body: &[u8]) {
        let mut message = vec![kind as u8];
        message.extend((body.len() as u32 + 4).to_be_bytes());
        message.extend(body);
        self.socket.write_all(&message).await.expect("written");
    }

    pub async fn read(&mut self) -> Message {
        let read = async {
            let kind = self.socket.read_u8().await.expect("a message type") as char;
            let length = self.socket.read_u32().await.expect("a length") as usize;
            let mut body = vec![0; length - 4];
            self.socket.read_exact(&mut body).await.expect("a body");
            Message { kind, body }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("an answer in time")
    }

    pub async fn until_ready(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            let message = self.read().await;
            let last = message.kind == 'Z';
            messages.push(message);
            if last {
                return messages;
            }
        }
    }

    /// Every message that answers a query string.
    pub async fn query(&mut self, text: &str) -> Vec<Message> {
        let mut body = text.as_bytes().to_vec();
        body.push(0);
        self.send('Q', &body).await;
        self.until_ready().await
    }

    /// The short forms of what answers a query string, without descriptions.
    pub async fn ask(&mut self, text: &str) -> Vec<String> {
        shorts(&self.query(text).await)
    }

    pub async fn parse(&mut self, name: &str, text: &str, types: &[u32]) {
        let mut body = [name.as_bytes(), &[0], text.as_bytes(), &[0]].concat();
        body.extend((types.len() as u16).to_be_bytes());
        types.iter().for_each(|oid| body.extend(oid.to_be_bytes()));
        self.send('P', &body).await;
    }

    /// Text parameters, text results.
    pub async fn bind(&mut self, portal: &str, statement: &str, values: &[Option<&str>]) {
        let mut body = [portal.as_bytes(), &[0], statement.as_bytes(), &[0, 0, 0]].concat();
        body.extend((values.len() as u16).to_be_bytes());
        for value in values {
            match value {
                Some(value) => {
                    body.extend((value.len() as u32).to_be_bytes());
                    body.extend(value.as_bytes());
                }
                None => body.extend((-1i32).to_be_bytes()),
            }
        }
        body.extend([0, 0]);
        self.send('B', &body).await;
    }

    /// `target` is S or P.
    pub async fn describe(&mut self, target: char, name: &str) {
        self.send('D', &[&[target as u8], name.as_bytes(), &[0]].concat()).await;
    }

    pub async fn execute(&mut self, portal: &str, rows_max: u32) {
        self.send('E', &[portal.as_bytes(), &[0], &rows_max.to_be_bytes()].concat()).await;
    }

    pub async fn close(&mut self, target: char, name: &str) {
        self.send('C', &[&[target as u8], name.as_bytes(), &[0]].concat()).await;
    }

    /// Sync, and the short forms of everything up to ReadyForQuery.
    pub async fn sync(&mut self) -> Vec<String> {
        self.send('S', &[]).await;
        shorts(&self.until_ready().await)
    }

    /// CancelRequest for this session, on a connection of its own as the protocol wants it.
    pub async fn cancel(&self, addr: SocketAddr) {
        let mut body = 80_877_102u32.to_be_bytes().to_vec();
        body.extend(self.process_id.to_be_bytes());
        body.extend(self.secret.to_be_bytes());
        let mut raw = Raw::greeting(addr, &body).await;
        let mut rest = Vec::new();
        // The server answers by closing.
        let _ = raw.socket.read_to_end(&mut rest).await;
    }
}

/// Short forms, without row descriptions.
pub fn shorts(messages: &[Message]) -> Vec<String> {
    messages.iter().filter(|message| message.kind != 'T').map(Message::short).collect()
}
