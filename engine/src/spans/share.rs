//! Which traces are recorded of those that begin here.

/// A share of all traces, chosen by their ids: every service that records the same share, or a larger one,
/// records these too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u64);

/// As many ids as OpenTelemetry's sampler by ratio tells apart: those of 63 bits.
const IDS: u64 = 1 << 63;

impl Share {
    /// Every trace.
    pub const ALL: Self = Self(IDS);

    /// This part of all traces; none where it is not from 0 to 1.
    pub fn of(part: f64) -> Option<Self> {
        // Exact at both ends, and to some 53 bits between.
        (0.0..=1.0).contains(&part).then_some(Self((part * IDS as f64) as u64))
    }

    /// Whether a trace is among them, by the lower bits of its id, which are random in any case.
    pub(super) const fn holds(self, trace: u128) -> bool {
        (trace as u64 >> 1) < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::TraceParent;
    use opentelemetry::trace::{SpanKind, TraceId};
    use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample};

    #[test]
    fn the_same_traces_are_chosen_as_by_opentelemetry_s_own_sampler() {
        for part in [0.0, 0.001, 0.25, 0.5, 0.999, 1.0] {
            let (ours, theirs) = (Share::of(part).unwrap(), Sampler::TraceIdRatioBased(part));
            for n in 0..500 {
                let trace = TraceParent::root(&n.to_string()).trace;
                let id = TraceId::from_bytes(trace.to_be_bytes());
                let chosen = theirs.should_sample(None, id, "", &SpanKind::Internal, &[], &[]);
                let chosen = chosen.decision == SamplingDecision::RecordAndSample;
                assert_eq!(ours.holds(trace), chosen, "{part}: {trace:032x}");
            }
        }
    }

    #[test]
    fn a_share_is_from_none_to_all() {
        for part in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Share::of(part), None);
        }
        assert_eq!(Share::of(1.0), Some(Share::ALL));
    }
}
