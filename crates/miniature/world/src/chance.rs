//! Random numbers that are the same on every machine and independent for every purpose.
//!
//! A counter is scrambled by the finaliser of SplitMix64 (Steele, Lea, Flood 2014): integers and exact conversions only,
//! so that no platform can round a decision differently.

/// The increment of SplitMix64: 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Scrambles all bits.
pub(crate) const fn scramble(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// A sequence of random numbers for one purpose.
#[derive(Clone, Debug)]
pub(crate) struct Chance {
    key: u64,
    count: u64,
}

impl Chance {
    /// The sequence of a seed for a purpose. Another purpose is another sequence, so that a new factor never shifts
    /// the draws of the others.
    pub(crate) fn new(seed: u64, purpose: &str) -> Chance {
        // FNV-1a folds the purpose into 64 bits.
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        let purpose = purpose.bytes().fold(0xCBF2_9CE4_8422_2325, fold);
        Chance { key: scramble(scramble(seed.wrapping_add(GOLDEN)) ^ purpose), count: 0 }
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.count += 1;
        scramble(self.key.wrapping_add(self.count.wrapping_mul(GOLDEN)))
    }

    /// From 0 to 1, without 1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// Evenly from `low` to `high`.
    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Around a centre, at most `reach` away, the centre more often: the mean of two even draws.
    pub(crate) fn around(&mut self, centre: f32, reach: f32) -> f32 {
        centre + reach * (self.unit() + self.unit() - 1.0)
    }

    /// True with this probability.
    pub(crate) fn happens(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// One of the items, each as likely.
    pub(crate) fn pick<T: Copy, const N: usize>(&mut self, items: [T; N]) -> T {
        items[(self.bits() % N as u64) as usize]
    }

    /// One of the items, in proportion to its weight.
    pub(crate) fn weigh<T: Copy, const N: usize>(&mut self, items: [(T, f32); N]) -> T {
        let total: f32 = items.iter().map(|(_, weight)| weight).sum();
        let mut left = self.unit() * total;
        let mut chosen = items[0].0;
        for (item, weight) in items {
            chosen = item;
            if left < weight {
                break;
            }
            left -= weight;
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_and_seeds_give_sequences_of_their_own() {
        let draw = |seed, purpose| Chance::new(seed, purpose).bits();
        assert_eq!(draw(1, "scene"), draw(1, "scene"));
        assert_ne!(draw(1, "scene"), draw(1, "style"));
        assert_ne!(draw(1, "scene"), draw(2, "scene"));
    }

    #[test]
    fn draws_follow_the_stated_shares() {
        let mut chance = Chance::new(7, "test");
        let count = 20_000;
        let heavy = (0..count).filter(|_| chance.weigh([('a', 3.0), ('b', 1.0)]) == 'a').count();
        assert!((heavy as f32 / count as f32 - 0.75).abs() < 0.02, "{heavy}");
        let picked = (0..count).filter(|_| chance.pick([0, 1, 2, 3, 4]) == 3).count();
        assert!((picked as f32 / count as f32 - 0.2).abs() < 0.02, "{picked}");
        let mean = (0..count).map(|_| chance.around(2.0, 1.0)).sum::<f32>() / count as f32;
        assert!((mean - 2.0).abs() < 0.02, "{mean}");
    }
}
