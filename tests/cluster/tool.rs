//! Prints the path of a tool of the tests, such as `helm`. It builds the tool first if the machine lacks it.

use std::env;

use anyhow::{Context, Result};
use cluster::{Tool, find_tool};

fn main() -> Result<()> {
    let name = env::args().nth(1).context("no tool is named: call it as `tool helm`")?;
    let tool = Tool::ALL.into_iter().find(|tool| tool.name() == name);
    let path = find_tool(tool.with_context(|| format!("{name} is no tool of the tests"))?)?;
    println!("{}", path.display());
    Ok(())
}
