//! Checks every index of a namespace against its tasks.

/// Says what does not fit.
pub fn verify(connection: &mut redis::Connection, namespace: &str) -> Result<(), String> {
    let mut command = redis::cmd("EVAL");
    command.arg(include_str!("verify.lua")).arg(1).arg(format!("{{task:{namespace}}}:"));
    let wrong: Vec<String> = command.query(connection).map_err(|error| error.to_string())?;
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}
