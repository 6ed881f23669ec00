//! A ControlNet in a file of its own, in the layout of the original code: the way down of a U-Net, and what it adds.

use idembed_weights::{Alias, Listing};

use crate::{Table, replaced, unet};

/// Before all names where training wrote them, or nothing.
const PREFIXES: [&str; 2] = ["control_model.", ""];

/// Where the tensors of a ControlNet lie.
pub fn table(file: &Listing) -> Table {
    let prefix = prefix(file);
    let mut table = unet::table_below(file, prefix);
    let names = file.below(prefix).filter_map(|name| name.strip_prefix(prefix));
    table.extend(names.filter_map(|old| Some((new_name(old)?, Alias::of(format!("{prefix}{old}"))))));
    table
}

/// What stands before all names.
pub fn prefix(file: &Listing) -> &'static str {
    PREFIXES.into_iter().find(|prefix| file.has_below(&format!("{prefix}input_hint_block."))).unwrap_or_default()
}

fn new_name(old: &str) -> Option<String> {
    if let Some(new) = replaced(old, &[("middle_block_out.0", "controlnet_mid_block")]) {
        return Some(new);
    }
    if let Some(rest) = old.strip_prefix("zero_convs.") {
        let (index, inner) = rest.split_once(".0.")?;
        return Some(format!("controlnet_down_blocks.{index}.{inner}"));
    }
    // Between the convolutions, which have even numbers, stand activations.
    let (number, kind) = old.strip_prefix("input_hint_block.")?.split_once('.')?;
    let conv = match number.parse::<usize>().ok()? {
        0 => "conv_in".to_owned(),
        14 => "conv_out".to_owned(),
        number if number % 2 == 0 => format!("blocks.{}", number / 2 - 1),
        _ => return None,
    };
    Some(format!("controlnet_cond_embedding.{conv}.{kind}"))
}
