//! The checkpoints in one file that `fixtures/single_file` describes, and the ControlNets of `fixtures/controlnet`.

use crate::Fixture;
use crate::drawn_weights::DrawnWeights;

/// The checkpoint of this name.
pub fn checkpoint(name: &str) -> DrawnWeights {
    let fixture = Fixture::open("single_file");
    let model = fixture.list("models").iter().find(|model| model["name"] == name);
    let model = model.unwrap_or_else(|| panic!("the fixture has no model `{name}`"));
    DrawnWeights::new(model, fixture.cases["seed"].as_u64().unwrap())
}

/// The ControlNet of this name.
pub fn controlnet(name: &str) -> DrawnWeights {
    let fixture = Fixture::open("controlnet");
    let described = &fixture.cases["nets"][name];
    DrawnWeights::new(described, described["seed"].as_u64().unwrap_or_else(|| panic!("no ControlNet `{name}`")))
}
