//! JSON documents as lines of bounded length over any byte stream.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// The most bytes of a line, its line feed included.
pub const MAX_LINE: usize = 1 << 20;

/// Why a line could not be read or written. After any of these the stream is of no further use.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The stream failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// A line is longer than [`MAX_LINE`]. If it was to be written, none of it was.
    #[error("a line is longer than {MAX_LINE} bytes")]
    TooLong,
    /// The stream ended within a line.
    #[error("the connection ended within a line")]
    Torn,
    /// A line is not the JSON document that is expected.
    #[error("a line is not what is expected")]
    Unexpected(#[from] serde_json::Error),
}

/// Reads documents. Holds at most one line.
#[derive(Debug)]
pub struct LineReader<R> {
    source: BufReader<R>,
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// A reader of this stream.
    pub fn new(source: R) -> Self {
        Self { source: BufReader::new(source), line: Vec::new() }
    }

    /// The next document; `None` when the stream has ended after a whole line. Cancel safe: what has been
    /// read of a line is kept for the next call.
    ///
    /// # Errors
    /// [`LineError`]; the stream is of no further use then.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LineError> {
        let room = (MAX_LINE - self.line.len()) as u64;
        (&mut self.source).take(room).read_until(b'\n', &mut self.line).await?;
        if self.line.is_empty() {
            return Ok(None);
        }
        if !self.line.ends_with(b"\n") {
            return Err(if self.line.len() == MAX_LINE { LineError::TooLong } else { LineError::Torn });
        }
        let document = serde_json::from_slice(&self.line)?;
        self.line.clear();
        Ok(Some(document))
    }
}

/// Writes documents.
#[derive(Debug)]
pub struct LineWriter<W> {
    target: W,
}

impl<W: AsyncWrite + Unpin> LineWriter<W> {
    /// A writer to this stream.
    pub fn new(target: W) -> Self {
        Self { target }
    }

    /// Writes a document and flushes. Not cancel safe: a line may be left torn, so whoever gives up on it must
    /// close the stream.
    ///
    /// # Errors
    /// [`LineError`]; after [`LineError::TooLong`] nothing was written and the stream is still good.
    pub async fn send<T: Serialize>(&mut self, document: &T) -> Result<(), LineError> {
        let mut line = serde_json::to_vec(document)?;
        line.push(b'\n');
        if line.len() > MAX_LINE {
            return Err(LineError::TooLong);
        }
        self.target.write_all(&line).await?;
        self.target.flush().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
