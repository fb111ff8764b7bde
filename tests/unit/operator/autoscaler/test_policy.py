"""How many replicas a service asks for."""

from __future__ import annotations

import pytest

from kat_operator.api import AutoscalingSpec, ReplicasSpec
from kat_operator.autoscaler.observation import Decision, Observation
from kat_operator.autoscaler.policy import PolicyState, Reason, decide
from tests.fakes.observations import AUTOSCALING, SLOTS, Autoscaler, an_observation, some_signals

WINDOW = AUTOSCALING.scale_down_window_seconds


def decided(observation: Observation, *, least: int = 1, most: int = 100, state: PolicyState | None = None) -> Decision:
    return decide(AUTOSCALING, ReplicasSpec(min=least, max=most), state or PolicyState(), observation)[0]


class TestUp:
    def test_as_many_as_the_load_fills_are_asked_for_at_once(self) -> None:
        decision = decided(an_observation(some_signals(in_flight=5.5 * SLOTS), ready=1))
        assert (decision.replicas, decision.reason) == (6, Reason.IN_FLIGHT)

    def test_a_shift_to_thinking_at_constant_rate_scales_out_before_queues_build(self) -> None:
        scaler = Autoscaler(ready=2)
        # 10 requests a second: 1 x 20 s + 9 x 2 s fill 38 slots, 6 x 20 s + 4 x 2 s will fill 128.
        scaler.sees_for(600, some_signals(in_flight=38, per_second=10, think_on=0.1))
        assert scaler.ready == 2
        decision = scaler.sees(some_signals(in_flight=45, queued=0, per_second=10, think_on=0.6))
        assert decision.replicas == 5

    def test_the_arrivals_of_refused_requests_count(self) -> None:
        shown = some_signals(in_flight=SLOTS, per_second=10, rejected=50)
        assert decided(an_observation(shown, ready=2)).replicas > 2

    def test_replicas_on_their_way_are_not_asked_for_again(self) -> None:
        decision = decided(an_observation(some_signals(in_flight=3 * SLOTS), ready=1, starting=2))
        assert (decision.replicas, decision.reason) == (3, Reason.STEADY)

    def test_a_wish_within_the_band_changes_nothing(self) -> None:
        decision = decided(an_observation(some_signals(in_flight=10.5 * SLOTS), ready=10))
        assert (decision.replicas, decision.bounds) == (10, ("band",))

    def test_a_climbing_load_is_met_where_it_will_be_when_a_replica_has_started(self) -> None:
        scaler = Autoscaler(ready=2)
        climbing = [SLOTS * (1 + second / 200) for second in range(0, 405, 5)]
        decision = scaler.sees_all(some_signals(in_flight=slots, per_second=slots / 2) for slots in climbing)
        # Three replicas' worth now, and 1.2 more in one and a half start-ups.
        assert decision.replicas == 4
        assert max(decision.wishes, key=lambda wish: wish.replicas).law == "trend"

    def test_a_load_that_has_surged_keeps_room_for_the_next_surge(self) -> None:
        scaler = Autoscaler()
        scaler.sees_for(600, some_signals(in_flight=5))
        scaler.sees_for(900, some_signals(in_flight=3.6 * SLOTS))
        assert scaler.ready == 4
        decision = scaler.sees_for(1_800, some_signals(in_flight=5))
        # Sized without headroom: 108 requests in flight on 40 a replica.
        assert (decision.replicas, max(decision.wishes, key=lambda wish: wish.replicas).law) == (3, "surge")

    @pytest.mark.parametrize(
        ("memory", "quiet", "law"),
        [(3_600.0, 2_400, "surge"), (3_600.0, 3_600, "in_flight"), (0.0, 600, "in_flight")],
        ids=["within its memory", "after it", "without one"],
    )
    def test_a_surge_is_remembered_for_as_long_as_the_spec_says(self, memory: float, quiet: int, law: str) -> None:
        scaler = Autoscaler(AUTOSCALING.model_copy(update={"surge_memory_seconds": memory}))
        scaler.sees_for(600, some_signals(in_flight=5))
        scaler.sees_for(600, some_signals(in_flight=4 * SLOTS))
        decision = scaler.sees_for(quiet, some_signals(in_flight=5))
        assert max(decision.wishes, key=lambda wish: wish.replicas).law == law

    def test_a_growing_queue_tells_what_a_full_fleet_hides(self) -> None:
        scaler = Autoscaler(ready=1)
        for tick in range(8):
            decision = scaler.sees(some_signals(in_flight=40, queued=150.0 * tick, per_second=20))
        # 40 slots run on a full replica; 30 requests a second of 2 s find no place and would fill 60 more.
        wish = next(wish for wish in decision.wishes if wish.law == "in_flight")
        assert 2.5 < wish.replicas < 100 / SLOTS


class TestDown:
    def test_a_replica_goes_when_nothing_in_the_window_needed_it(self) -> None:
        scaler = Autoscaler(ready=3)
        scaler.sees_for(WINDOW, some_signals(in_flight=SLOTS))
        assert scaler.asked == [3] * 60
        decision = scaler.sees(some_signals(in_flight=SLOTS))
        assert (decision.replicas, decision.reason) == (2, Reason.SURPLUS)

    def test_replicas_go_one_at_a_time(self) -> None:
        scaler = Autoscaler(ready=10)
        scaler.sees_for(3 * WINDOW, some_signals(in_flight=1))
        assert scaler.ready < 10
        steps = [before - after for before, after in zip(scaler.asked, scaler.asked[1:], strict=False)]
        assert set(steps) == {0, 1}

    def test_a_small_fleet_gives_back_five_in_a_window_at_most(self) -> None:
        scaler = Autoscaler(ready=8)
        scaler.sees_for(WINDOW + 5, some_signals(in_flight=1))
        assert scaler.ready == 7
        scaler.sees_for(WINDOW - 5, some_signals(in_flight=1))
        assert scaler.ready == 3

    def test_the_largest_need_of_the_window_holds(self) -> None:
        scaler = Autoscaler(ready=3)
        scaler.sees_for(WINDOW - 60, some_signals(in_flight=10))
        scaler.sees_for(60, some_signals(in_flight=2.5 * SLOTS))
        decision = scaler.sees_for(WINDOW - 60, some_signals(in_flight=10))
        assert (decision.replicas, decision.reason) == (3, Reason.WINDOW)

    def test_none_goes_where_the_others_could_not_carry_the_load(self) -> None:
        scaler = Autoscaler(ready=3)
        assert scaler.sees_for(3 * WINDOW, some_signals(in_flight=2.1 * SLOTS)).replicas == 3

    def test_signals_that_were_missing_for_long_make_the_window_start_anew(self) -> None:
        scaler = Autoscaler(ready=3)
        scaler.sees_for(WINDOW, some_signals(in_flight=1))
        scaler.sees_for(WINDOW, None)
        scaler.sees_for(WINDOW, some_signals(in_flight=1))
        assert scaler.ready == 3
        assert scaler.sees(some_signals(in_flight=1)).replicas == 2

    def test_what_has_not_started_yet_goes_before_the_window_is_over(self) -> None:
        scaler = Autoscaler(ready=2)
        scaler.sees_for(WINDOW, some_signals(in_flight=1.5 * SLOTS))
        shown = some_signals(in_flight=1.5 * SLOTS)
        decision, _ = decide(
            AUTOSCALING, scaler.bounds, scaler.state, an_observation(shown, at=scaler.at, ready=2, starting=3)
        )
        assert (decision.replicas, decision.reason) == (4, Reason.SURPLUS)

    def test_a_step_that_had_to_be_taken_back_is_not_tried_again_soon(self) -> None:
        scaler = Autoscaler(ready=4)
        scaler.sees_for(WINDOW + 5, some_signals(in_flight=2.8 * SLOTS))
        assert scaler.ready == 3
        scaler.sees_for(300, some_signals(in_flight=3.5 * SLOTS))
        assert scaler.ready == 4
        decision = scaler.sees_for(3_600, some_signals(in_flight=2.8 * SLOTS))
        assert (decision.replicas, decision.bounds) == (4, ("regret",))

    def test_an_operator_that_just_started_takes_nothing_away(self) -> None:
        assert decided(an_observation(some_signals(), ready=7)).bounds == ("window",)

    def test_one_always_stays_where_the_floor_is_one(self) -> None:
        decision = Autoscaler(ready=1).sees_for(3 * WINDOW, some_signals())
        assert (decision.replicas, decision.reason) == (1, Reason.MINIMUM)


class TestBounds:
    @pytest.mark.parametrize(
        ("least", "most", "ceiling", "replicas", "reason"),
        [
            (1, 100, 100, 8, Reason.IN_FLIGHT),
            (1, 5, 100, 5, Reason.MAXIMUM),
            (1, 100, 4, 4, Reason.CAPACITY),
            (1, 5, 4, 4, Reason.CAPACITY),
            (12, 100, 100, 12, Reason.MINIMUM),
            (12, 100, 3, 3, Reason.CAPACITY),
        ],
        ids=["free", "max", "ceiling", "max and ceiling", "min", "min and ceiling"],
    )
    def test_the_spec_and_the_pools_bound_the_wish(
        self, least: int, most: int, ceiling: int, replicas: int, reason: Reason
    ) -> None:
        shown = an_observation(some_signals(in_flight=8 * SLOTS), ready=2, ceiling=ceiling)
        decision = decided(shown, least=least, most=most)
        assert (decision.replicas, decision.reason) == (replicas, reason)

    def test_what_runs_is_not_cut_by_a_lower_ceiling(self) -> None:
        assert decided(an_observation(some_signals(in_flight=9 * SLOTS), ready=5, ceiling=3)).replicas == 5

    def test_what_waits_for_a_node_in_vain_is_no_longer_asked_for(self) -> None:
        decision = decided(an_observation(some_signals(in_flight=9 * SLOTS), ready=2, starting=7, ceiling=4))
        assert (decision.replicas, decision.bounds) == (4, ("ceiling",))

    def test_a_lowered_max_takes_effect_at_once(self) -> None:
        assert decided(an_observation(some_signals(in_flight=9 * SLOTS), ready=9), most=4).replicas == 4


class TestWithoutSignals:
    def test_what_was_asked_for_is_held(self) -> None:
        decision = decided(an_observation(None, ready=3, starting=1))
        assert (decision.replicas, decision.reason, decision.bounds) == (4, Reason.METRICS_MISSING, ("hold",))

    def test_a_raised_floor_is_followed(self) -> None:
        assert decided(an_observation(None, ready=3), least=5).replicas == 5

    def test_a_floor_beyond_the_pools_asks_for_no_more_than_they_hold(self) -> None:
        decision = decided(
            an_observation(None, ready=3),
            least=9,
        )
        assert decision.replicas == 9
        limited = decided(an_observation(None, ready=3, ceiling=4), least=9)
        assert (limited.replicas, limited.reason) == (4, Reason.CAPACITY)

    def test_nothing_goes_though_the_ceiling_fell(self) -> None:
        assert decided(an_observation(None, ready=3, starting=2, ceiling=1)).replicas == 5

    def test_a_lowered_max_goes_before_the_hold(self) -> None:
        decision = decided(an_observation(None, ready=3, starting=2), most=2)
        assert (decision.replicas, decision.reason, decision.bounds) == (2, Reason.MAXIMUM, ("hold", "max"))

    def test_replicas_that_start_have_none_and_that_is_told(self) -> None:
        assert decided(an_observation(None, ready=0, starting=2)).reason == Reason.STARTING


class TestZero:
    IDLE = AUTOSCALING.idle_to_zero_seconds

    def test_an_idle_service_goes_to_zero_where_the_floor_is_zero(self) -> None:
        scaler = Autoscaler(min_replicas=0)
        scaler.sees(some_signals(in_flight=1))
        assert scaler.sees_for(self.IDLE - 5, some_signals()).replicas == 1
        decision = scaler.sees(some_signals())
        assert (decision.replicas, decision.reason) == (0, Reason.IDLE)

    def test_the_time_of_the_last_request_counts_where_it_is_known(self) -> None:
        scaler = Autoscaler(min_replicas=0)
        for _ in range(round(WINDOW / AUTOSCALING.interval_seconds)):
            decision = scaler.sees(some_signals(), since_last_request=self.IDLE + scaler.at)
        assert decision.replicas == 1
        assert scaler.sees(some_signals(), since_last_request=self.IDLE + scaler.at).replicas == 0

    def test_a_request_now_and_then_keeps_one(self) -> None:
        scaler = Autoscaler(min_replicas=0)
        for _ in range(5):
            scaler.sees_for(self.IDLE - 60, some_signals())
            scaler.sees(some_signals(in_flight=1))
        assert set(scaler.asked) == {1}

    def test_surges_of_the_past_do_not_keep_an_idle_service(self) -> None:
        scaler = Autoscaler(AutoscalingSpec(requests_per_replica=40, idle_to_zero_seconds=400), min_replicas=0)
        for _ in range(3):
            scaler.sees_for(60, some_signals(in_flight=4 * SLOTS))
            scaler.sees_for(120, some_signals())
        assert scaler.sees_for(1_000, some_signals()).replicas == 0

    def test_a_request_at_zero_brings_one(self) -> None:
        decision = decided(an_observation(None, ready=0, wanted_by_activator=True), least=0)
        assert (decision.replicas, decision.reason) == (1, Reason.ACTIVATOR)

    def test_without_a_request_zero_stays_zero(self) -> None:
        decision = decided(an_observation(None, ready=0), least=0)
        assert (decision.replicas, decision.reason) == (0, Reason.IDLE)

    def test_the_replica_that_a_request_brought_is_kept_while_it_starts(self) -> None:
        shown = an_observation(some_signals(replicas=1), ready=0, starting=1, at=10_000.0)
        assert decided(shown, least=0, state=PolicyState(active_at=0.0)).replicas == 1

    def test_no_room_in_the_pools_leaves_it_at_zero(self) -> None:
        decision = decided(an_observation(None, ready=0, ceiling=0, wanted_by_activator=True), least=0)
        assert (decision.replicas, decision.reason) == (0, Reason.CAPACITY)


def test_a_decision_tells_each_laws_wish_and_figures() -> None:
    decision = decided(an_observation(some_signals(in_flight=60, queued=10, per_second=4, kv_cache=0.5)))
    assert {wish.law for wish in decision.wishes} == {"in_flight", "queue", "kv_cache"}
    assert all(wish.because for wish in decision.wishes)
    assert "replicas go from 1 to 3" in decision.message
