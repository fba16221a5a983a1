//! The one way from our threads to JavaScript: a function that says "there is something".
//!
//! Calls are coalesced by a flag that `turn` clears. The ThreadsafeFunction is weak: it never keeps the
//! process alive. It is taken out and dropped on the JS thread when the environment ends (dropping the last
//! reference on another thread aborts the process).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Result, Status};

use crate::engine::Host;

type WakeFunction = ThreadsafeFunction<(), (), (), Status, false, true>;

pub(super) struct Wake {
    function: RwLock<Option<WakeFunction>>,
    sent: AtomicBool,
}

impl Wake {
    pub fn new(function: &Function<'_, (), ()>) -> Result<Arc<Self>> {
        let function =
            function.build_threadsafe_function::<()>().weak::<true>().callee_handled::<false>().build()?;
        Ok(Arc::new(Self { function: RwLock::new(Some(function)), sent: AtomicBool::new(false) }))
    }

    /// JavaScript is looking: the next `wake` has to call again.
    pub fn seen(&self) {
        self.sent.store(false, Ordering::Release);
    }

    /// The environment ends. Only on the JS thread.
    pub fn end(&self) {
        let function = self.function.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(function);
    }
}

impl Host for Wake {
    fn wake(&self) {
        if self.sent.swap(true, Ordering::AcqRel) {
            return;
        }
        // The read lock is held over the call, so that `end` waits for it.
        let function = self.function.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = &*function {
            function.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}
