//! Answer bodies, whole and cut.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// The connection is to end without a (whole) answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer is cut on purpose")]
pub(super) struct Cut;

/// A body that may break off.
#[derive(Debug)]
pub(super) struct AnswerBody {
    length: u64,
    data: Option<Bytes>,
    /// What happens after the data, for a body that announces more than it has.
    rest: Rest,
}

#[derive(Debug, PartialEq)]
enum Rest {
    End,
    /// The data is written before the connection breaks.
    Flush,
    Break,
}

impl AnswerBody {
    /// The whole answer.
    pub(super) fn whole(data: impl Into<Bytes>) -> Self {
        let data = data.into();
        Self { length: data.len() as u64, data: Some(data), rest: Rest::End }
    }

    /// The first half of this answer, after which the connection breaks.
    pub(super) fn cut_in_half(self) -> Self {
        let data = self.data.unwrap_or_default();
        let half = data.slice(..data.len() / 2);
        Self { length: self.length.max(1), data: Some(half), rest: Rest::Flush }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(data) = self.data.take().filter(|data| !data.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match self.rest {
            Rest::End => Poll::Ready(None),
            Rest::Flush => {
                self.rest = Rest::Break;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Rest::Break => Poll::Ready(Some(Err(Cut))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest == Rest::End && self.data.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}
