//! Links the addon against Node-API when the feature `napi` is on; nothing otherwise.

fn main() {
    #[cfg(feature = "napi")]
    napi_build::setup();
}
