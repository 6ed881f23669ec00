//! Embeddings that take turns in ComfyUI: one conditioning for each, held to a range of the run.
//!
//! `ConditioningSetTimestepRange` has a `start` and an `end` between 0 and 1. ComfyUI takes `p` for the noise level of timestep
//! `999 (1 - p)`, interpolated where that is no whole number (`percent_to_sigma` in `comfy/model_sampling.py`; 0 stands for any level
//! and 1 for none), and draws a step with the conditionings whose range holds its noise level, ends included
//! (`get_area_and_mult` in `comfy/samplers.py`). So a range is one of timesteps, as our stages are, for every sampler, schedule and
//! number of steps.

use serde_json::{Map, Value, json};

use crate::{Result, TokensError};

/// Number of timesteps that ComfyUI's models of this kind were trained with.
const TRAIN_TIMESTEPS: usize = 1000;

/// A stage holds from its lowest timestep on, that included, and both ranges that meet include the end: they meet a little below.
/// Numbers are f32 there, and noise levels some thousandths of their size apart from timestep to timestep.
const BELOW: f64 = 0.01;

/// `start` and `end` of each stage, the noisiest first.
pub(super) fn ranges(stages: usize, train_timesteps: usize) -> Result<Vec<[f64; 2]>> {
    if train_timesteps != TRAIN_TIMESTEPS {
        let expected = format!("{TRAIN_TIMESTEPS}, as ComfyUI has");
        return Err(TokensError::Setting {
            what: "number of training timesteps",
            got: train_timesteps.to_string(),
            expected,
        });
    }
    let lowest = |stage: usize| ((stages - 1 - stage) * train_timesteps) as f64 / stages as f64;
    let end = |stage: usize| match stage + 1 == stages {
        true => 1.0,
        false => 1.0 - (lowest(stage) - BELOW) / (TRAIN_TIMESTEPS - 1) as f64,
    };
    Ok((0..stages).map(|stage| [if stage == 0 { 0.0 } else { end(stage - 1) }, end(stage)]).collect())
}

/// Nodes in the form of ComfyUI's API: a checkpoint to be named, a text for each stage, held to its range, and their combination,
/// the node `conditioning`, to be a sampler's `positive`.
pub(super) fn workflow(texts: &[String], ranges: &[[f64; 2]]) -> Value {
    let mut nodes = Map::new();
    let mut add = |name: &str, class: &str, title: &str, inputs: Value| {
        nodes.insert(name.to_owned(), json!({ "class_type": class, "inputs": inputs, "_meta": { "title": title } }));
    };
    add("model", "CheckpointLoaderSimple", "the model it was learned for", json!({ "ckpt_name": "MODEL.safetensors" }));
    let count = texts.len();
    for (index, (text, [start, end])) in texts.iter().zip(ranges).enumerate() {
        let number = index + 1;
        let title = format!("stage {number} of {count}");
        add(&format!("text-{number}"), "CLIPTextEncode", &title, json!({ "text": text, "clip": ["model", 1] }));
        let range = json!({ "conditioning": [format!("text-{number}"), 0], "start": start, "end": end });
        let name = if count == 1 { "conditioning".to_owned() } else { format!("range-{number}") };
        add(&name, "ConditioningSetTimestepRange", &title, range);
        if index > 0 {
            let before = if index == 1 { "range-1".to_owned() } else { format!("stages-{index}") };
            let name = if number == count { "conditioning".to_owned() } else { format!("stages-{number}") };
            let both = json!({ "conditioning_1": [before, 0], "conditioning_2": [format!("range-{number}"), 0] });
            add(&name, "ConditioningCombine", "all stages up to this", both);
        }
    }
    Value::Object(nodes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use idembed_diffusion::conditioning::stage_of;

    use super::*;

    #[test]
    fn ranges_meet_at_the_stages() {
        // 1 - 799.99 / 999 and so on.
        let five = ranges(5, 1000).unwrap();
        let ends: Vec<String> = five.iter().map(|[_, end]| format!("{end:.6}")).collect();
        assert_eq!(ends, ["0.199209", "0.399409", "0.599610", "0.799810", "1.000000"]);
        assert_eq!((five[0][0], five[1][0]), (0.0, five[0][1]));
        assert_eq!(ranges(1, 1000).unwrap(), [[0.0, 1.0]]);
        assert!(ranges(5, 500).unwrap_err().to_string().contains("500, expected 1000, as ComfyUI has"));
        for stages in [1, 2, 3, 5, 7, 10, 31] {
            let ranges = ranges(stages, 1000).unwrap();
            for timestep in 0..1000 {
                let at = f64::from(timestep);
                let holds = |[start, end]: &[f64; 2]| {
                    let below_start = *start == 0.0 || at <= 999.0 * (1.0 - start);
                    below_start && (*end == 1.0 || at >= 999.0 * (1.0 - end))
                };
                let found: Vec<usize> = (0..stages).filter(|&stage| holds(&ranges[stage])).collect();
                assert_eq!(found, [stage_of(at, stages, 1000)], "{stages} {timestep}");
            }
        }
    }

    #[test]
    fn nodes_lead_to_nodes() {
        for count in [1, 2, 5] {
            let texts: Vec<String> = (1..=count).map(|number| format!("embedding:me-{number}")).collect();
            let workflow = workflow(&texts, &ranges(count, 1000).unwrap());
            let nodes = workflow.as_object().unwrap();
            assert_eq!(nodes.len(), 1 + 2 * count + (count - 1));
            let mut reached = vec!["conditioning"];
            let mut seen = Vec::new();
            while let Some(name) = reached.pop() {
                let inputs = nodes[name]["inputs"].as_object().unwrap();
                reached.extend(inputs.values().filter_map(|input| input[0].as_str()).filter(|name| *name != "model"));
                seen.push(name);
            }
            assert_eq!(seen.len(), nodes.len() - 1, "every node but the model is reached once");
        }
    }
}
