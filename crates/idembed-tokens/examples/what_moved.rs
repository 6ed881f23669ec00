//! How far learning has moved the vectors of identities: their norms, and their cosines to the class word, where learning
//! began; the means over stages, words and files.
//!
//! `cargo run -p idembed-tokens --example what_moved -- models/mini me.identity.safetensors`

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::error::Error;
use std::path::Path;

use idembed_diffusion::{Compute, StableDiffusion};
use idembed_tokens::{Identity, class_vectors};
use tch::{Kind, Tensor};

/// The sums of norms and cosines of rows.
#[derive(Default)]
struct Moved {
    norms: f64,
    cosines: f64,
    rows: i64,
}

impl Moved {
    fn add(&mut self, rows: &Tensor, class: &Tensor) -> Result<(), tch::TchError> {
        let sum = |values: Tensor| values.f_sum(Kind::Double)?.f_double_value(&[]);
        self.norms += sum(rows.f_norm_scalaropt_dim(2.0, [1i64], false)?)?;
        self.cosines += sum(Tensor::f_cosine_similarity(rows, class, 1, 1e-12)?)?;
        self.rows += rows.size()[0];
        Ok(())
    }

    fn print(&self, what: &str) {
        let (norm, cosine) = (self.norms / self.rows as f64, self.cosines / self.rows as f64);
        println!("{what}: norm {norm:.2}, cosine to the class word {cosine:.2}");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), files) = (arguments.next(), arguments) else {
        return Err("name the folder of a model and identity files".into());
    };
    let model = StableDiffusion::load(Path::new(&folder), Compute::CPU_F32)?;
    let (mut class_word, mut keys, mut values) = (Moved::default(), Moved::default(), Moved::default());
    for file in files {
        let identity = Identity::read(Path::new(&file))?;
        for (rows, class) in identity.encoders.iter().zip(class_vectors(&model, &identity.class)?) {
            class_word.add(&class, &class)?;
            keys.add(&rows.k, &class)?;
            values.add(&rows.v, &class)?;
        }
    }
    if keys.rows == 0 {
        return Err("name identity files".into());
    }
    class_word.print("class word");
    keys.print("keys");
    values.print("values");
    Ok(())
}
