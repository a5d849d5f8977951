//! The server's half of TDS 7.2 to 7.4, without any I/O: packets, prelogin, login, requests with
//! their values, and the tokens of answers ([MS-TDS]).

mod login7;
mod packet;
mod prelogin;
mod read;
mod request;
#[cfg(test)]
mod tests;
mod tokens;
mod value;

pub use login7::{Login7, NEWEST_TDS_VERSION, OLDEST_TDS_VERSION};
pub use packet::{Assembler, DEFAULT_PACKET_SIZE, Message, MessageKind, packets};
pub use prelogin::{Encryption, read_prelogin, write_prelogin};
pub use read::TdsError;
pub use request::{Statement, Transaction, read_batch, read_rpc, read_transaction};
pub use tokens::{Column, Done, DoneKind, ServerMessage, Tokens, ValueDoesNotFit};
pub use value::{SqlType, Value};
