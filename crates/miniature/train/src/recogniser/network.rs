//! The network with what its training needs besides.

use idembed_face::recognise::CompactResNet;
use idembed_weights::{Init, Parameters, Weights};
use tch::{Kind, Tensor};

use super::traits;
use crate::Result;

/// The part of the parameters that is the network.
pub(super) const NETWORK: &str = "network";
/// The part that only training needs.
const HEAD: &str = "head";

/// A recogniser, and where the people that it learns from should be.
///
/// The centre of a person is a linear image of their traits plus something of their own. So people who look alike share
/// what was learned about each, and a few dozen pictures of each are enough.
#[derive(Debug)]
pub struct Learner {
    pub(super) recogniser: CompactResNet,
    /// `[people, traits::COUNT]`
    table: Tensor,
    /// `[DIMENSION, traits::COUNT]`
    to_centre: Tensor,
    /// `[people, DIMENSION]`
    own: Tensor,
}

impl Learner {
    /// `table` holds the traits of the people.
    pub(super) fn build(parameters: &Parameters, kind: Kind, table: &[f32]) -> Result<Self> {
        let recogniser = CompactResNet::from_weights(Weights::from_parameters(&parameters.part(NETWORK), kind))?;
        let head = Weights::from_parameters(&parameters.part(HEAD), Kind::Float);
        let (head, people) = (head.root(), (table.len() / traits::COUNT) as i64);
        let count = traits::COUNT as i64;
        Ok(Learner {
            recogniser,
            table: Tensor::f_from_slice(table)?.f_view([people, count])?.f_to_device(parameters.device())?,
            to_centre: head.tensor("traits.weight", &[CompactResNet::DIMENSION, count], Init::fan_in(count))?,
            own: head.tensor("people.bias", &[people, CompactResNet::DIMENSION], Init::ZEROS)?,
        })
    }

    /// Where each person's pictures should be.
    ///
    /// # Shapes
    /// - returns: `[people, DIMENSION]`
    pub(super) fn centres(&self) -> Result<Tensor> {
        Ok(self.table.f_linear(&self.to_centre, None::<&Tensor>)?.f_add(&self.own)?)
    }
}
