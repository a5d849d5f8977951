//! The exchange before the login ([MS-TDS] 2.2.6.5).

use super::read::{Reader, TdsError};

/// What a side says about encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Encryption {
    /// Only the login is encrypted.
    Off = 0,
    /// Everything is encrypted.
    On = 1,
    /// No encryption is possible.
    NotSupported = 2,
    /// Encryption is demanded.
    Required = 3,
}

/// Reads the client's word on encryption; `Off` where it says nothing.
pub fn read_prelogin(payload: &[u8]) -> Result<Encryption, TdsError> {
    let mut options = Reader::new(payload);
    loop {
        let token = options.u8()?;
        if token == 0xff {
            return Ok(Encryption::Off);
        }
        let offset = usize::from(u16::from_be_bytes(options.array()?));
        let length = usize::from(u16::from_be_bytes(options.array()?));
        let data = payload
            .get(offset..offset + length)
            .ok_or(TdsError::Malformed("a prelogin option points outside the message"))?;
        if token == 1 {
            return match data {
                [0] => Ok(Encryption::Off),
                [1] => Ok(Encryption::On),
                [2] => Ok(Encryption::NotSupported),
                [3] => Ok(Encryption::Required),
                _ => Err(TdsError::Malformed("the prelogin's encryption option is unknown")),
            };
        }
    }
}

/// Writes the server's answer: version 15.0 (SQL Server 2019), no MARS.
pub fn write_prelogin(encryption: Encryption) -> Vec<u8> {
    let options: [(u8, &[u8]); 5] =
        [(0, &SERVER_VERSION), (1, &[encryption as u8]), (2, &[0]), (3, &[]), (4, &[0])];
    let mut offset = options.len() * 5 + 1;
    let (mut head, mut data) = (Vec::new(), Vec::new());
    for (token, value) in options {
        head.push(token);
        head.extend_from_slice(&u16::try_from(offset).expect("a few bytes").to_be_bytes());
        head.extend_from_slice(&u16::try_from(value.len()).expect("a few bytes").to_be_bytes());
        data.extend_from_slice(value);
        offset += value.len();
    }
    head.push(0xff);
    head.extend(data);
    head
}

/// Major, minor, build (big-endian), sub-build: 15.0.2000.
const SERVER_VERSION: [u8; 6] = [15, 0, 0x07, 0xd0, 0, 0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for encryption in [Encryption::Off, Encryption::NotSupported, Encryption::Required] {
            assert_eq!(read_prelogin(&write_prelogin(encryption)), Ok(encryption));
        }
    }

    #[test]
    fn an_option_that_points_outside_is_refused() {
        assert!(read_prelogin(&[1, 0xff, 0xff, 0, 1, 0xff]).is_err());
        assert!(read_prelogin(&[]).is_err());
    }
}
