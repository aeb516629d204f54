"""The budget is held whatever frames cost, and heat halves the frame rate step by step and gives it back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import FakeClock

from device.config import Settings
from device.system.health import Health
from device.vision.cpu_budget import CpuBudget, starvation_problems

WELL = Health(0.0, False, (), (), 50.0, 10**10, "synced", "vcgencmd")


def ran(settings: Settings, cost_ms: float, seconds: float, read_ms: float = 0.5) -> tuple[float, int, int]:
    """The share of a core that was spent, in percent, and frames processed and left out; each frame costs so much."""
    clock = FakeClock()
    budget, done, left, start_ns = CpuBudget(clock), 0, 0, clock.now_ns
    while clock.now_ns - start_ns < seconds * 1e9:
        frame_ns = clock.now_ns
        clock.spent_ns += round(read_ms * 1e6)
        if budget.drop_reason(frame_ns, settings):
            left += 1
            clock.now_ns += round(1e9 / settings.fps)
            continue
        done += 1
        clock.spent_ns += round(cost_ms * 1e6)
        clock.now_ns += round(max(cost_ms * 1e6, 1e9 / settings.fps))
    return 100 * clock.spent_ns / (clock.now_ns - start_ns), done, left


@pytest.mark.parametrize("budget", [5.0, 20.0, 40.0, 80.0])
@pytest.mark.parametrize("cost_ms", [4.0, 30.0, 90.0])
@pytest.mark.parametrize("fps", [10.0, 30.0])
def test_the_budget_is_exact_to_a_tenth(budget: float, cost_ms: float, fps: float) -> None:
    settings = Settings(fps=fps, cpu_budget=budget)
    free, all_frames, _ = ran(replace(settings, cpu_budget=None), cost_ms, 120)
    cpu_percent, done, left = ran(settings, cost_ms, 120)
    if free <= budget:
        assert (cpu_percent, done, left) == (free, all_frames, 0), "below the budget no frame is dropped"
    else:
        assert cpu_percent == pytest.approx(budget, rel=0.1) and left > 0 and done > 0


def test_the_budget_is_kept_when_the_cost_of_a_frame_changes() -> None:
    clock, settings = FakeClock(), Settings(fps=30.0, cpu_budget=40.0)
    budget, shares = CpuBudget(clock), []
    for cost_ms in (5.0, 60.0, 15.0, 100.0):
        start_ns, before_ns = clock.now_ns, clock.spent_ns
        while clock.now_ns - start_ns < 30e9:
            clock.now_ns += 33_333_333
            if not budget.drop_reason(clock.now_ns, settings):
                clock.spent_ns += round(cost_ms * 1e6)
        shares.append(100 * (clock.spent_ns - before_ns) / (clock.now_ns - start_ns))
    assert shares == pytest.approx([15.0, 40.0, 40.0, 40.0], rel=0.1)


def test_another_load_keeps_frames_away_for_no_longer_than_the_largest_debt() -> None:
    """Ten minutes of another load in the process stopped a run for as long again and more."""
    clock, settings = FakeClock(), Settings(fps=10.0, cpu_budget=20.0)
    budget = CpuBudget(clock)
    assert budget.drop_reason(clock.now_ns, settings) == ""
    for _ in range(6000):
        clock.now_ns += 100_000_000
        clock.spent_ns += 40_000_000
        budget.drop_reason(clock.now_ns, settings)
    waited = 0
    while budget.drop_reason(clock.now_ns, settings):
        clock.now_ns += 100_000_000
        waited += 1
    assert 590 <= waited <= 610, "a minute"


def test_frames_that_are_all_dropped_are_a_problem() -> None:
    assert starvation_problems("budget", 59.0, 10.0) == starvation_problems("", 900.0, 10.0) == ()
    assert starvation_problems("budget", 100.0, 0.05) == (), "one frame in 20 s"
    (sentence,) = starvation_problems("budget", 61.0, 10.0)
    assert sentence.startswith("no frame was processed for 61 s (dropped: budget);") and "raise cpu_budget" in sentence
    (sentence,) = starvation_problems("hot", 61.0, 10.0)
    assert "cpu_budget" not in sentence


def test_an_idle_hour_saves_no_more_than_the_maximum_credit() -> None:
    clock, settings = FakeClock(), Settings(cpu_budget=10.0)
    budget = CpuBudget(clock)
    assert budget.drop_reason(clock.now_ns, settings) == ""
    clock.now_ns += 3600 * 10**9
    processed_frames = 0
    while not budget.drop_reason(clock.now_ns, settings):
        clock.spent_ns += 20_000_000
        clock.now_ns += 100_000_000
        processed_frames += 1
    assert processed_frames <= 6


def test_a_recording_waits_until_its_overdraft_is_repaid() -> None:
    clock, settings = FakeClock(), Settings(cpu_budget=25.0)
    budget = CpuBudget(clock)
    start_ns, spent_ns = clock.now_ns, 0
    for _ in range(2000):
        clock.sleep(budget.wait_s(settings))
        clock.spent_ns += 10_000_000
        clock.now_ns += 10_000_000
        spent_ns += 10_000_000
    assert 100 * spent_ns / (clock.now_ns - start_ns) == pytest.approx(25.0, rel=0.02)
    assert budget.wait_s(replace(settings, cpu_budget=None)) == 0


def processed(budget: CpuBudget, clock: FakeClock, settings: Settings, frames: int = 80) -> int:
    done = 0
    for _ in range(frames):
        clock.now_ns += round(1e9 / settings.fps)
        why = budget.drop_reason(clock.now_ns, settings)
        assert why in ("", "hot")
        done += not why
    return done


def test_heat_halves_the_frame_rate_and_cooling_doubles_it() -> None:
    clock, settings = FakeClock(), Settings(fps=10.0)
    budget = CpuBudget(clock)
    rates = []
    for degrees in (50.0, 79.9, 80.0, 84.0, 85.0, 85.0, 85.0, 77.0, 75.0, 60.0, 55.0, 50.0, 50.0):
        budget.update_health(replace(WELL, temperature_c=degrees), settings.hot_c)
        rates.append(processed(budget, clock, settings))
    assert rates == pytest.approx([80, 80, 40, 20, 10, 5, 5, 5, 10, 20, 40, 80, 80], abs=1)


def test_each_measurement_counts_once_and_undervoltage_is_not_heat() -> None:
    clock, settings = FakeClock(), Settings(fps=10.0)
    budget = CpuBudget(clock)
    hot = replace(WELL, temperature_c=90.0)
    for _ in range(5):
        budget.update_health(hot, settings.hot_c)
    assert processed(budget, clock, settings) == pytest.approx(40, abs=1)
    budget.update_health(replace(WELL, throttled_now=("undervoltage",)), settings.hot_c)
    assert processed(budget, clock, settings) == pytest.approx(80, abs=1)
    budget.update_health(replace(WELL, throttled_now=("undervoltage", "throttled"), temperature_c=None), settings.hot_c)
    assert processed(budget, clock, settings) == pytest.approx(40, abs=1)
    budget.update_health(None, settings.hot_c)
    assert processed(budget, clock, settings) == pytest.approx(40, abs=1)
    budget.update_health(replace(WELL, throttled_now=None, temperature_c=None), settings.hot_c)
    assert processed(budget, clock, settings) == pytest.approx(80, abs=1), (
        "without measurements the rate is not reduced"
    )


def test_a_slightly_early_frame_is_processed() -> None:
    clock, settings = FakeClock(), Settings(fps=10.0)
    budget = CpuBudget(clock)
    budget.update_health(replace(WELL, temperature_c=90.0), settings.hot_c)
    done = 0
    for number in range(80):
        jitter_ns = 30_000_000 if number % 3 else -30_000_000
        done += not budget.drop_reason(clock.now_ns + number * 100_000_000 + jitter_ns, settings)
    assert 38 <= done <= 42
