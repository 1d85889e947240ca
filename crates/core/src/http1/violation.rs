//! What is wrong with a message.

use crate::Code;
use thiserror::Error;

/// Why a connection's bytes are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
pub enum Violation {
    /// A request line that is none.
    #[error("the request line is not `METHOD TARGET HTTP/1.1`, with one space between each")]
    RequestLine,
    /// A target whose form or characters are not those of its method's.
    #[error("the request target is malformed, or not of the form that the method takes")]
    Target,
    /// Another version.
    #[error("the version is neither HTTP/1.1 nor HTTP/1.0")]
    Version,
    /// A line that does not end in CR LF.
    #[error("a line ends in LF without CR")]
    BareLf,
    /// NUL, a CR inside a line, or another control character.
    #[error("the head holds a control character, perhaps a CR that ends no line")]
    Control,
    /// A line that begins with white space.
    #[error("a line of the head begins with white space (folded lines are obsolete)")]
    Fold,
    /// A field's name is missing or malformed, or white space stands before the colon.
    #[error("a field's name is missing, malformed or followed by white space")]
    FieldName,
    /// Both lengths.
    #[error("both Content-Length and Transfer-Encoding say how long the body is")]
    TwoFramings,
    /// A length that is none.
    #[error("Content-Length is not one number")]
    ContentLength,
    /// Several lengths.
    #[error("Content-Length is given more than once")]
    TwoLengths,
    /// A coding other than `chunked`, or several.
    #[error("Transfer-Encoding is not exactly `chunked`")]
    TransferEncoding,
    /// A coding in a version that has none.
    #[error("HTTP/1.0 has no Transfer-Encoding")]
    OldTransferEncoding,
    /// A body where none has a meaning.
    #[error("CONNECT has no body")]
    ConnectBody,
    /// No host.
    #[error("there is no Host field")]
    NoHost,
    /// Several.
    #[error("the Host field is given more than once")]
    TwoHosts,
    /// A host that is none.
    #[error("the Host field is malformed")]
    Host,
    /// An empty line too many before a request.
    #[error("more than one empty line stands before the request")]
    EmptyLines,
    /// A target that is too long.
    #[error("the request line is longer than is accepted")]
    LineTooLong,
    /// A head that is too long.
    #[error("the head is longer than is accepted")]
    HeadTooLong,
    /// Too many fields.
    #[error("the head has more fields than are accepted")]
    TooManyFields,
    /// A head that was begun and does not come.
    #[error("the head did not come in time after its first byte")]
    HeadTooSlow,
    /// The size of a chunk is malformed or too large.
    #[error("the size of a chunk is malformed")]
    ChunkSize,
    /// Too long an extension, or one with control characters.
    #[error("the extension of a chunk is malformed or too long")]
    ChunkExtension,
    /// A chunk does not end where its size says.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    /// Trailers that are malformed or too long.
    #[error("the trailers are malformed or too long")]
    Trailers,
}

impl Violation {
    /// Every violation there is.
    pub const ALL: [Self; 25] = [
        Self::RequestLine,
        Self::Target,
        Self::Version,
        Self::BareLf,
        Self::Control,
        Self::Fold,
        Self::FieldName,
        Self::TwoFramings,
        Self::ContentLength,
        Self::TwoLengths,
        Self::TransferEncoding,
        Self::OldTransferEncoding,
        Self::ConnectBody,
        Self::NoHost,
        Self::TwoHosts,
        Self::Host,
        Self::EmptyLines,
        Self::LineTooLong,
        Self::HeadTooLong,
        Self::TooManyFields,
        Self::HeadTooSlow,
        Self::ChunkSize,
        Self::ChunkExtension,
        Self::ChunkEnd,
        Self::Trailers,
    ];

    /// Whether it is one of a body, whose head has passed.
    pub const fn is_of_body(self) -> bool {
        matches!(self, Self::ChunkSize | Self::ChunkExtension | Self::ChunkEnd | Self::Trailers)
    }

    /// The code that the client is told.
    pub const fn code(self) -> Code {
        match self {
            Self::Version => Code::RequestVersion,
            Self::LineTooLong => Code::RequestTargetTooLong,
            Self::HeadTooLong | Self::TooManyFields => Code::RequestHeadTooLarge,
            Self::HeadTooSlow => Code::RequestTooSlow,
            _ => Code::RequestMalformed,
        }
    }
}
