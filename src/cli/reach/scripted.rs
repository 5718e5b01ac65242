//! A server for tests, which answers as it was told to.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::client::Server;

/// A server that gives these answers one after the other, each once; and, once it has, what it was asked.
#[expect(clippy::disallowed_methods, reason = "its task ends with its answers")]
pub(super) async fn scripted(answers: Vec<String>) -> (Server, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4_096];
            let length = stream.read(&mut request).await.unwrap();
            asked.push(String::from_utf8_lossy(&request[..length]).into_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    (Server::new(&url, None).unwrap(), asked)
}

/// What was asked for, as of the row or the plan of this tag.
pub(super) fn found(tag: &str, body: &str) -> String {
    answer("200 OK", "json", tag, body)
}

/// A problem.
pub(super) fn problem(status: &str, body: &str) -> String {
    answer(status, "problem+json", "", body)
}

fn answer(status: &str, kind: &str, tag: &str, body: &str) -> String {
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: application/{kind}\r\netag: \"{tag}\"\r\nconnection: close\r\n");
    format!("{head}content-length: {}\r\n\r\n{body}", body.len())
}
