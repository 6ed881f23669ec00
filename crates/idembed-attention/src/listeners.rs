//! Several listeners at the hook of one forward pass.

use idembed_diffusion::hook::{AttentionHook, Observed, Site};

/// Passes what the hook receives to each listener that wants it, in order.
#[derive(Default)]
pub struct Listeners<'a> {
    listeners: Vec<&'a mut dyn AttentionHook>,
}

impl std::fmt::Debug for Listeners<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listeners").field("count", &self.listeners.len()).finish()
    }
}

impl<'a> Listeners<'a> {
    /// A hook without listeners.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a listener.
    pub fn with(mut self, listener: &'a mut dyn AttentionHook) -> Self {
        self.listeners.push(listener);
        self
    }
}

impl AttentionHook for Listeners<'_> {
    fn wants(&self, site: &Site<'_>) -> bool {
        self.listeners.iter().any(|listener| listener.wants(site))
    }

    fn observe(&mut self, site: &Site<'_>, observed: &Observed<'_>) -> idembed_diffusion::Result<()> {
        for listener in &mut self.listeners {
            if listener.wants(site) {
                listener.observe(site, observed)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    struct Only {
        layer: usize,
        seen: usize,
    }

    impl AttentionHook for Only {
        fn wants(&self, site: &Site<'_>) -> bool {
            site.index == self.layer
        }

        fn observe(&mut self, _: &Site<'_>, _: &Observed<'_>) -> idembed_diffusion::Result<()> {
            self.seen += 1;
            Ok(())
        }
    }

    #[test]
    fn each_hears_only_what_it_wants() {
        let (mut first, mut second) = (Only { layer: 0, seen: 0 }, Only { layer: 1, seen: 0 });
        let mut both = Listeners::new().with(&mut first).with(&mut second);
        let nothing = Tensor::zeros([1, 1, 1, 1], (Kind::Float, Device::Cpu));
        let site = |index| Site { index, name: "attn2", heads: 1, height: 1, width: 1 };
        assert!(both.wants(&site(0)) && both.wants(&site(1)) && !both.wants(&site(2)));
        let observed = Observed { query: &nothing, key: &nothing, probs: &nothing };
        for index in [0, 0, 1] {
            both.observe(&site(index), &observed).unwrap();
        }
        assert_eq!((first.seen, second.seen), (2, 1));
    }
}
