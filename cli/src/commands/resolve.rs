//! `tripline execution resolve`: a person says what became of a step.

use model::{ExecutionId, Resolution, StepPath, Value};
use serde_json::json;

use crate::client::{Connection, segment};
use crate::failure::{Exit, Failure, Outcome};
use crate::{input, output};

const EXAMPLES: &str = "\
Examples:
  tripline execution resolve ex_… --step 2 --done --result '{\"id\": 7}'   it was done: its result
  tripline execution resolve ex_… --step 2 --retry                       do it again
  tripline execution resolve ex_… --step 2 --fail 'the host is gone'     go on as if it had failed";

/// Which step, and what became of it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("resolution").required(true).args(["done", "retry", "fail"]))]
pub(crate) struct Args {
    /// The execution
    #[arg(value_name = "ID")]
    id: ExecutionId,
    /// The step [default: the one that needs attention now]
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
        let resolution = self.resolution()?;
        let client = self.connection.client()?;
        let path = format!("/executions/{}", segment(self.id.as_str()));
        let step = match &self.step {
            Some(step) => Some(step.clone()),
            None => asked_about(&client.get(&path, &[]).await?)?,
        };
        let body = json!({ "step": step, "resolution": resolution });
        client.post(&format!("{path}/resolve"), &body).await?;
        let what = step.map_or_else(|| "it".to_owned(), |step| format!("step {step}"));
        output::say(&format!("{what} is decided; watch it: tripline execution watch {}", self.id))?;
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

/// The step that needs attention now, if any: said by name, a later one is not decided in its place.
fn asked_about(execution: &Value) -> Result<Option<StepPath>, Failure> {
    let path = execution["attention"]["path"].as_str().map(str::parse).transpose();
    path.map_err(|error| {
        Failure::new(Exit::Failed, "answer", format!("the server's answer: {error}"))
    })
}
