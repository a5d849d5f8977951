//! The login message ([MS-TDS] 2.2.6.4).

use super::read::{Reader, TdsError, utf16};
use crate::secret::Secret;

/// What a client says when it logs in with a user and a password.
#[derive(Debug)]
pub struct Login7 {
    /// The version it speaks, such as `0x7400_0004`.
    pub tds_version: u32,
    /// The packet size it wants.
    pub packet_size: u32,
    /// The user; empty when it wants integrated security.
    pub user: String,
    /// The password.
    pub password: Secret<String>,
    /// The program's name.
    pub application: String,
    /// The database to begin in; may be empty.
    pub database: String,
    /// Whether it wants integrated security in place of user and password.
    pub integrated: bool,
}

/// TDS 7.2, from which on the tokens have the form that is written here.
pub const OLDEST_TDS_VERSION: u32 = 0x7209_0002;
/// TDS 7.4.
pub const NEWEST_TDS_VERSION: u32 = 0x7400_0004;

impl Login7 {
    /// Reads the message.
    pub fn parse(payload: &[u8]) -> Result<Self, TdsError> {
        let mut fixed = Reader::new(payload);
        let length = fixed.u32()?;
        if usize::try_from(length).map_or(true, |length| length > payload.len()) {
            return Err(TdsError::Malformed("the login is cut off"));
        }
        let tds_version = fixed.u32()?;
        let packet_size = fixed.u32()?;
        // Program version, process, connection, option flags 1.
        fixed.take(4 + 4 + 4 + 1)?;
        let integrated = fixed.u8()? & 0x80 != 0;
        // Type flags, option flags 3, time zone, language.
        fixed.take(1 + 1 + 4 + 4)?;
        let mut field = || -> Result<&[u8], TdsError> {
            let (offset, units) = (usize::from(fixed.u16()?), usize::from(fixed.u16()?));
            payload
                .get(offset..offset + units * 2)
                .ok_or(TdsError::Malformed("a field of the login points outside it"))
        };
        let _host = field()?;
        let user = utf16(field()?)?;
        let scrambled = field()?;
        let application = utf16(field()?)?;
        let _server = field()?;
        let _extension = field()?;
        let _library = field()?;
        let _language = field()?;
        let database = utf16(field()?)?;
        let mut plain: Vec<u8> =
            scrambled.iter().map(|byte| (byte ^ 0xa5).rotate_left(4)).collect();
        let password = Secret::new(utf16(&plain)?);
        zeroize::Zeroize::zeroize(&mut plain);
        Ok(Self { tds_version, packet_size, user, password, application, database, integrated })
    }
}
