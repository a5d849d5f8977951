//! Packets and the messages they make up ([MS-TDS] 2.2.3).

use super::read::TdsError;

/// Bytes of a packet's header.
const HEADER: usize = 8;
const STATUS_END_OF_MESSAGE: u8 = 0x01;

/// Packet size before it is negotiated.
pub const DEFAULT_PACKET_SIZE: usize = 4096;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// A batch of statements as text.
    Batch,
    /// A call of a procedure.
    Rpc,
    /// Everything a server sends.
    TabularResult,
    /// The client wants the running request to end.
    Attention,
    /// Begin, commit and the like.
    TransactionManager,
    /// The login.
    Login7,
    /// The exchange before the login.
    Prelogin,
}

impl MessageKind {
    fn from_byte(byte: u8) -> Result<Self, TdsError> {
        Ok(match byte {
            0x01 => Self::Batch,
            0x03 => Self::Rpc,
            0x04 => Self::TabularResult,
            0x06 => Self::Attention,
            0x0e => Self::TransactionManager,
            0x10 => Self::Login7,
            0x12 => Self::Prelogin,
            _ => return Err(TdsError::Malformed("the packet type is unknown")),
        })
    }

    fn byte(self) -> u8 {
        match self {
            Self::Batch => 0x01,
            Self::Rpc => 0x03,
            Self::TabularResult => 0x04,
            Self::Attention => 0x06,
            Self::TransactionManager => 0x0e,
            Self::Login7 => 0x10,
            Self::Prelogin => 0x12,
        }
    }
}

/// One whole message, its packets joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: MessageKind,
    /// Its content without packet headers.
    pub payload: Vec<u8>,
}

/// Joins packets to messages. Bytes go in as they come; at most `limit` bytes are kept.
#[derive(Debug)]
pub struct Assembler {
    limit: usize,
    raw: Vec<u8>,
    message: Option<Message>,
}

impl Assembler {
    /// Makes an assembler that refuses messages of more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, raw: Vec::new(), message: None }
    }

    /// Takes in bytes from the socket.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
    }

    /// Returns the next whole message, `None` if more bytes are needed.
    ///
    /// # Errors
    ///
    /// The packets are not TDS, or the message is too large: the connection must be closed.
    pub fn next_message(&mut self) -> Result<Option<Message>, TdsError> {
        while let [kind, status, high, low, ..] = self.raw[..] {
            let length = usize::from(u16::from_be_bytes([high, low]));
            let kind = MessageKind::from_byte(kind)?;
            if length < HEADER {
                return Err(TdsError::Malformed("a packet is shorter than its header"));
            }
            if self.raw.len() < length {
                return Ok(None);
            }
            let message = self.message.get_or_insert(Message { kind, payload: Vec::new() });
            if message.kind != kind {
                return Err(TdsError::Malformed("the packets of a message differ in type"));
            }
            if message.payload.len() + length - HEADER > self.limit {
                return Err(TdsError::TooLarge(self.limit));
            }
            message.payload.extend_from_slice(&self.raw[HEADER..length]);
            self.raw.drain(..length);
            if status & STATUS_END_OF_MESSAGE != 0 {
                return Ok(self.message.take());
            }
        }
        Ok(None)
    }
}

/// Cuts a message into packets of at most `packet_size` bytes, headers included.
pub fn packets(kind: MessageKind, payload: &[u8], packet_size: usize) -> Vec<u8> {
    let room = packet_size.clamp(512, 32_767) - HEADER;
    let count = payload.len().div_ceil(room).max(1);
    let mut out = Vec::with_capacity(payload.len() + count * HEADER);
    for index in 0..count {
        let part = &payload[index * room..payload.len().min((index + 1) * room)];
        let length = u16::try_from(part.len() + HEADER).expect("a packet has at most 32,767 bytes");
        let status = if index + 1 == count { STATUS_END_OF_MESSAGE } else { 0 };
        let number = u8::try_from((index + 1) & 0xff).expect("masked to eight bits");
        out.extend_from_slice(&[kind.byte(), status]);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&[0, 0, number, 0]);
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_into_packets_and_comes_back_whole_byte_by_byte() {
        let payload: Vec<u8> = (0..10_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let sent = packets(MessageKind::TabularResult, &payload, 512);
        let mut assembler = Assembler::new(10_000);

        let mut received = Vec::new();
        for byte in sent {
            assembler.feed(&[byte]);
            received.extend(assembler.next_message().unwrap());
        }

        assert_eq!(received, [Message { kind: MessageKind::TabularResult, payload }]);
    }

    #[test]
    fn a_message_over_the_limit_is_refused_before_it_is_complete() {
        let sent = packets(MessageKind::Batch, &[0; 5000], 4096);
        let mut assembler = Assembler::new(4999);
        assembler.feed(&sent);

        assert_eq!(assembler.next_message(), Err(TdsError::TooLarge(4999)));
    }
}
