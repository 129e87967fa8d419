//! `tripline execution resolve`: a person says what became of a step.

use model::{ExecutionId, Resolution, StepPath, Value};
use serde_json::json;

use crate::client::{Connection, segment};
use crate::failure::{Exit, Failure, Outcome};
use crate::{input, output};

const EXAMPLES: &str = "\
Examples:
  tripline execution resolve ex_… --done --result '{\"id\": 7}'   it was done, with this result
  tripline execution resolve ex_… --retry                       do it again
  tripline execution resolve ex_… --fail 'the host is gone'     go on as if it had failed";

/// Which step, and what became of it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("resolution").required(true).args(["done", "retry", "fail"]))]
pub(crate) struct Args {
    /// The execution
    #[arg(value_name = "ID")]
    id: ExecutionId,
    /// The step [default: the one that needs attention]
    #[arg(long, value_name = "PATH")]
    step: Option<StepPath>,
    /// It was done; needs --result
    #[arg(long, requires = "result")]
    done: bool,
    /// What it returned, in JSON or YAML
    #[arg(long, value_name = "JSON", requires = "done")]
    result: Option<String>,
    /// It is performed again
    #[arg(long)]
    retry: bool,
    /// It failed, with this message
    #[arg(long, value_name = "MESSAGE")]
    fail: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Args {
    pub(super) async fn run(self) -> Outcome {
        let body = json!({ "step": self.step, "resolution": self.resolution()? });
        let path = format!("/executions/{}/resolve", segment(self.id.as_str()));
        self.connection.client()?.post(&path, &body).await?;
        output::say(&format!("it is decided; watch it: tripline execution watch {}", self.id))?;
        Ok(Exit::Done)
    }

    fn resolution(&self) -> Result<Resolution, Failure> {
        Ok(match (&self.fail, self.retry) {
            (Some(message), _) => Resolution::Fail(message.clone()),
            (None, true) => Resolution::Retry,
            (None, false) => {
                let text = self.result.as_deref().unwrap_or_default();
                let result: Value = input::value("--result", text)?;
                Resolution::Done(result)
            }
        })
    }
}
