"""The principal path on data of known shape, and the sum that it minimises."""

import numpy as np
import pytest

from music_featurization.style_space import principal_path


def two_arcs(count=300):
    """Two half circles that face each other; ends: the feet of the upper one."""
    rng = np.random.default_rng(5)
    angle = rng.uniform(0, np.pi, count)
    angle[:2] = 0, np.pi
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    return np.concatenate([upper, lower]) + rng.normal(0, 0.04, (2 * count, 2)), 0, 1


def distance_to_upper_arc(path):
    return np.abs(np.linalg.norm(path, axis=1) - 1) + np.maximum(0, -path[:, 1] - 0.1)


def cost(path, points, stiffness):
    nearest = principal_path.squared_distances(points, path).min(axis=1)
    return nearest.sum() + stiffness * (principal_path.steps(path) ** 2).sum()


def test_path_follows_the_arc_where_the_straight_line_leaves_the_data():
    points, start, end = two_arcs()
    path = principal_path.find(points, start, end)
    straight = principal_path.resample(points[[start, end]], len(path))
    assert path.shape == (52, 2)
    assert (path[[0, -1]] == points[[start, end]]).all()
    assert distance_to_upper_arc(path).max() < 0.15 and path[:, 1].max() > 0.9
    assert distance_to_upper_arc(straight).max() > 0.9
    lengths = principal_path.steps(path)
    assert lengths.max() < 3 * lengths.mean()  # spread along the arc, not heaped


def test_path_is_the_same_every_time_backwards_and_at_another_scale():
    points, start, end = two_arcs(60)
    path = principal_path.find(points, start, end)
    assert (principal_path.find(points, start, end) == path).all()
    assert principal_path.find(points, end, start)[::-1] == pytest.approx(path, abs=1e-6)
    assert principal_path.find(points * 100, start, end) / 100 == pytest.approx(path, abs=1e-6)


@pytest.mark.parametrize("stiffness", [1e5, 1.0, 0.0])
def test_no_move_of_an_inner_waypoint_lowers_the_sum(stiffness):
    points, start, end = two_arcs(60)
    path = principal_path.relax(principal_path.resample(points[[start, end]], 12), points, stiffness)
    least = cost(path, points, stiffness)
    rng = np.random.default_rng(1)
    for _ in range(200):
        moved = path.copy()
        moved[rng.integers(1, len(path) - 1)] += rng.normal(0, 0.001, 2)
        assert cost(moved, points, stiffness) > least - 1e-9 * least


def test_stiff_path_is_straight_and_free_path_is_k_means():
    points, start, end = two_arcs(60)
    line = principal_path.resample(points[[start, end]], 12)
    assert principal_path.relax(line, points, 1e8) == pytest.approx(line, abs=1e-4)
    free = principal_path.relax(line, points, 0.0)
    nearest = principal_path.squared_distances(points, free).argmin(axis=1)
    for waypoint in set(nearest) - {0, 11}:
        assert free[waypoint] == pytest.approx(points[nearest == waypoint].mean(axis=0))


def test_shortest_path_has_many_small_steps():
    points = np.array([[0.0, 0], [1, 1], [2, 1], [3, 0], [1.5, -9], [1, 1]])  # the last equals the second
    rows = principal_path.shortest(points, 0, 3)
    assert rows[0] == 0 and rows[-1] == 3 and 4 not in rows and 2 in rows


def test_elbow_is_the_corner_of_a_curve():
    assert principal_path.elbow([0, 0, 0, 0.1, 2, 3, 4]) == 3


@pytest.mark.parametrize("inner", [0, 1, 5])
def test_few_points_make_a_path_between_the_two(inner):
    points = np.concatenate([[[0.0, 0, 0], [3, 0, 0]], np.random.default_rng(0).normal(size=(inner, 3))])
    path = principal_path.find(points, 0, 1)
    assert path.shape == (52, 3) and np.isfinite(path).all()
    assert (path[[0, -1]] == points[:2]).all()


def test_many_points_are_thinned_for_the_shortest_path(monkeypatch):
    monkeypatch.setattr(principal_path, "MOST_LANDMARKS", 100)
    points, start, end = two_arcs(1000)
    rows = principal_path.shortest(points, start, end)
    assert rows[0] == start and rows[-1] == end and len(rows) <= 102
    assert distance_to_upper_arc(principal_path.find(points, start, end)).max() < 0.2
