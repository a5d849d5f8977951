//! The nouns of the trade: no clock, no I/O, no async.

mod calendar;
mod cost;
mod gate;
mod guid;
mod handlers;
mod health;
mod host;
mod id;
mod inventory;
mod max_fail;
mod outcome;
mod parents;
mod path;
mod playbook;
mod policy;
mod read_only_select;
mod rejection;
mod safeguards;
mod selector;
mod sourced;
mod tags;
mod time;
mod url;
mod window;
mod work;
mod zone;

pub use calendar::{Hours, Odd, Oddity, Opening};
pub use cost::{Cost, Draw, Due, LimitName};
pub use gate::{Gate, GateAsk, GateQuery, GateVerdict, NsBounds};
pub use guid::{Guid, ParseGuidError};
pub use handlers::HandlerSet;
pub use health::NsHealth;
pub use host::{Credential, CredentialName, Host, Vars};
pub use id::{HostName, PlayNo, RunId, StepId, TaskId, WaveNo};
pub use inventory::{Group, Inventory, VarLevel, VarOrigin};
pub use max_fail::{BudgetKind, MaxFail, Tolerance};
pub use outcome::{FailureClass, Outcome, StepFailure};
pub use parents::{Parents, is_same_server};
pub use path::{ParsePathError, WindowsPath};
pub use playbook::{
    ActionCall, Block, Causes, Oracle, Play, Playbook, Retry, Task, TaskFlow, Unmet, WorkQuery,
};
pub use policy::{
    Adapt, Batch, LimitScope, LimitSpec, Limits, Order, ParsePolicyError, Rate, share_of,
    wave_sizes,
};
pub use read_only_select::ReadOnlySelect;
pub use rejection::{CredentialVersion, Rejection};
pub use safeguards::Safeguards;
pub use selector::{ParseSelectorError, Selector};
pub use sourced::{Ambiguous, HostOrigin, InventorySource, Merged, SourcedServer};
pub use tags::TagChoice;
pub use time::{Elapsed, Now, ParseSpanError, TimeScale, format_span, parse_span};
pub use url::{HttpUrl, ParseUrlError};
pub use window::{AtClose, ClockTime, Days, Fold, ParseWindowError, Weekday, Window, WindowZone};
pub use work::{MatchedWork, ServerIdentity, WorkRow, match_work};
pub use zone::{OnTheWall, UnknownZone, Zone};
