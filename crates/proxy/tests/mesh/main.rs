//! The data plane end to end: real sockets, small applications in this process.

mod calls;
mod support;
